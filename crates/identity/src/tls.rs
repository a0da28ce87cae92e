//! Connections on which both sides have proved their keys.

use crate::key::PrivateKey;
use crate::verify::{Answering, Calling, key_of};
use ironcache_types::KeyHash;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::ServerName;
use rustls::server::{Acceptor, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig, ServerConnection};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, TlsConnector, TlsStream};

/// Two round trips and three signatures. Shorter, and a loaded machine or a lost packet refuses a member; longer, and whoever
/// connects and says nothing holds a descriptor for as long.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The exporter's label (RFC 8446, section 7.5): what is drawn from a session for one use is of no other.
pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-ironcache-join";

/// Whose key the side that is called has to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// One node.
    Key(KeyHash),
    /// Any node of a cluster: what a credentials file knows.
    OneOf(Arc<BTreeSet<KeyHash>>),
    /// Nobody knows it yet: a join code has to be proved before anything else is said.
    Anybody,
}

impl Expect {
    pub(crate) fn admits(&self, key: KeyHash) -> bool {
        match self {
            Expect::Key(expected) => *expected == key,
            Expect::OneOf(keys) => keys.contains(&key),
            Expect::Anybody => true,
        }
    }
}

/// One key's side of every connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tls {
    hash: KeyHash,
    certified: Arc<SingleCertAndKey>,
    provider: Arc<CryptoProvider>,
    server: Arc<ServerConfig>,
}

/// A connection, and what was proved on it.
#[derive(Debug)]
pub struct Secured<S> {
    pub stream: TlsStream<S>,
    pub session: Session,
}

/// What both sides know of one connection, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose key the other side proved. `None`: a caller that showed none.
    pub peer: Option<KeyHash>,
    /// Key of whoever called.
    pub(crate) caller: Option<KeyHash>,
    /// Key of whoever was called.
    pub(crate) called: KeyHash,
    /// Drawn from the session's secrets: the same on both sides, and on no other connection.
    pub(crate) exported: Exported,
}

/// Not shown: whoever knows it can try out join codes.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Exported(pub [u8; 32]);

impl std::fmt::Debug for Exported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Exported(..)")
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("the two sides did not prove their keys within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    TooSlow,
    #[error("the other side has another key than the one that is pinned")]
    OtherKey,
    #[error("no connection of TLS 1.3 with Ed25519 keys came about")]
    Handshake(#[source] io::Error),
    #[error("the TLS library does not take the key")]
    Library(#[from] rustls::Error),
}

impl Tls {
    /// # Errors
    /// The TLS library does not take the key: our bug, or the library's.
    pub fn new(key: &PrivateKey) -> Result<Self, LinkError> {
        let provider = Arc::new(provider());
        let signing = provider::sign::any_eddsa_type(&key.pkcs8())?;
        let certified = CertifiedKey::new(vec![key.certificate()], signing);
        certified.keys_match()?;
        let certified = Arc::new(SingleCertAndKey::from(certified));
        let calling = Calling { algorithms: provider.signature_verification_algorithms };
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(calling))
            .with_cert_resolver(certified.clone());
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.max_early_data_size = 0;
        Ok(Tls { hash: key.hash(), certified, provider, server: Arc::new(server) })
    }

    /// What this side is known by.
    pub fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Proves this key to whoever was called, who has to prove one that is expected.
    ///
    /// # Errors
    /// It did not, or not in time.
    pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        expect: Expect,
    ) -> Result<Secured<S>, LinkError> {
        let algorithms = self.provider.signature_verification_algorithms;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Answering { expect, algorithms }))
            .with_client_cert_resolver(self.certified.clone());
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        // A name says nothing here, and would tell who listens on the wire.
        config.enable_sni = false;
        let name = ServerName::try_from("ironcache").expect("it is a name");
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = TlsStream::from(in_time(handshake).await?);
        Session::of(self.hash, stream)
    }

    /// Proves this key to whoever calls, who may prove one. `greeted` is called between its hello and what that makes this side
    /// compute.
    ///
    /// # Errors
    /// It spoke something else, or not in time.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        greeted: impl FnOnce(),
    ) -> Result<Secured<S>, LinkError> {
        let handshake = async {
            let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
            greeted();
            begun.into_stream(Arc::clone(&self.server)).await
        };
        let stream = TlsStream::from(in_time(handshake).await?);
        Session::of(self.hash, stream)
    }

    /// Goes on with a session that [`Self::accept`] has made, over the same connection in another runtime.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn take_up<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        made: ServerConnection,
    ) -> io::Result<TlsStream<S>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.server));
        Ok(acceptor.accept_with(stream, |session| *session = made).await?.into())
    }
}

impl Session {
    fn of<S>(mine: KeyHash, stream: TlsStream<S>) -> Result<Secured<S>, LinkError> {
        let (peer, exported) = match &stream {
            TlsStream::Client(client) => {
                let (_, tls) = client.get_ref();
                (tls.peer_certificates(), tls.export_keying_material([0; 32], EXPORTER_LABEL, None)?)
            }
            TlsStream::Server(server) => {
                let (_, tls) = server.get_ref();
                (tls.peer_certificates(), tls.export_keying_material([0; 32], EXPORTER_LABEL, None)?)
            }
        };
        let peer = peer.and_then(|chain| chain.first()).map(key_of).transpose()?;
        let (caller, called) = match (&stream, peer) {
            (TlsStream::Client(_), Some(peer)) => (Some(mine), peer),
            (TlsStream::Client(_), None) => return Err(LinkError::OtherKey),
            (TlsStream::Server(_), peer) => (peer, mine),
        };
        let session = Session { peer, caller, called, exported: Exported(exported) };
        Ok(Secured { stream, session })
    }
}

/// Only suites of TLS 1.3, of which the cheapest on a machine with AES comes first; one exchange of keys, that all have.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            provider::cipher_suite::TLS13_AES_128_GCM_SHA256,
            provider::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
            provider::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ],
        ..provider::default_provider()
    }
}

async fn in_time<T>(handshake: impl Future<Output = io::Result<T>>) -> Result<T, LinkError> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) if is_other_key(&error) => Err(LinkError::OtherKey),
        Ok(Err(error)) => Err(LinkError::Handshake(error)),
        Err(_) => Err(LinkError::TooSlow),
    }
}

/// This side's own refusal, as its verifier gave it.
fn is_other_key(error: &io::Error) -> bool {
    let refused = rustls::CertificateError::ApplicationVerificationFailure;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(why)) if *why == refused)
}
