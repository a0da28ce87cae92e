//! The one certificate that there is: a key that signs itself.
//!
//! TLS carries a key in a certificate, and most of one says nothing here. So every field but the key and the signature is a
//! constant, and the whole thing is a template (RFC 5280, RFC 8410): no library writes it.
//!
//! *Invariant:* a key has one certificate, byte by byte: it holds no time and no random number.

/// What comes before the 32 bytes of an Ed25519 key in X.509's SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const SPKI_BYTES: usize = SPKI_PREFIX.len() + 32;

const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Version 3, serial number 1.
const VERSION_AND_SERIAL: [u8; 8] = [0xa0, 0x03, 0x02, 0x01, 0x02, 0x02, 0x01, 0x01];

/// CN=ironcache, as issuer and as subject.
const NAME: &[u8] = b"\x30\x14\x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09ironcache";

/// From 1970 on, without an end (RFC 5280, section 4.1.2.5).
const VALIDITY: &[u8] = b"\x30\x20\x17\x0d700101000000Z\x18\x0f99991231235959Z";

/// A public key as certificates have it, whose hash pins it.
pub(crate) fn spki(public: &[u8; 32]) -> [u8; SPKI_BYTES] {
    let mut spki = [0; SPKI_BYTES];
    spki[..SPKI_PREFIX.len()].copy_from_slice(&SPKI_PREFIX);
    spki[SPKI_PREFIX.len()..].copy_from_slice(public);
    spki
}

/// Is this the one form in which an Ed25519 key is written? Any other would pin one key by two hashes.
pub(crate) fn is_ed25519(spki: &[u8]) -> bool {
    spki.len() == SPKI_BYTES && spki.starts_with(&SPKI_PREFIX)
}

/// The certificate of a key, in DER. `sign` is that key's.
pub(crate) fn self_signed(public: &[u8; 32], sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Vec<u8> {
    let parts = [&VERSION_AND_SERIAL[..], &ED25519, NAME, VALIDITY, NAME, &spki(public)];
    let signed = sequence(&parts);
    let mut signature = vec![0x03, 0x41, 0x00];
    signature.extend(sign(&signed));
    sequence(&[&signed, &ED25519, &signature])
}

/// DER's SEQUENCE, of 128 to 255 bytes: both that there are.
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u8::try_from(content.len()).expect("the template is shorter than 256 bytes");
    debug_assert!(length >= 0x80);
    let mut der = vec![0x30, 0x81, length];
    der.extend(content);
    der
}
