//! One call.

use super::pool::{Sender, Way};
use super::{Client, Error};
use bytes::Bytes;
use futures_util::Stream;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use ironcache_types::NodeId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

#[derive(Debug)]
pub struct RequestBuilder {
    client: Client,
    method: Method,
    url: String,
    to: Option<NodeId>,
    headers: HeaderMap,
    body: Bytes,
    timeout: Option<Duration>,
    malformed: Option<String>,
}

impl RequestBuilder {
    pub(super) fn new(client: Client, method: Method, url: &str) -> Self {
        let timeout = client.waits.call;
        RequestBuilder {
            client,
            method,
            url: url.to_owned(),
            to: None,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout,
            malformed: None,
        }
    }

    /// Nobody else is to answer.
    pub fn to(mut self, node: NodeId) -> Self {
        self.to = Some(node);
        self
    }

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

    /// Returns with the head of the answer; its body is read within the same time.
    ///
    /// # Errors
    /// Nobody answers, not in time, or not whoever was meant.
    pub async fn send(self) -> Result<Response, Error> {
        let end = self.timeout.map(|timeout| End { at: Instant::now() + timeout, timeout });
        in_time(end, self.exchange(end)).await
    }

    async fn exchange(self, end: Option<End>) -> Result<Response, Error> {
        let Self { client, method, url, to, headers, body, timeout: _, malformed } = self;
        if let Some(malformed) = malformed {
            return Err(Error::Malformed(malformed));
        }
        let uri: hyper::Uri = url.parse().map_err(|error| Error::Malformed(format!("{error}")))?;
        let addr = uri.authority().map(ToString::to_string).unwrap_or_default();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path).header(HOST, &addr);
        if let Some(all) = request.headers_mut() {
            all.extend(headers);
        }
        let mut request =
            request.body(Full::new(body)).map_err(|error| Error::Malformed(error.to_string()))?;
        let (way, generation) = (Way { addr, to }, client.dial.generation());
        while let Some(mut sender) = client.pool.take(&way, generation, client.waits.idle) {
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    return Ok(Response {
                        answer,
                        end,
                        lent: Some(Lent { client, way, generation, sender }),
                    });
                }
                // It had ended, and nothing of the call was sent.
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(failed.into_error().into()),
                },
            }
        }
        let mut sender = connect(&client, &way).await?;
        let answer = sender.send_request(request).await?;
        Ok(Response { answer, end, lent: Some(Lent { client, way, generation, sender }) })
    }
}

async fn connect(client: &Client, way: &Way) -> Result<Sender, Error> {
    let Way { addr, to } = way;
    let patience = client.waits.connect;
    let dialled = timeout(patience, client.dial.dial(addr, *to)).await;
    let stream = dialled
        .map_err(|_| Error::ConnectTimedOut(addr.clone(), patience))?
        .map_err(|error| Error::Connect(addr.clone(), error))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with its sender, and with the call that is given up.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// When a call has to be done.
#[derive(Clone, Copy, Debug)]
struct End {
    at: Instant,
    timeout: Duration,
}

async fn in_time<T>(end: Option<End>, what: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match end {
        Some(End { at, timeout }) => timeout_at(at, what).await.unwrap_or(Err(Error::TimedOut(timeout))),
        None => what.await,
    }
}

/// An answer, whose body may still be on its way.
#[derive(Debug)]
pub struct Response {
    answer: hyper::Response<Incoming>,
    end: Option<End>,
    lent: Option<Lent>,
}

/// The connection that an answer comes by.
#[derive(Debug)]
struct Lent {
    client: Client,
    way: Way,
    generation: u64,
    sender: Sender,
}

impl Lent {
    /// The answer was read whole: the connection is kept for the next call.
    async fn give_back(self) {
        let Lent { client, way, generation, mut sender } = self;
        if sender.ready().await.is_ok() {
            client.pool.keep(way, generation, client.waits.idle, sender);
        }
    }
}

impl Response {
    pub fn status(&self) -> StatusCode {
        self.answer.status()
    }

    pub fn headers(&self) -> &HeaderMap {
        self.answer.headers()
    }

    /// # Errors
    /// The answer says that the call failed.
    pub fn error_for_status(self) -> Result<Self, Error> {
        let status = self.status();
        let fails = status.is_client_error() || status.is_server_error();
        if fails { Err(Error::Status(status)) } else { Ok(self) }
    }

    /// # Errors
    /// The body did not come, or not in time.
    pub async fn bytes(self) -> Result<Bytes, Error> {
        let Response { answer, end, lent } = self;
        in_time(end, async {
            let bytes = answer.into_body().collect().await?.to_bytes();
            if let Some(lent) = lent {
                lent.give_back().await;
            }
            Ok(bytes)
        })
        .await
    }

    /// # Errors
    /// The body did not come, or not in time.
    pub async fn text(self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// # Errors
    /// The body did not come, not in time, or is something else.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        Ok(serde_json::from_slice(&self.bytes().await?)?)
    }

    /// The body as it comes; the connection ends with it.
    pub fn bytes_stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Unpin {
        let Response { answer, end, lent } = self;
        let begun = (answer.into_body(), lent);
        Box::pin(futures_util::stream::try_unfold(begun, move |mut begun| async move {
            loop {
                let frame = async { begun.0.frame().await.transpose().map_err(Error::from) };
                match in_time(end, frame).await? {
                    None => return Ok(None),
                    Some(frame) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some((data, begun)));
                        }
                    }
                }
            }
        }))
    }
}
