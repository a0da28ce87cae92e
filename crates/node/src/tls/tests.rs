//! Files as operators leave them.

use super::*;
use std::fs;
use tempfile::TempDir;

/// A CA, and what it has signed.
struct Files {
    dir: TempDir,
    config: Config,
}

impl Files {
    fn new() -> Files {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let config = Config {
            tls_port: 6380,
            tls_cert_file: path("node.crt"),
            tls_key_file: path("node.key"),
            tls_auth_clients: AuthClients::No,
            ..Config::default()
        };
        let files = Files { dir, config };
        files.certify();
        files
    }

    /// A new certificate and its key.
    fn certify(&self) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        self.write("node.crt", &pem("CERTIFICATE", made.cert.der()));
        self.write("node.key", &pem("PRIVATE KEY", &made.signing_key.serialize_der()));
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn refused(&self, config: &Config) -> TlsError {
        match load(config) {
            Ok(_) => panic!("these files were taken"),
            Err(error) => error,
        }
    }
}

/// As OpenSSL writes it.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in der.chunks(3) {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let at = (bits >> (18 - 6 * digit)) & 63;
            text.push(if digit <= three.len() { char::from(DIGITS[at as usize]) } else { '=' });
        }
    }
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[test]
fn a_certificate_and_its_key_are_taken_and_shown_by_the_fingerprint() {
    let files = Files::new();
    let credentials = load(&files.config).unwrap();
    assert_eq!(credentials.print.to_string().len(), 64);
    files.certify();
    assert_ne!(load(&files.config).unwrap().print, credentials.print);
}

#[test]
fn every_spoilt_file_is_refused_by_the_name_of_its_setting() {
    let files = Files::new();
    let good = fs::read_to_string(files.dir.path().join("node.crt")).unwrap();
    files.write("node.crt", "");
    assert!(matches!(files.refused(&files.config), TlsError::NoCertificate { .. }));
    files.write("node.crt", &good[..good.len() / 2]);
    assert_eq!(files.refused(&files.config).key(), NodeKey::TlsCertFile);
    files.write("node.crt", &good);
    files.write(
        "node.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    assert_eq!(files.refused(&files.config).key(), NodeKey::TlsKeyFile);
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    files.write("node.key", &pem("PRIVATE KEY", &other.signing_key.serialize_der()));
    assert!(matches!(files.refused(&files.config), TlsError::NoPair { .. }));
    fs::remove_file(files.dir.path().join("node.key")).unwrap();
    assert!(matches!(files.refused(&files.config), TlsError::Read { .. }));
}

#[test]
fn a_pipe_and_a_device_are_no_files() {
    let files = Files::new();
    let config = Config { tls_cert_file: "/dev/zero".to_owned(), ..files.config.clone() };
    assert!(matches!(files.refused(&config), TlsError::Read { .. }));
}

#[test]
fn a_folder_of_cas_may_hold_other_things_and_has_to_hold_one() {
    let files = Files::new();
    let cas = tempfile::tempdir().unwrap();
    let asking = Config {
        tls_auth_clients: AuthClients::Yes,
        tls_ca_cert_dir: cas.path().display().to_string(),
        ..files.config.clone()
    };
    assert!(matches!(files.refused(&asking), TlsError::Verifier { key: NodeKey::TlsCaCertDir, .. }));
    fs::write(cas.path().join("README"), "no certificate").unwrap();
    fs::copy(files.dir.path().join("node.crt"), cas.path().join("ca.pem")).unwrap();
    assert!(load(&asking).is_ok());
}

#[test]
fn a_file_that_was_written_anew_looks_different_and_one_that_was_not_does_not() {
    let files = Files::new();
    let before = look(&files.config);
    assert_eq!(look(&files.config), before);
    files.certify();
    assert_ne!(look(&files.config), before);
}

#[test]
fn fuzz_files_of_tls_are_taken_as_a_pair_or_named() {
    let files = Files::new();
    let folder = ironcache_fuzz::Folder::new();
    let path = |name: &str| folder.path().join(name);
    let read = |name: &str| fs::read(files.dir.path().join(name)).unwrap();
    let (certificate, key) = (read("node.crt"), read("node.key"));
    let of_memory = |name: &str| path(name).display().to_string();
    let config = Config {
        tls_cert_file: of_memory("node.crt"),
        tls_key_file: of_memory("node.key"),
        ..files.config.clone()
    };
    let both = [&certificate[..], b"\0", &key].concat();
    let swapped = [&key[..], b"\0", &certificate].concat();
    let twice = [&certificate[..], &certificate, b"\0", &key].concat();
    let words =
        ["-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----", "=", "\n", "A", "\0"];
    let campaign = ironcache_fuzz::Campaign::of("files of TLS").from([both, swapped, twice]).words(words);
    campaign.keeps(2 << 20).run(|bytes| {
        let mut parts = bytes.splitn(2, |byte| *byte == 0);
        for name in ["node.crt", "node.key"] {
            fs::write(path(name), parts.next().unwrap_or_default()).unwrap();
        }
        match load(&config) {
            Ok(Credentials { server: _, print: _ }) => Ok(()),
            Err(error) => {
                assert!([NodeKey::TlsCertFile, NodeKey::TlsKeyFile].contains(&error.key()), "{error}");
                Err(std::mem::discriminant(&error))
            }
        }
    });
}
