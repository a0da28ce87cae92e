//! The HTTP client of the administration API.
//!
//! It starts from one or more addresses, learns the others from the cluster's own view, and goes on
//! with another node when one is away: during a roll every node is, once.
//!
//! *Invariant:* a request that changes something is sent to nobody in particular only if somebody said that anybody will do.
//! *Invariant:* a request that changes something is sent again only when it surely was not received.
//! *Invariant:* nobody is told that the cluster cannot be reached before every way in was tried, seeds that were not needed
//! before included; and who is told so reads what each of them came to.

use crate::access::Access;
use crate::seed::{self, SeedError};
use crate::ways::Ways;
use crate::wire::{Answer, CallError, DialError, Progress, Wire, nothing, whole};
use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Method, Request, StatusCode, header};
use ironcache_api::{
    AddNode, AddOperator, AllowRelease, ApiError, AuditTrail, ClusterStatus, CreateCluster, Done, NodeStatus,
    Operators, PlanAnswer, PlanRequest, PolicyChange, PolicyStatus, RecoverRequest, Refused, RemoveNode,
    ReplaceNode, RevokeOperator, RollbackRequest, StageHold, StagedRelease, UpgradeStatus,
};
use ironcache_identity::CredentialsError;
use ironcache_types::{ClusterId, KeyHash};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Above a raft election, which a request may have to sit out.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Above what the slowest node of a new cluster takes to learn of it.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);
/// A node that takes nothing more of a binary for so long, and says nothing of it when it has it all, is gone. Who sends too
/// slowly is told by the node, much sooner; shorter, and what waits in the buffers of a slow line would be taken for that.
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
    #[error(
        "what answers at {addr} is not {expected}: it has another key, so nothing was said to it. Another address, or other \
         credentials (--credentials FILE; `--credentials none` for an insecure cluster)?"
    )]
    OtherKey { addr: String, expected: String },
    #[error("{addr} is a node of cluster {theirs}, and the credentials are of cluster {ours}")]
    OtherCluster { addr: String, ours: ClusterId, theirs: ClusterId },
    #[error(
        "nothing was ordered: {}, and without one anybody may answer. Name yours: --credentials FILE, or \
         IRONCACHE_CREDENTIALS (sudo and cron look elsewhere than you do). For a cluster that was made insecure, say so: \
         --credentials none, or IRONCACHE_CREDENTIALS=none", none_at(.looked.as_deref())
    )]
    NoCredentials { looked: Option<PathBuf> },
    #[error("could not read {}", .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("none of {} addresses leads to the cluster: {}", .each.len(), all(.each))]
    NoWay { each: Vec<ClientError> },
}

