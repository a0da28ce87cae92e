//! Connections to nodes: plain ones, and those on which both sides have proved their keys.
//!
//! ```text
//!   request ─► a kept connection (questions only) ─┐
//!          └─► a new one: TCP ─► TLS, pinned ──────┴─► answer
//! ```
//! *Invariant:* an order goes over a new connection: on one that was kept it might be lost without anybody knowing.
//! *Invariant:* before the other side has proved a key that is pinned, no byte of a request is sent.

use crate::access::Access;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use ironcache_identity::{Expect, LinkError, Secured, Session, Tls};
use ironcache_types::{KeyHash, chain};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// A node that is up takes a connection at once, even one that is just being restarted (its launcher holds the listener).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// What a request carries.
pub(crate) type Body = BoxBody<Bytes, std::io::Error>;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum CallError {
    /// Nothing was sent.
    NotConnected(DialError),
    TimedOut,
    Broke(String),
}

#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{0}")]
    Unreachable(String),
    #[error("{0}")]
    Link(String),
    /// It is no node of ours, or not any more.
    #[error("it has a key that is not pinned")]
    OtherKey,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
    /// The key that whoever answered had proved.
    pub by: Option<KeyHash>,
}

/// How often something of a body was taken.
#[derive(Debug)]
pub(crate) struct Progress(watch::Receiver<u64>);

impl Progress {
    /// Stands still when the other half, which counts, does or is gone.
    pub(crate) fn new() -> (Progress, watch::Sender<u64>) {
        let (taken, progress) = watch::channel(0);
        (Progress(progress), taken)
    }
}

/// One connection of HTTP.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    to: Option<KeyHash>,
    _driver: Driver,
}

/// A call that is given up closes its connection.
#[derive(Debug)]
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The connections of a client.
#[derive(Debug)]
pub(crate) struct Wire {
    pub access: Access,
    /// To be asked again, by address.
    kept: Mutex<BTreeMap<String, Connection>>,
}

impl Wire {
    pub(crate) fn new(access: Access) -> Self {
        Wire { access, kept: Mutex::default() }
    }

    /// A question, which may be sent twice.
    pub(crate) async fn ask(&self, addr: &str, path: &str, within: Duration) -> Result<Answer, CallError> {
        let question = || get(addr, path);
        let asked = async {
            let kept = self.lock().remove(addr);
            if let Some(mut connection) = kept
                && let Ok(answer) = connection.send(question()).await
            {
                self.keep(addr, connection);
                return Ok(answer);
            }
            let mut connection = self.dial(addr).await.map_err(CallError::NotConnected)?;
            let answer = connection.send(question()).await?;
            self.keep(addr, connection);
            Ok(answer)
        };
        tokio::time::timeout(within, asked).await.unwrap_or(Err(CallError::TimedOut))
    }

    /// A question to one of these nodes and to nobody else, over a connection of its own.
    pub(crate) async fn ask_one_of(
        &self,
        addr: &str,
        path: &str,
        nodes: Arc<BTreeSet<KeyHash>>,
    ) -> Result<Answer, CallError> {
        let mut connection = match &self.access {
            Access::Open | Access::Without { looked: _ } => {
                return Err(CallError::NotConnected(DialError::OtherKey));
            }
            Access::Keyed(keyed) => {
                let stream = connect(addr).await.map_err(CallError::NotConnected)?;
                let secured = secure(stream, keyed.tls(), Expect::OneOf(nodes)).await;
                secured.map_err(CallError::NotConnected)?.0
            }
        };
        connection.send(get(addr, path)).await
    }

    /// An order, which is sent once.
    pub(crate) async fn tell(
        &self,
        addr: &str,
        order: Request<Body>,
        within: Duration,
    ) -> Result<Answer, CallError> {
        let mut connection = self.dial(addr).await.map_err(CallError::NotConnected)?;
        let told = connection.send(order);
        tokio::time::timeout(within, told).await.unwrap_or(Err(CallError::TimedOut))
    }

