//! TLS for clients: what the settings and files come to, and whether they come to anything.
//!
//! *Invariant:* files are read here and nowhere else, off the data thread, or within a bound of time where an operator waits.
//! *Invariant:* what was read is taken whole, certificate, key and CA together, or not at all.
//! *Invariant:* no session is resumed: who is let in is decided by the files as they are, at every handshake.

use crate::config::Config;
use ironcache_settings::{NodeKey, TlsProtocols};
use ironcache_store::disk;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `tls-auth-clients`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    Yes,
    No,
    /// Whoever shows a certificate has to show a good one.
    Optional,
}

impl AuthClients {
    pub(crate) fn of(word: &str) -> Option<AuthClients> {
        match word {
            "yes" => Some(AuthClients::Yes),
            "no" => Some(AuthClients::No),
            "optional" => Some(AuthClients::Optional),
            _ => None,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            AuthClients::Yes => "yes",
            AuthClients::No => "no",
            AuthClients::Optional => "optional",
        }
    }
}

/// A file of these is larger by mistake, and would be read into memory.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
/// A folder of CAs with more files is another folder: `/`, say.
pub(crate) const CA_FILES_MAX: usize = 1024;

/// What handshakes are made with.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub server: Arc<rustls::ServerConfig>,
    pub print: CertificatePrint,
}

/// SHA-256 of the node's certificate: what `openssl x509 -fingerprint -sha256` shows, without its colons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CertificatePrint([u8; 32]);

impl fmt::Display for CertificatePrint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{} = {}: it cannot be read", .key.setting().name, .path.display())]
    Read { key: NodeKey, path: PathBuf, source: io::Error },
    #[error("{} = {}: it is no PEM", .key.setting().name, .path.display())]
    Pem { key: NodeKey, path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} = {}: no certificate is in it", .key.setting().name, .path.display())]
    NoCertificate { key: NodeKey, path: PathBuf },
    #[error("tls-key-file = {}: no key without a pass phrase is in it", .path.display())]
    NoKey { path: PathBuf, source: rustls::pki_types::pem::Error },
    #[error("{} = {}: a certificate in it is no CA's", .key.setting().name, .path.display())]
    NoCa { key: NodeKey, path: PathBuf, source: rustls::Error },
    #[error("tls-cert-file = {}: it does not go with tls-key-file = {}", .cert.display(), .key.display())]
    NoPair { cert: PathBuf, key: PathBuf, source: rustls::Error },
    #[error("tls-protocols = {protocols}: TLS cannot be spoken")]
    Protocols { protocols: TlsProtocols, source: rustls::Error },
    #[error("{}: no client's certificate could be checked", .key.setting().name)]
    Verifier { key: NodeKey, source: rustls::server::VerifierBuilderError },
    #[error("{} = {}: it has more than {CA_FILES_MAX} files", .key.setting().name, .path.display())]
    TooMany { key: NodeKey, path: PathBuf },
}

impl TlsError {
    /// The setting that is at fault.
    pub fn key(&self) -> NodeKey {
        match self {
            TlsError::Read { key, .. }
            | TlsError::Pem { key, .. }
            | TlsError::NoCertificate { key, .. }
            | TlsError::NoCa { key, .. }
            | TlsError::Verifier { key, .. }
            | TlsError::TooMany { key, .. } => *key,
            TlsError::NoKey { .. } => NodeKey::TlsKeyFile,
            TlsError::NoPair { .. } => NodeKey::TlsCertFile,
            TlsError::Protocols { .. } => NodeKey::TlsProtocols,
        }
    }
}

/// Could clients be served by TLS with these settings, as the files are now? `Ok` too without a TLS port.
///
/// # Errors
/// What cannot be used, and why.
pub fn check_tls(config: &Config) -> Result<(), TlsError> {
    match config.announced_tls_port() {
        Some(_) => load(config).map(|_| ()),
        None => Ok(()),
    }
}