fn all(errors: &[ClientError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn none_at(looked: Option<&Path>) -> String {
    match looked {
        Some(path) => format!("there is no credentials file {}", path.display()),
        None => "no credentials file is named, and the environment has no home to look in".to_owned(),
    }
}

/// Speaks to a cluster through whichever of its nodes answers.
#[derive(Debug)]
pub struct Client {
    pub(crate) wire: Wire,
    /// HTTP addresses; the first is asked first. Never empty.
    addrs: Mutex<Vec<String>>,
    /// Those that were not needed yet, or led nowhere.
    seeds: Mutex<Vec<String>>,
}

impl Client {
    /// Through the first of `seeds` (client or HTTP addresses) that answers, and the others when that one does not any more;
    /// all of them, where only one node's key is known.
    ///
    /// # Errors
    /// Those of all seeds, if none answers.
    pub async fn of_seeds(seeds: &[String], access: Access) -> Result<Self, ClientError> {
        let (mut addrs, mut left, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for seed in seeds {
            if !addrs.is_empty() && !access.is_of_node() {
                left.push(seed.clone());
                continue;
            }
            match seed::resolve(seed).await {
                Ok(addr) => addrs.push(addr),
                Err(error) => {
                    left.push(seed.clone());
                    failed.push(error.into());
                }
            }
        }
        if addrs.is_empty() {
            return Err(ClientError::of(failed));
        }
        Ok(Self { seeds: Mutex::new(left), ..Self::with(access, addrs) })
    }

    /// Through known HTTP addresses, at least one, as nobody.
    pub fn of_http(addrs: Vec<String>) -> Self {
        Self::with(Access::Open, addrs)
    }

    /// Through known HTTP addresses, at least one.
    pub fn with(access: Access, addrs: Vec<String>) -> Self {
        Self { wire: Wire::new(access), addrs: Mutex::new(addrs), seeds: Mutex::default() }
    }

    pub fn access(&self) -> &Access {
        &self.wire.access
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

    /// Is it known who is meant to obey?
    ///
    /// # Errors
    /// There are no credentials, and nobody said that none are needed.
    pub fn may_order(&self) -> Result<(), ClientError> {
        match self.access() {
            Access::Without { looked } => Err(ClientError::NoCredentials { looked: looked.clone() }),
            Access::Open | Access::Keyed(_) => Ok(()),
        }
    }

    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        self.ask("/status").await
    }

    pub async fn cluster(&self) -> Result<ClusterStatus, ClientError> {
        let (status, by): (ClusterStatus, _) = self.ask_whom("/v1/cluster").await?;
        if let Access::Keyed(keyed) = &self.wire.access {
            if let (Some(ours), Some(theirs)) = (keyed.cluster(), status.control.cluster_id)
                && ours != theirs
            {
                return Err(ClientError::OtherCluster { addr: self.first(), ours, theirs });
            }
            if let Some(by) = by {
                self.keep_up(keyed, &status.control, by).await;
            }
        }
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
        self.post("/v1/cluster/create", || json(request), CREATE_TIMEOUT, &[]).await
    }

    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanAnswer, ClientError> {
        self.tell("/v1/upgrade/plan", request).await
    }

    /// `path` is one of the `/v1/upgrade/…` acts without a body.
    pub async fn act(&self, path: &'static str) -> Result<Done, ClientError> {
        self.post(path, Vec::new, REQUEST_TIMEOUT, &[]).await
    }

    pub async fn rollback(&self, request: &RollbackRequest) -> Result<Done, ClientError> {
        self.tell("/v1/upgrade/rollback", request).await
    }

    pub async fn recover(&self, request: &RecoverRequest) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/recover", request).await
    }

    pub async fn audit(&self) -> Result<AuditTrail, ClientError> {
        self.ask("/v1/audit").await
    }

    pub async fn policy(&self) -> Result<PolicyStatus, ClientError> {
        self.ask("/v1/policy").await
    }

    /// The policy after the change.
    pub async fn set_policy(&self, change: &PolicyChange) -> Result<PolicyStatus, ClientError> {
        self.tell("/v1/policy", change).await
    }

    pub async fn add_node(&self, request: &AddNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/add", request).await
    }

    pub async fn replace_node(&self, request: &ReplaceNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/replace", request).await
    }

    pub async fn remove_node(&self, request: &RemoveNode) -> Result<Done, ClientError> {
        self.tell("/v1/cluster/nodes/remove", request).await
    }

    pub async fn allow(&self, request: &AllowRelease) -> Result<Done, ClientError> {
        self.tell("/v1/releases/allow", request).await
    }

    pub async fn operators(&self) -> Result<Operators, ClientError> {
        self.ask("/v1/operators").await
    }

    pub async fn add_operator(&self, request: &AddOperator) -> Result<Done, ClientError> {
        self.tell("/v1/operators/add", request).await
    }

    pub async fn revoke_operator(&self, request: &RevokeOperator) -> Result<Done, ClientError> {
        self.tell("/v1/operators/revoke", request).await
    }

    /// Says where a node stands.
    #[cfg(feature = "next")]
    pub async fn set_zone(&self, request: &ironcache_api::SetZone) -> Result<Done, ClientError> {
        let level = ironcache_api::SetZone::LEVEL.to_string();
        let head = [(ironcache_api::LEVEL_HEADER, level.as_str())];
        self.post("/v1/cluster/zone", || json(request), REQUEST_TIMEOUT, &head).await
    }

    /// Sends the binary in `file` to a node. Whether it is on hold is in the answer: a node of a release that knows no
    /// hold takes no notice of it.
    pub async fn stage(&self, file: &Path, hold: StageHold) -> Result<StagedRelease, ClientError> {
        const PATH: &str = "/v1/releases";
        self.may_order()?;
        let unreadable = |source| ClientError::File { path: file.to_owned(), source };
        let size = tokio::fs::metadata(file).await.map_err(unreadable)?.len();
        let query = match hold {
            StageHold::Free => "",
            StageHold::Held => "?hold=1",
        };
        // A body is a stream that can be sent once: one for each way in.
        let (mut ways, mut failed) = (Ways::of(self), Vec::new());
        while let Some(addr) = ways.next(&mut failed).await {
            let body =
                tokio_util::io::ReaderStream::new(tokio::fs::File::open(file).await.map_err(unreadable)?);
            let (progress, taken) = Progress::new();
            let body = body.map_ok(Frame::data).inspect_ok(move |_| taken.send_modify(|count| *count += 1));
            let order = post(&addr, &format!("{PATH}{query}"))
                .header(header::CONTENT_LENGTH, size)
                .body(StreamBody::new(body).boxed())
                .expect("a path of ours and an address make a request");
            let answer = self.wire.tell_while(&addr, order, STAGE_TIMEOUT, progress).await;
            match self.read(answer, &Method::POST, PATH, &addr, STAGE_TIMEOUT) {
                Err(error) if error.is_unsent() => failed.push(error),
                other => return other,
            }
        }
        Err(ClientError::of(failed))
    }

    /// A question: asked of every known node until one answers, again while nobody leads.
    async fn ask<T: DeserializeOwned>(&self, path: &'static str) -> Result<T, ClientError> {
        Ok(self.ask_whom(path).await?.0)
    }

    /// The same; and the key that whoever answered had proved.
    async fn ask_whom<T: DeserializeOwned>(
        &self,
        path: &'static str,
    ) -> Result<(T, Option<KeyHash>), ClientError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let (mut ways, mut failed) = (Ways::of(self), Vec::new());
            while let Some(addr) = ways.next(&mut failed).await {
                let answer = self.wire.ask(&addr, path, REQUEST_TIMEOUT).await;
                let by = answer.as_ref().ok().and_then(|answer| answer.by);
                match self.read(answer, &Method::GET, path, &addr, REQUEST_TIMEOUT) {
                    Ok(answer) => {
                        self.prefer(&addr);
                        return Ok((answer, by));
                    }
                    // Another of the addresses may be a node of ours.
                    Err(error) if error.may_pass() || error.is_unsent() => failed.push(error),
                    Err(error) => return Err(error),
                }
            }
            let error = ClientError::of(failed);
            if Instant::now() >= give_up || !error.may_pass() {
                return Err(error);
            }
            tokio::time::sleep(RETRY_EVERY).await;
        }
    }

    async fn tell<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        self.post(path, || json(body), REQUEST_TIMEOUT, &[]).await
    }

    /// An order: goes to another node only if the first was not there to receive it.
    async fn post<T: DeserializeOwned>(
        &self,
        path: &'static str,
        body: impl Fn() -> Vec<u8>,
        within: Duration,
        head: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        self.may_order()?;
        let (mut ways, mut failed) = (Ways::of(self), Vec::new());
        while let Some(addr) = ways.next(&mut failed).await {
            let mut order = post(&addr, path);
            for (name, value) in head {
                order = order.header(*name, *value);
            }
            let body = body();
            let order = if body.is_empty() {
                order.body(nothing())
            } else {
                order.header(header::CONTENT_TYPE, "application/json").body(whole(body))
            };
            let order = order.expect("a path of ours and an address make a request");
            let answer = self.wire.tell(&addr, order, within).await;
            match self.read(answer, &Method::POST, path, &addr, within) {
                Err(error) if error.is_unsent() => failed.push(error),
                other => return other,
            }
        }
        Err(ClientError::of(failed))
    }

    /// Makes of an answer what it says to whom this client is.
    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<Answer, CallError>,
        method: &Method,
        path: &'static str,
        addr: &str,
        after: Duration,
    ) -> Result<T, ClientError> {
        let read = understood(answer, method, path, addr, after);
        match (read, &self.wire.access) {
            (Err(ClientError::OtherKey { addr, expected: _ }), Access::Keyed(keyed)) => {
                Err(ClientError::OtherKey { addr, expected: keyed.expected() })
            }
            (Err(ClientError::Refused(refused)), Access::Without { looked: Some(path) })
                if refused.code == NO_KEY =>
            {
                let detail = CredentialsError::Missing { path: path.clone() };
                let detail = format!("the cluster asks for a key, and {detail}");
                Err(ClientError::Refused(Refused { detail, ..refused }))
            }
            (Err(ClientError::Refused(refused)), Access::Keyed(keyed)) if refused.code == UNKNOWN_KEY => {
                let detail = format!(
                    "{}; it was revoked, or is new to that node, or never was one for {}; an admin makes another \
                     (`ironcache cluster operator add`)",
                    refused.detail,
                    keyed.expected()
                );
                Err(ClientError::Refused(Refused { detail, ..refused }))
            }
            (read, _) => read,
        }
    }

    pub(crate) fn known(&self) -> Vec<String> {
        self.lock().clone()
    }

    /// Those that are left to try, behind the known ones.
    pub(crate) fn seeds(&self) -> Vec<String> {
        self.seeds.lock().expect("nothing panics while it holds the seeds").clone()
    }

    /// A seed led to `addr`.
    pub(crate) fn found(&self, seed: &str, addr: &String) {
        self.learn([addr]);
        self.seeds.lock().expect("nothing panics while it holds the seeds").retain(|left| left != seed);
    }

    fn first(&self) -> String {
        self.lock()[0].clone()
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

/// By what a node refuses whoever shows no key.
const NO_KEY: &str = "no_key";
/// By what it refuses whoever shows a key that is not pinned there.
const UNKNOWN_KEY: &str = "unknown_key";

impl ClientError {
    /// What every way in came to: at least one.
    fn of(mut each: Vec<ClientError>) -> ClientError {
        match each.pop() {
            Some(only) if each.is_empty() => only,
            Some(last) => {
                each.push(last);
                ClientError::NoWay { each }
            }
            None => SeedError::NotAnAddress { seed: String::new() }.into(),
        }
    }

    /// Was it never sent, so that another node may be told?
    fn is_unsent(&self) -> bool {
        matches!(self, ClientError::Unreachable { .. } | ClientError::OtherKey { .. })
    }

    /// May the same question be answered by another node, or later?
    pub fn may_pass(&self) -> bool {
        match self {
            ClientError::Unreachable { .. }
            | ClientError::TimedOut { .. }
            | ClientError::Unavailable { .. } => true,
            ClientError::NoWay { each } => each.iter().any(ClientError::may_pass),
            ClientError::Seed(_)
            | ClientError::Refused(_)
            | ClientError::Answered { .. }
            | ClientError::Unreadable { .. }
            | ClientError::OtherKey { .. }
            | ClientError::OtherCluster { .. }
            | ClientError::NoCredentials { .. }
            | ClientError::File { .. } => false,
        }
    }
}

fn json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("what is asked for is JSON")
}

