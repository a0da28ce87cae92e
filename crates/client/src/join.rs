//! The first contact: with a node that is in no cluster, and that obeys whoever holds its join code.
//!
//! ```text
//!   contact ─► TLS, to anybody ─► the code, proved both ways ─► who the node is ─► bind: the cluster that it may join
//! ```
//! *Invariant:* before the node has proved the code, nothing is asked of it and nothing is told to it.

use crate::client::{ClientError, understood};
use crate::wire::{self, Answer, CallError, Connection, DialError, whole};
use hyper::{Method, Request};
use ironcache_api::{Done, JoinBind, JoinProve, JoinProved, NodeStatus};
use ironcache_identity::{Expect, JoinCode, Proof, Side, Tls};
use ironcache_types::{Digest, KeyHash, NodeId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// For each question: a node that is up answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const PROVE: &str = "/v1/join/prove";
const STATUS: &str = "/status";

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error("no node proves itself at {addr}: {why}")]
    Unreachable { addr: String, why: String },
    #[error("what answers at {addr} does not hold the join code: it is not the node that printed it")]
    OtherCode { addr: String },
    #[error(transparent)]
    Answered(#[from] ClientError),
}

/// A connection to a node that holds the code, and knows that we hold it.
#[derive(Debug)]
pub struct Contact {
    connection: Connection,
    addr: String,
    pub node: NodeId,
    /// By which the node is known from now on.
    pub key: KeyHash,
}

/// Meets the node whose HTTP address is `addr`.
///
/// # Errors
/// Nobody is there, it holds another code, or it is a member of a cluster already.
pub async fn contact(addr: &str, tls: &Tls, code: &JoinCode) -> Result<Contact, JoinError> {
    let unreachable =
        |error: DialError| JoinError::Unreachable { addr: addr.to_owned(), why: error.to_string() };
    let stream = wire::connect(addr).await.map_err(unreachable)?;
    let (mut connection, session) = wire::secure(stream, tls, Expect::Anybody).await.map_err(unreachable)?;
    let Proof(proof) = code.prove(Side::Caller, &session);
    let answer = tell(&mut connection, addr, PROVE, &JoinProve { proof: Digest(proof) }).await;
    let JoinProved { node, proof: Digest(proof) } =
        understood(answer, &Method::POST, PROVE, addr, ANSWER_TIMEOUT)?;
    let other = || JoinError::OtherCode { addr: addr.to_owned() };
    if !code.is_proved_by(&Proof(proof), Side::Called, &session) {
        return Err(other());
    }
    let key = session.peer.ok_or_else(other)?;
    Ok(Contact { connection, addr: addr.to_owned(), node, key })
}

/// Which of `pins` is the key of the node whose HTTP address is `addr`; `None`: it has another key. Nothing is asked of it.
///
/// # Errors
/// Nobody is there.
pub async fn who_is_at(
    addr: &str,
    tls: &Tls,
    pins: &BTreeSet<KeyHash>,
) -> Result<Option<KeyHash>, JoinError> {
    let stream = wire::connect(addr).await;
    let secured = match stream {
        Ok(stream) => wire::secure(stream, tls, Expect::OneOf(Arc::new(pins.clone()))).await,
        Err(error) => Err(error),
    };
    match secured {
        Ok((_, session)) => Ok(session.peer),
        Err(DialError::OtherKey) => Ok(None),
        Err(error @ (DialError::Unreachable(_) | DialError::Link(_))) => {
            Err(JoinError::Unreachable { addr: addr.to_owned(), why: error.to_string() })
        }
    }
}

/// Comes back to a node whose key is one of `pins`: it was met before, and is a member by now.
///
/// # Errors
/// Nobody is there, or somebody else.
pub async fn visit(addr: &str, tls: &Tls, pins: &BTreeSet<KeyHash>) -> Result<Contact, JoinError> {
    let unreachable =
        |error: DialError| JoinError::Unreachable { addr: addr.to_owned(), why: error.to_string() };
    let stream = wire::connect(addr).await.map_err(unreachable)?;
    let expect = Expect::OneOf(Arc::new(pins.clone()));
    let (mut connection, session) = wire::secure(stream, tls, expect).await.map_err(unreachable)?;
    let key = session.peer.ok_or_else(|| JoinError::OtherCode { addr: addr.to_owned() })?;
    let answer = in_time(&mut connection, wire::get(addr, STATUS)).await;
    let NodeStatus { node, .. } = understood(answer, &Method::GET, STATUS, addr, ANSWER_TIMEOUT)?;
    Ok(Contact { connection, addr: addr.to_owned(), node, key })
}

impl Contact {
    /// What the node says of itself.
    ///
    /// # Errors
    /// It does not answer any more.
    pub async fn status(&mut self) -> Result<NodeStatus, ClientError> {
        let answer = in_time(&mut self.connection, wire::get(&self.addr, STATUS)).await;
        understood(answer, &Method::GET, STATUS, &self.addr, ANSWER_TIMEOUT)
    }

    /// Says which cluster the node is to join, and who is in it.
    ///
    /// # Errors
    /// It is a member of another one meanwhile, or does not answer any more.
    pub async fn bind(&mut self, to: &JoinBind) -> Result<Done, ClientError> {
        self.order("/v1/join/bind", to).await
    }

    async fn order<T: DeserializeOwned>(
        &mut self,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let answer = tell(&mut self.connection, &self.addr, path, body).await;
        understood(answer, &Method::POST, path, &self.addr, ANSWER_TIMEOUT)
    }
}

async fn tell(
    connection: &mut Connection,
    addr: &str,
    path: &str,
    body: &impl Serialize,
) -> Result<Answer, CallError> {
    let body = serde_json::to_vec(body).expect("ids and hashes are JSON");
    let request = Request::post(path)
        .header(hyper::header::HOST, addr)
        .header(hyper::header::CONTENT_TYPE, "application/json")
        .body(whole(body))
        .expect("a path of ours and an address make a request");
    in_time(connection, request).await
}

async fn in_time(connection: &mut Connection, request: Request<wire::Body>) -> Result<Answer, CallError> {
    tokio::time::timeout(ANSWER_TIMEOUT, connection.send(request)).await.unwrap_or(Err(CallError::TimedOut))
}
