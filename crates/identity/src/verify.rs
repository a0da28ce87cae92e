//! What the TLS library asks: does the other side hold the key that it shows, and is it the one that is expected?
//!
//! *Invariant:* a signature is checked by the library, with the key of the certificate at hand. No name, no date, no issuer
//! and no extension is looked at.

use crate::certificate;
use crate::key::hash_of;
use crate::tls::Expect;
use ironcache_types::KeyHash;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme,
};

/// The hash of the key that a certificate is of, if that is one of Ed25519.
pub(crate) fn key_of(certificate: &CertificateDer<'_>) -> Result<KeyHash, Error> {
    let spki = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
    match certificate::is_ed25519(&spki) {
        true => Ok(hash_of(&spki)),
        false => Err(CertificateError::BadEncoding.into()),
    }
}

/// The calling side's look at who answers.
#[derive(Debug)]
pub(crate) struct Answering {
    pub expect: Expect,
    pub algorithms: WebPkiSupportedAlgorithms,
}

/// The answering side's look at who calls: whoever it is, it proves the key that it shows.
#[derive(Debug)]
pub(crate) struct Calling {
    pub algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Answering {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let key = key_of(end_entity)?;
        if !self.expect.admits(key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Calling {
    /// A probe and a browser have none: what they may do is decided behind the handshake.
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        key_of(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    #[test]
    fn fuzz_a_certificate_is_of_the_key_that_it_holds_or_of_none() {
        let keys = [(); 2].map(|()| PrivateKey::generate().unwrap());
        let certificates = keys.each_ref().map(|key| key.certificate().to_vec());
        for (key, certificate) in keys.iter().zip(&certificates) {
            assert_eq!(key_of(&certificate.clone().into()), Ok(key.hash()));
        }
        let words = [&[0x30][..], &[0x30, 0x82], &[0x30, 0x80], &[0xa3, 0x02, 0x30, 0x00]];
        ironcache_fuzz::Campaign::of("certificates").from(certificates).words(words).run(|bytes| {
            let key = key_of(&CertificateDer::from(bytes.to_vec()));
            if let Ok(key) = &key {
                let spki_bytes = certificate::spki(&[0; 32]).len();
                let mut held = bytes.windows(spki_bytes).filter(|window| certificate::is_ed25519(window));
                assert!(held.any(|spki| hash_of(spki) == *key), "that key is not in it");
            }
            key.map(|_| ()).map_err(|error| format!("{error:?}"))
        });
    }
}