fn post(addr: &str, path: &str) -> hyper::http::request::Builder {
    Request::post(path).header(header::HOST, addr)
}

/// What an answer says.
pub(crate) fn understood<T: DeserializeOwned>(
    answer: Result<Answer, CallError>,
    method: &Method,
    path: &'static str,
    addr: &str,
    after: Duration,
) -> Result<T, ClientError> {
    let (method, addr) = (method.clone(), addr.to_owned());
    let Answer { status, body, by: _ } = match answer {
        Ok(answer) => answer,
        Err(CallError::NotConnected(DialError::OtherKey)) => {
            return Err(ClientError::OtherKey { addr, expected: "a node that is known".to_owned() });
        }
        Err(CallError::NotConnected(DialError::Unreachable(why) | DialError::Link(why))) => {
            return Err(ClientError::Unreachable { method, path, addr, why });
        }
        Err(CallError::TimedOut) => return Err(ClientError::TimedOut { method, path, addr, after }),
        Err(CallError::Broke(why)) if method == Method::GET => {
            return Err(ClientError::Unreachable { method, path, addr, why });
        }
        Err(CallError::Broke(why)) => return Err(ClientError::Unavailable { addr, error: why }),
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
        tokio::spawn(record(listener, answers, asked));
        (addr, requests)
    }

    async fn record(
        listener: TcpListener,
        answers: Vec<(&'static str, &'static str)>,
        asked: tokio::sync::mpsc::UnboundedSender<String>,
    ) {
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            // Most tests do not look.
            let _ = asked.send(request);
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
            stream.write_all((head + body).as_bytes()).await.unwrap();
        }
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

    /// A server as above, which first complains in HTTP of a question in RESP.
    async fn seed(answers: Vec<(&'static str, &'static str)>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            drop(stream);
            record(listener, answers, tokio::sync::mpsc::unbounded_channel().0).await;
        });
        addr
    }

    #[tokio::test]
    async fn a_seed_that_was_not_needed_is_tried_when_the_first_one_leads_nowhere_any_more() {
        // The first is there when it is looked for, and gone when it is told.
        let (first, second) = (seed(vec![]).await, seed(vec![("200 OK", r#"{"done":"paused"}"#)]).await);
        let gone = closed_port().await;
        let seeds = [first.clone(), gone, second.clone()];
        let client = Client::of_seeds(&seeds, Access::open()).await.unwrap();
        assert_eq!(client.known(), [first]);
        assert_eq!(client.act("/v1/upgrade/pause").await.unwrap().done, "paused");
        assert_eq!(client.known().last(), Some(&second));
    }

    #[tokio::test]
    async fn who_reaches_nobody_reads_what_each_address_came_to() {
        let (first, second) = (closed_port().await, closed_port().await);
        let seeds = [first.clone(), second.clone(), "nonsense".to_owned()];
        let none = Client::of_seeds(&seeds, Access::open()).await.unwrap_err().to_string();
        assert!(seeds.iter().all(|seed| none.contains(seed)), "{none}");
        let known = Client::of_http(vec![first.clone(), second.clone()]);
        let untold = known.act("/v1/upgrade/pause").await.unwrap_err();
        let text = untold.to_string();
        assert!(text.contains(&first) && text.contains(&second) && untold.may_pass(), "{text}");
        let one = Client::of_http(vec![first]).act("/v1/upgrade/pause").await;
        assert!(matches!(one, Err(ClientError::Unreachable { .. })), "{one:?}");
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
