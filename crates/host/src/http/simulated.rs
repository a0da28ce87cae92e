//! As much of reqwest as nodes use, over simulated sockets.
//!
//! What differs from the real one: a connection serves one call. A kept one would be broken by a partition that is over
//! already, since a simulated connection repeats nothing that was lost; the real client is told by its system and dials
//! again.

use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, Full};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use turmoil::net::TcpStream;

pub use hyper::StatusCode;

/// Nobody here answers with a redirection.
pub mod redirect {
    #[derive(Debug)]
    pub struct Policy;

    impl Policy {
        pub fn none() -> Self {
            Policy
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct Client {
    connect_timeout: Option<Duration>,
    timeout: Option<Duration>,
}

#[derive(Debug, Default)]
pub struct ClientBuilder {
    client: Client,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the call took longer than {0:?}")]
    TimedOut(Duration),
    #[error("{0} cannot be reached")]
    Connect(String, #[source] std::io::Error),
    #[error("{0} did not take the connection within {1:?}")]
    ConnectTimedOut(String, Duration),
    #[error("the connection broke")]
    Broke(#[from] hyper::Error),
    #[error("the call is malformed: {0}")]
    Malformed(String),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the body is not what was expected")]
    Json(#[from] serde_json::Error),
}

impl Error {
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut(_) | Error::ConnectTimedOut(..))
    }

    pub fn is_connect(&self) -> bool {
        matches!(self, Error::Connect(..) | Error::ConnectTimedOut(..))
    }

    pub fn is_status(&self) -> bool {
        matches!(self, Error::Status(_))
    }

    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Status(status) => Some(*status),
            Error::TimedOut(_)
            | Error::Connect(..)
            | Error::ConnectTimedOut(..)
            | Error::Broke(_)
            | Error::Malformed(_)
            | Error::Json(_) => None,
        }
    }
}

impl ClientBuilder {
    pub fn no_proxy(self) -> Self {
        self
    }

    pub fn tcp_nodelay(self, _on: bool) -> Self {
        self
    }

    pub fn http1_only(self) -> Self {
        self
    }

    pub fn redirect(self, _policy: redirect::Policy) -> Self {
        self
    }

    pub fn pool_idle_timeout(self, _idle: Duration) -> Self {
        self
    }

    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.client.connect_timeout = Some(timeout);
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.client.timeout = Some(timeout);
        self
    }

    pub fn build(self) -> Result<Client, Error> {
        Ok(self.client)
    }
}

impl Client {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(hyper::Method::GET, url.as_ref())
    }

    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(hyper::Method::POST, url.as_ref())
    }

    fn request(&self, method: hyper::Method, url: &str) -> RequestBuilder {
        RequestBuilder {
            method,
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            malformed: None,
        }
    }
}

#[derive(Debug)]
pub struct RequestBuilder {
    method: hyper::Method,
    url: String,
    headers: HeaderMap,
    body: Bytes,
    connect_timeout: Option<Duration>,
    timeout: Option<Duration>,
    malformed: Option<String>,
}

impl RequestBuilder {
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl AsRef<str>) -> Self {
        match (name.try_into(), HeaderValue::from_str(value.as_ref())) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            _ => self.malformed = Some(format!("a header of value {:?}", value.as_ref())),
        }
        self
    }

    pub fn json(self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.header("content-type", "application/json").body(body),
            Err(error) => Self { malformed: Some(error.to_string()), ..self },
        }
    }

    /// Returns when the answer has arrived whole.
    pub async fn send(self) -> Result<Response, Error> {
        match self.timeout {
            Some(timeout) => {
                tokio::time::timeout(timeout, self.exchange()).await.unwrap_or(Err(Error::TimedOut(timeout)))
            }
            None => self.exchange().await,
        }
    }

    async fn exchange(self) -> Result<Response, Error> {
        if let Some(malformed) = self.malformed {
            return Err(Error::Malformed(malformed));
        }
        let uri: hyper::Uri = self.url.parse().map_err(|error| Error::Malformed(format!("{error}")))?;
        let addr = uri.authority().map(ToString::to_string).unwrap_or_default();
        let connect = TcpStream::connect(addr.as_str());
        let stream = match self.connect_timeout {
            Some(timeout) => tokio::time::timeout(timeout, connect)
                .await
                .map_err(|_| Error::ConnectTimedOut(addr.clone(), timeout))?,
            None => connect.await,
        }
        .map_err(|error| Error::Connect(addr.clone(), error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let _driver = Driver(tokio::spawn(connection));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = hyper::Request::builder().method(self.method).uri(path).header(HOST, &addr);
        if let Some(headers) = request.headers_mut() {
            headers.extend(self.headers);
        }
        let request =
            request.body(Full::new(self.body)).map_err(|error| Error::Malformed(error.to_string()))?;
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response { status: parts.status, headers: parts.headers, body })
    }
}

/// A call that is given up closes its connection.
struct Driver(tokio::task::JoinHandle<hyper::Result<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    pub fn content_length(&self) -> Option<u64> {
        Some(self.body.len() as u64)
    }

    pub fn error_for_status(self) -> Result<Self, Error> {
        let fails = self.status.is_client_error() || self.status.is_server_error();
        if fails { Err(Error::Status(self.status)) } else { Ok(self) }
    }

    pub async fn bytes(self) -> Result<Bytes, Error> {
        Ok(self.body)
    }

    pub async fn text(self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.body).into_owned())
    }

    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.body)?)
    }

    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes, Error>> {
        futures_util::stream::iter([Ok(self.body)])
    }
}