/// Reads the files. Blocks.
pub(crate) fn load(config: &Config) -> Result<Credentials, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let cert_path = PathBuf::from(&config.tls_cert_file);
    let key_path = PathBuf::from(&config.tls_key_file);
    let chain = certificates(NodeKey::TlsCertFile, &cert_path)?;
    let print = CertificatePrint(Sha256::digest(&chain[0]).into());
    let key = PrivateKeyDer::from_pem_slice(&read(NodeKey::TlsKeyFile, &key_path)?)
        .map_err(|source| TlsError::NoKey { path: key_path.clone(), source })?;
    let protocols = config.tls_protocols;
    let versions: &[&rustls::SupportedProtocolVersion] = match protocols {
        TlsProtocols::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsProtocols::Only12 => &[&rustls::version::TLS12],
        TlsProtocols::Only13 => &[&rustls::version::TLS13],
    };
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|source| TlsError::Protocols { protocols, source })?;
    let builder = match config.tls_auth_clients {
        AuthClients::No => builder.with_no_client_auth(),
        asks @ (AuthClients::Yes | AuthClients::Optional) => {
            let (roots, key) = authorities(config)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match asks {
                AuthClients::Optional => verifier.allow_unauthenticated(),
                AuthClients::Yes | AuthClients::No => verifier,
            };
            let verifier = verifier.build().map_err(|source| TlsError::Verifier { key, source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|source| TlsError::NoPair {
        cert: cert_path,
        key: key_path,
        source,
    })?;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Credentials { server: Arc::new(server), print })
}

/// The CAs, and the setting that named the last of them.
fn authorities(config: &Config) -> Result<(RootCertStore, NodeKey), TlsError> {
    let mut roots = RootCertStore::empty();
    let mut add = |key, path: &Path, found: Vec<CertificateDer<'static>>| {
        found.into_iter().try_for_each(|certificate| {
            roots.add(certificate).map_err(|source| TlsError::NoCa { key, path: path.to_owned(), source })
        })
    };
    let mut named = NodeKey::TlsCaCertFile;
    if !config.tls_ca_cert_file.is_empty() {
        let path = Path::new(&config.tls_ca_cert_file);
        add(named, path, certificates(named, path)?)?;
    }
    if !config.tls_ca_cert_dir.is_empty() {
        named = NodeKey::TlsCaCertDir;
        for path in files_of(&config.tls_ca_cert_dir)? {
            // Other things may lie there: a README, a list of revoked ones.
            match certificates(named, &path) {
                Ok(found) => add(named, &path, found)?,
                Err(TlsError::NoCertificate { .. } | TlsError::Pem { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok((roots, named))
}

fn certificates(key: NodeKey, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(key, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|source| TlsError::Pem { key, path: path.to_owned(), source })?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { key, path: path.to_owned() });
    }
    Ok(found)
}

fn read(key: NodeKey, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { key, path: path.to_owned(), source };
    disk::read_given(path, FILE_BYTES_MAX).map_err(failed)
}

/// In the order of their names, so that two looks see the same.
fn files_of(dir: &str) -> Result<Vec<PathBuf>, TlsError> {
    let (key, dir) = (NodeKey::TlsCaCertDir, Path::new(dir));
    let failed = |source| TlsError::Read { key, path: dir.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() {
            files.push(path);
        }
        if files.len() > CA_FILES_MAX {
            return Err(TlsError::TooMany { key, path: dir.to_owned() });
        }
    }
    files.sort();
    Ok(files)
}

/// What the files looked like: another look is another content, or will soon be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, Option<FileLook>)>);

/// Length, file and time of the last change, in ns: a file that was replaced, by its name or through a link, has others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileLook {
    bytes: u64,
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

/// Blocks.
pub(crate) fn look(config: &Config) -> Look {
    use std::os::unix::fs::MetadataExt;
    let named = [&config.tls_cert_file, &config.tls_key_file, &config.tls_ca_cert_file];
    let mut paths: Vec<PathBuf> = named.into_iter().filter(|path| !path.is_empty()).map(Into::into).collect();
    if !config.tls_ca_cert_dir.is_empty() {
        // A folder that cannot be listed is an error of the load, and looks like an empty one here.
        paths.extend(files_of(&config.tls_ca_cert_dir).unwrap_or_default());
    }
    let of = |path: PathBuf| {
        let look = std::fs::metadata(&path).ok().map(|file| FileLook {
            bytes: file.len(),
            inode: file.ino(),
            changed_s: file.ctime(),
            changed_ns: file.ctime_nsec(),
        });
        (path, look)
    };
    Look(paths.into_iter().map(of).collect())
}

#[cfg(test)]
pub(crate) mod tests;
