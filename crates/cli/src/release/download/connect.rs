//! One connection to where a URL points: plain on this machine, else TLS, through a proxy if the environment names one.
//!
//! *Invariant:* the only place of the program that speaks TLS. It looks at the machine's root certificates when it is asked
//! to connect, never before: a node starts without them (docs/adr/0021).

use super::url::WebUrl;
use hyper::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use rustls::pki_types::{InvalidDnsNameError, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower::Service;

/// Whose signature makes a certificate good.
#[derive(Clone, Debug)]
pub(crate) enum Roots {
    /// Whom this machine trusts, a company's own authority included; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    OfTheMachine,
    /// These only.
    #[cfg(test)]
    Only(Vec<rustls::pki_types::CertificateDer<'static>>),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("could not connect to {host}")]
    Connect { host: String, source: io::Error },
    #[error("could not connect to {host} through the proxy {proxy}")]
    Proxy { host: String, proxy: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{host} did not take a connection within {after_s} s")]
    TimedOut { host: String, after_s: u64 },
    #[error("{host} is not this machine, and http goes nowhere else")]
    NotThisMachine { host: String },
    #[error("no certificate can be checked: {problem}; SSL_CERT_FILE may name a file of root certificates")]
    NoRoots { problem: String },
    #[error("{host} is no name that a certificate may have")]
    Name { host: String, source: InvalidDnsNameError },
    #[error("{host} does not prove that it is {host}")]
    Untrusted { host: String, source: rustls::Error },
}

impl ConnectError {
    /// Whether another try may end otherwise.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            ConnectError::Connect { .. } | ConnectError::Proxy { .. } | ConnectError::TimedOut { .. } => true,
            ConnectError::NotThisMachine { .. }
            | ConnectError::NoRoots { .. }
            | ConnectError::Name { .. }
            | ConnectError::Untrusted { .. } => false,
        }
    }
}

pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Opens connections, and keeps what they share.
pub(super) struct Connector {
    roots: Roots,
    proxies: Matcher,
    /// Made at the first connection that needs it.
    tls: Option<TlsConnector>,
}

impl Connector {
    pub(super) fn new(roots: Roots, proxies: Matcher) -> Self {
        Connector { roots, proxies, tls: None }
    }

    pub(super) async fn open(&mut self, url: &WebUrl) -> Result<Box<dyn Wire>, ConnectError> {
        let (host, port) = (url.host(), url.port());
        if !url.is_tls() {
            return Ok(Box::new(on_this_machine(&host, port).await?));
        }
        let tls = self.tls()?;
        let name = ServerName::try_from(host.clone())
            .map_err(|source| ConnectError::Name { host: host.clone(), source })?;
        let stream = self.tcp(&host, port).await?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                Some(source) => ConnectError::Untrusted { host, source: source.clone() },
                None => ConnectError::Connect { host, source: error },
            }),
        }
    }

    async fn tcp(&self, host: &str, port: u16) -> Result<TcpStream, ConnectError> {
        let host = host.to_owned();
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let target = Uri::builder().scheme("https").authority(authority).path_and_query("/").build();
        let Some(proxy) = target.as_ref().ok().and_then(|target| self.proxies.intercept(target)) else {
            let connected = TcpStream::connect((host.as_str(), port)).await;
            return connected.map_err(|source| ConnectError::Connect { host, source });
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            let proxy = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
            ConnectError::Proxy { host, proxy, source }
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
        if let Some(auth) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let target = target.expect("a proxy was found for it");
        match tunnel.call(target).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn tls(&mut self) -> Result<TlsConnector, ConnectError> {
        if let Some(tls) = &self.tls {
            return Ok(tls.clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks the versions of TLS that rustls holds safe")
            .with_root_certificates(self.roots.load()?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        self.tls = Some(tls.clone());
        Ok(tls)
    }
}

impl Roots {
    fn load(&self) -> Result<RootCertStore, ConnectError> {
        let mut store = RootCertStore::empty();
        match self {
            Roots::OfTheMachine => {
                let found = rustls_native_certs::load_native_certs();
                // One that cannot be read does not make the others worthless.
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    let problem = match found.errors.first() {
                        Some(error) => error.to_string(),
                        None => "this machine has no root certificates".to_owned(),
                    };
                    return Err(ConnectError::NoRoots { problem });
                }
            }
            #[cfg(test)]
            Roots::Only(certificates) => {
                store.add_parsable_certificates(certificates.iter().cloned());
            }
        }
        Ok(store)
    }
}

/// `localhost` is a name: where it leads to is looked at, and the connection goes to what was looked at.
async fn on_this_machine(host: &str, port: u16) -> Result<TcpStream, ConnectError> {
    let failed = |source| ConnectError::Connect { host: host.to_owned(), source };
    let mut refused = None;
    for addr in tokio::net::lookup_host((host, port)).await.map_err(failed)? {
        if !addr.ip().is_loopback() {
            continue;
        }
        match TcpStream::connect(addr).await {
            Ok(stream) => return Ok(stream),
            Err(source) => refused = Some(source),
        }
    }
    Err(match refused {
        Some(source) => failed(source),
        None => ConnectError::NotThisMachine { host: host.to_owned() },
    })
}
