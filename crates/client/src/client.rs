//! The HTTP client of the administration API.
//!
//! It starts from one or more addresses, learns the others from the cluster's own view, and goes on
//! with another node when one is away: during a roll every node is, once.
//!
//! *Invariant:* a request that changes something is sent again only when it surely was not received.

use crate::seed::{self, SeedError};
use ironcache_api::{
    AddNode, AllowRelease, ApiError, AuditTrail, ClusterStatus, CreateCluster, Done, NodeStatus, PlanAnswer,
    PlanRequest, PolicyChange, PolicyStatus, RecoverRequest, Refused, RemoveNode, ReplaceNode,
    RollbackRequest, StageHold, StagedRelease, UpgradeStatus,
};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A node that is up takes a connection at once, even one that is just being restarted (its launcher
/// holds the listener).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Above a raft election, which a request may have to sit out.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Sending a binary over a slow link, and its verification.
const STAGE_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a question is repeated while nobody leads: some elections.
const PATIENCE: Duration = Duration::from_secs(6);
const RETRY_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error("no node answers {method} {path} (last asked: {addr}): {why}")]
    Unreachable { method: Method, path: &'static str, addr: String, why: String },
    #[error("{addr} did not answer {method} {path} within {} s; whether it was done is unknown", .after.as_secs())]
    TimedOut { method: Method, path: &'static str, addr: String, after: Duration },
    #[error("{addr} answers: {error}")]
    Unavailable { addr: String, error: String },
    #[error("refused ({}): {}", .0.code, .0.detail)]
    Refused(Refused),
    #[error("{addr} answers {method} {path} with {status}: {error}")]
    Answered { method: Method, path: &'static str, addr: String, status: StatusCode, error: String },
    #[error("{addr} answers {method} {path} with something else than expected: {why}")]
    Unreadable { method: Method, path: &'static str, addr: String, why: String },
    #[error("could not read {}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
}

/// Speaks to a cluster through whichever of its nodes answers.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    /// HTTP addresses; the first is asked first. Never empty.
    addrs: Mutex<Vec<String>>,
}

impl Client {
    /// Through the first of `seeds` (client or HTTP addresses) that answers.
    ///
    /// # Errors
    /// That of the last seed, if none answers.
    pub async fn of_seeds(seeds: &[String]) -> Result<Self, ClientError> {
        let mut last = SeedError::NotAnAddress { seed: String::new() };
        for seed in seeds {
            match seed::resolve(seed).await {
                Ok(addr) => return Ok(Self::of_http(vec![addr])),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    /// Through known HTTP addresses, at least one.
    pub fn of_http(addrs: Vec<String>) -> Self {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // A proxy for the web must not come between an operator and a cluster.
            .no_proxy()
            .build()
            .expect("a client without TLS and proxies has nothing that can fail to load");
        Self { http, addrs: Mutex::new(addrs) }
    }

    /// Remembers `addrs` as further ways in.
    pub fn learn<'a>(&self, addrs: impl IntoIterator<Item = &'a String>) {
        let mut known = self.lock();
        for addr in addrs {
            if !known.contains(addr) {
                known.push(addr.clone());
            }
        }
    }

    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        self.ask("/status").await
    }

    pub async fn cluster(&self) -> Result<ClusterStatus, ClientError> {
        let status: ClusterStatus = self.ask("/v1/cluster").await?;
        self.learn(status.control.nodes.values().map(|n| &n.http_addr));
        Ok(status)
    }

    pub async fn upgrade(&self) -> Result<UpgradeStatus, ClientError> {
        self.ask("/v1/upgrade").await
    }

    pub async fn releases(&self) -> Result<Vec<StagedRelease>, ClientError> {
        self.ask("/v1/releases").await
    }

    pub async fn create(&self, request: &CreateCluster) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/create", |call| call.json(request).timeout(Duration::from_secs(60))).await
    }

    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanAnswer, ClientError> {
        self.tell("/v1/upgrade/plan", |call| call.json(request)).await
    }

    /// `path` is one of the `/v1/upgrade/…` acts without a body.
    pub async fn act(&self, path: &'static str) -> Result<Done, ClientError> {
        self.tell(path, |call| call).await
    }

    pub async fn rollback(&self, request: &RollbackRequest) -> Result<Done, ClientError> {
        self.tell("/v1/upgrade/rollback", |call| call.json(request)).await
    }

    pub async fn recover(&self, request: &RecoverRequest) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/recover", |call| call.json(request)).await
    }

    pub async fn audit(&self) -> Result<AuditTrail, ClientError> {
        self.ask("/v1/audit").await
    }

    pub async fn policy(&self) -> Result<PolicyStatus, ClientError> {
        self.ask("/v1/policy").await
    }

    /// The policy after the change.
    pub async fn set_policy(&self, change: &PolicyChange) -> Result<PolicyStatus, ClientError> {
        self.tell("/v1/policy", |call| call.json(change)).await
    }

    pub async fn add_node(&self, request: &AddNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/add", |call| call.json(request)).await
    }

    pub async fn replace_node(&self, request: &ReplaceNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/replace", |call| call.json(request)).await
    }

    pub async fn remove_node(&self, request: &RemoveNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/remove", |call| call.json(request)).await
    }

    pub async fn allow(&self, request: &AllowRelease) -> Result<Done, ClientError> {
        self.tell("/v1/releases/allow", |call| call.json(request)).await
    }

    /// Says where a node stands.
    #[cfg(feature = "next")]
    pub async fn set_zone(&self, request: &ironcache_api::SetZone) -> Result<Done, ClientError> {
        let level = ironcache_api::SetZone::LEVEL.to_string();
        self.tell("/v1/cluster/zone", |call| call.json(request).header(ironcache_api::LEVEL_HEADER, &level))
            .await
    }

    /// Sends the binary in `file` to a node. Whether it is on hold is in the answer: a node of a release that knows no
    /// hold takes no notice of it.
    pub async fn stage(&self, file: &Path, hold: StageHold) -> Result<StagedRelease, ClientError> {
        let unreadable = |source| ClientError::File { path: file.to_owned(), source };
        let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        let body = || async {
            let file = tokio::fs::File::open(file).await?;
            Ok::<_, std::io::Error>(reqwest::Body::wrap_stream(tokio_util::io::ReaderStream::new(file)))
        };
        let query = match hold {
            StageHold::Free => "",
            StageHold::Held => "?hold=1",
        };
        // A body is a stream that can be sent once: one for each way in.
        let addrs = self.lock().clone();
        let mut last = None;
        for addr in addrs {
            let body = body().await.map_err(unreadable)?;
            let call = self
                .http
                .post(format!("http://{addr}/v1/releases{query}"))
                .header(reqwest::header::CONTENT_LENGTH, size)
                .timeout(STAGE_TIMEOUT)
                .body(body);
            match read(call.send().await, &Method::POST, "/v1/releases", &addr, STAGE_TIMEOUT).await {
                Err(error @ ClientError::Unreachable { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.expect("a client has at least one address"))
    }

    /// A question: asked of every known node until one answers, again while nobody leads.
    async fn ask<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, ClientError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let addrs = self.lock().clone();
            let mut last = None;
            for addr in &addrs {
                let call = self.http.get(format!("http://{addr}{path}")).timeout(REQUEST_TIMEOUT);
                match read(call.send().await, &Method::GET, path, addr, REQUEST_TIMEOUT).await {
                    Ok(answer) => {
                        self.prefer(addr);
                        return Ok(answer);
                    }
                    Err(
                        error @ (ClientError::Unreachable { .. }
                        | ClientError::TimedOut { .. }
                        | ClientError::Unavailable { .. }),
                    ) => last = Some(error),
                    Err(error) => return Err(error),
                }
            }
            if Instant::now() >= give_up {
                return Err(last.expect("a client has at least one address"));
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    /// An order: goes to another node only if the first was not there to receive it.
    async fn tell<T: DeserializeOwned>(
        &self,
        path: &'static str,
        dress: impl Fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder,
    ) -> Result<T, ClientError> {
        let addrs = self.lock().clone();
        let mut last = None;
        for addr in &addrs {
            let call = dress(self.http.post(format!("http://{addr}{path}")).timeout(REQUEST_TIMEOUT));
            match read(call.send().await, &Method::POST, path, addr, REQUEST_TIMEOUT).await {
                Err(error @ ClientError::Unreachable { .. }) => last = Some(error),
                other => return other,
            }
        }
        Err(last.expect("a client has at least one address"))
    }

    fn prefer(&self, addr: &str) {
        let mut known = self.lock();
        if let Some(at) = known.iter().position(|a| a == addr) {
            known.swap(0, at);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.addrs.lock().expect("nothing panics while it holds the address list")
    }
}

async fn read<T: DeserializeOwned>(
    sent: Result<reqwest::Response, reqwest::Error>,
    method: &Method,
    path: &'static str,
    addr: &str,
    after: Duration,
) -> Result<T, ClientError> {
    let (method, addr) = (method.clone(), addr.to_owned());
    let response = match sent {
        Ok(response) => response,
        // The connection was never made, so nothing was received.
        Err(error) if error.is_connect() => {
            return Err(ClientError::Unreachable { method, path, addr, why: root_cause(&error) });
        }
        Err(error) if error.is_timeout() => return Err(ClientError::TimedOut { method, path, addr, after }),
        Err(error) if method == Method::GET => {
            return Err(ClientError::Unreachable { method, path, addr, why: root_cause(&error) });
        }
        Err(error) => return Err(ClientError::Unavailable { addr, error: root_cause(&error) }),
    };
    let status = response.status();
    let body = match response.bytes().await {
        Ok(body) => body,
        Err(error) => return Err(ClientError::Unavailable { addr, error: root_cause(&error) }),
    };
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable {
            method,
            path,
            addr,
            why: error.to_string(),
        });
    }
    let told = serde_json::from_slice::<ApiError>(&body).unwrap_or_else(|_| ApiError {
        error: String::from_utf8_lossy(&body).trim().to_owned(),
        refused: None,
    });
    Err(match (told.refused, status) {
        (Some(refused), _) => ClientError::Refused(refused),
        (None, StatusCode::SERVICE_UNAVAILABLE) => ClientError::Unavailable { addr, error: told.error },
        (None, status) => ClientError::Answered { method, path, addr, status, error: told.error },
    })
}

/// The innermost error: what the operating system said.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Answers each connection's request with the next of `answers`: status line and body.
    async fn server(answers: Vec<(&'static str, &'static str)>) -> String {
        recorder(answers).await.0
    }

    /// The same, and gives what was asked, until the head and what came with it.
    async fn recorder(
        answers: Vec<(&'static str, &'static str)>,
    ) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
        let (asked, requests) = tokio::sync::mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                // Most tests do not look.
                let _ = asked.send(request);
                let length = body.len();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                stream.write_all((head + body).as_bytes()).await.unwrap();
            }
        });
        (addr, requests)
    }

    /// Head and body, whose length the head tells.
    async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
        let mut request = String::new();
        loop {
            let mut chunk = [0; 4096];
            let count = stream.read(&mut chunk).await.unwrap();
            assert!(count > 0, "{request:?}");
            request.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            let Some((head, body)) = request.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return request;
            }
        }
    }

    async fn closed_port() -> String {
        TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
    }

    async fn act(answers: Vec<(&'static str, &'static str)>) -> Result<Done, ClientError> {
        Client::of_http(vec![server(answers).await]).act("/v1/upgrade/pause").await
    }

    #[tokio::test]
    async fn a_guardrails_refusal_keeps_its_code() {
        let body = r#"{"error":"no","refused":{"code":"no_plan","detail":"nothing to pause"}}"#;
        let error = act(vec![("409 Conflict", body)]).await.unwrap_err();
        assert!(matches!(&error, ClientError::Refused(r) if r.code == "no_plan"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_refused_says_whose_fault_it_is() {
        let of = async |status, body| act(vec![(status, body)]).await.unwrap_err();
        let bad = of("400 Bad Request", r#"{"error":"bad"}"#).await;
        assert!(matches!(&bad, ClientError::Answered { error, .. } if error == "bad"), "{bad}");
        let oops = of("500 Internal Server Error", "oops").await;
        assert!(matches!(&oops, ClientError::Answered { error, .. } if error == "oops"), "{oops}");
        assert!(matches!(of("200 OK", "no json").await, ClientError::Unreadable { .. }));
        let nobody = of("503 Service Unavailable", r#"{"error":"no leader"}"#).await;
        assert!(matches!(nobody, ClientError::Unavailable { .. }));
        let closed = Client::of_http(vec![closed_port().await]).act("/v1/upgrade/pause").await;
        assert!(matches!(closed, Err(ClientError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn a_node_that_is_away_is_passed_over() {
        let addrs = vec![closed_port().await, server(vec![("200 OK", r#"{"done":"paused"}"#)]).await];
        assert_eq!(Client::of_http(addrs).act("/v1/upgrade/pause").await.unwrap().done, "paused");
    }

    #[tokio::test]
    async fn a_question_is_repeated_until_somebody_leads() {
        let addr =
            server(vec![("503 Service Unavailable", r#"{"error":"no leader"}"#), ("200 OK", "[]")]).await;
        assert!(Client::of_http(vec![addr]).releases().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_order_that_was_received_is_not_sent_again() {
        let first = server(vec![("503 Service Unavailable", r#"{"error":"no leader"}"#)]).await;
        let second = server(vec![("200 OK", r#"{"done":"paused"}"#)]).await;
        let told = Client::of_http(vec![first, second]).act("/v1/upgrade/pause").await;
        assert!(matches!(told, Err(ClientError::Unavailable { .. })), "{told:?}");
    }

    #[tokio::test]
    async fn the_acts_go_to_their_paths_with_their_bodies() {
        let done = ("200 OK", r#"{"done":"done"}"#);
        let policy = r#"{"epoch":7,"settings":[]}"#;
        let (addr, mut asked) = recorder(vec![done, ("200 OK", policy), ("200 OK", policy), done]).await;
        let client = Client::of_http(vec![addr]);
        client.rollback(&RollbackRequest { reason: Some("too slow".to_owned()) }).await.unwrap();
        assert!(client.policy().await.unwrap().settings.is_empty());
        let set = [("max-parallel".to_owned(), "2".to_owned())].into();
        client.set_policy(&PolicyChange { set, seen: None }).await.unwrap();
        client.allow(&AllowRelease { version: "1.2.0".parse().unwrap() }).await.unwrap();
        for (line, body) in [
            ("POST /v1/upgrade/rollback HTTP/1.1", r#"{"reason":"too slow"}"#),
            ("GET /v1/policy HTTP/1.1", ""),
            ("POST /v1/policy HTTP/1.1", r#"{"set":{"max-parallel":"2"},"seen":null}"#),
            ("POST /v1/releases/allow HTTP/1.1", r#"{"version":"1.2.0"}"#),
        ] {
            let request = asked.recv().await.unwrap();
            let (head, sent) = request.split_once("\r\n\r\n").unwrap();
            assert_eq!((head.lines().next(), sent), (Some(line), body));
        }
    }

    #[tokio::test]
    async fn a_hold_is_asked_for_and_what_became_of_it_is_in_the_answer() {
        let digest = "02".repeat(32);
        let answer = |hold| {
            let release = format!(r#"{{"version":"1.2.0","digest":"{digest}"}}"#);
            format!(
                r#"{{"release":{release},"size_bytes":3,"held_by":1,"nodes":1,{hold}"quarantined":null}}"#
            )
        };
        let (held, old) = (answer(r#""hold":true,"#).leak(), answer("").leak());
        let (addr, mut asked) = recorder(vec![("200 OK", held), ("200 OK", old)]).await;
        let client = Client::of_http(vec![addr]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert!(client.stage(file.path(), StageHold::Held).await.unwrap().hold);
        assert!(asked.recv().await.unwrap().starts_with("POST /v1/releases?hold=1 HTTP/1.1"));
        assert!(!client.stage(file.path(), StageHold::Free).await.unwrap().hold, "a node that knows no hold");
        let request = asked.recv().await.unwrap();
        assert!(request.starts_with("POST /v1/releases HTTP/1.1") && request.ends_with("abc"), "{request}");
    }
}