    /// An order whose body takes its time: it may, for as long as it goes on. Once `progress` has stood still for `stalled`, or
    /// the whole body is gone for as long, there is no answer.
    pub(crate) async fn tell_while(
        &self,
        addr: &str,
        order: Request<Body>,
        stalled: Duration,
        Progress(mut progress): Progress,
    ) -> Result<Answer, CallError> {
        let mut connection = self.dial(addr).await.map_err(CallError::NotConnected)?;
        let mut told = std::pin::pin!(connection.send(order));
        loop {
            let moved = async {
                if progress.changed().await.is_err() {
                    // Nothing is left to send.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                answer = &mut told => return answer,
                () = moved => {}
                () = tokio::time::sleep(stalled) => return Err(CallError::TimedOut),
            }
        }
    }

    async fn dial(&self, addr: &str) -> Result<Connection, DialError> {
        let stream = connect(addr).await?;
        match &self.access {
            Access::Open | Access::Without { looked: _ } => Connection::over(stream, None).await,
            Access::Keyed(keyed) => {
                let (connection, _) = secure(stream, keyed.tls(), Expect::OneOf(keyed.pins())).await?;
                Ok(connection)
            }
        }
    }

    fn keep(&self, addr: &str, connection: Connection) {
        if !connection.sender.is_closed() {
            self.lock().insert(addr.to_owned(), connection);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Connection>> {
        self.kept.lock().expect("nothing panics while it holds the connections")
    }
}

impl Connection {
    async fn over<S>(stream: S, to: Option<KeyHash>) -> Result<Self, DialError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let opened = handshake(TokioIo::new(stream)).await;
        let (sender, connection) = opened.map_err(|error| DialError::Link(chain(&error)))?;
        // How it ended is told to whoever waits for an answer.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Connection { sender, to, _driver: Driver(driver) })
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Answer, CallError> {
        let broke = |error: hyper::Error| CallError::Broke(root_cause(&error));
        let (parts, body) = self.sender.send_request(request).await.map_err(broke)?.into_parts();
        let body = body.collect().await.map_err(broke)?.to_bytes();
        // What is to be asked next finds the connection free, or closed.
        let _ = self.sender.ready().await;
        Ok(Answer { status: parts.status, body, by: self.to })
    }
}

pub(crate) async fn connect(addr: &str) -> Result<TcpStream, DialError> {
    let unreachable = |why: String| DialError::Unreachable(why);
    let stream = match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(unreachable(error.to_string())),
        Err(_) => return Err(unreachable(format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()))),
    };
    stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
    Ok(stream)
}

/// A connection of HTTP on which both sides have proved their keys, and what was proved.
pub(crate) async fn secure(
    stream: TcpStream,
    tls: &Tls,
    expect: Expect,
) -> Result<(Connection, Session), DialError> {
    let Secured { stream, session } = tls.connect(stream, expect).await.map_err(|error| match error {
        LinkError::OtherKey => DialError::OtherKey,
        LinkError::TooSlow | LinkError::Handshake(_) | LinkError::Library(_) => {
            DialError::Link(chain(&error))
        }
    })?;
    Ok((Connection::over(stream, session.peer).await?, session))
}

/// A question.
pub(crate) fn get(addr: &str, path: &str) -> Request<Body> {
    let request = Request::get(path).header(hyper::header::HOST, addr);
    request.body(nothing()).expect("a path of ours and an address make a request")
}

pub(crate) fn nothing() -> Body {
    http_body_util::Empty::new().map_err(|never| match never {}).boxed()
}

pub(crate) fn whole(bytes: Vec<u8>) -> Body {
    http_body_util::Full::new(Bytes::from(bytes)).map_err(|never| match never {}).boxed()
}

/// The innermost error: what the operating system said.
fn root_cause(error: &hyper::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::TryStreamExt;
    use http_body_util::StreamBody;
    use hyper::body::Frame;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    const STALLED: Duration = Duration::from_secs(600);

    /// A body of so many bytes, of which one comes in each `apart`.
    fn dripping(bytes: u64, apart: Duration, taken: watch::Sender<u64>) -> Request<Body> {
        let drops = futures_util::stream::unfold(0, move |sent| async move {
            if sent == bytes {
                return None;
            }
            tokio::time::sleep(apart).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), sent + 1))
        });
        let body = drops.map_ok(Frame::data).inspect_ok(move |_| taken.send_modify(|count| *count += 1));
        Request::post("/").header("content-length", bytes).body(StreamBody::new(body).boxed()).unwrap()
    }

    /// Takes all that comes, and answers so many bytes of body; hands back what it has got.
    async fn server(answers_after: Option<usize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = Vec::new();
            let is_whole = |got: &[u8]| {
                let body = got.windows(4).position(|end| end == b"\r\n\r\n").map(|at| got.len() - at - 4);
                answers_after.is_some_and(|bytes| body == Some(bytes))
            };
            while !is_whole(&got) {
                if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                    return;
                }
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            let _ = stream.read(&mut [0]).await;
        });
        addr
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_may_take_its_time_as_long_as_it_goes_on() {
        let (wire, addr) = (Wire::new(Access::open()), server(Some(20)).await);
        let (progress, taken) = Progress::new();
        let order = dripping(20, STALLED - Duration::from_secs(1), taken);
        let answer = wire.tell_while(&addr, order, STALLED, progress).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }

    #[tokio::test(start_paused = true)]
    async fn an_order_that_goes_on_no_more_ends_as_does_one_that_nobody_answers() {
        let wire = Wire::new(Access::open());
        for (bytes, apart) in [(2, STALLED + Duration::from_secs(1)), (2, Duration::from_secs(1))] {
            let (addr, began) = (server(None).await, tokio::time::Instant::now());
            let (progress, taken) = Progress::new();
            let ended = wire.tell_while(&addr, dripping(bytes, apart, taken), STALLED, progress).await;
            assert!(matches!(ended, Err(CallError::TimedOut)), "{ended:?}");
            assert!(began.elapsed() < STALLED + Duration::from_secs(4), "{:?}", began.elapsed());
        }
    }
}
