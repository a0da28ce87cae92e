//! The calling side.
//!
//! *Invariant:* a call names the node that it is for, and the [`Dial`](http::Dial) lets nobody else answer.
//! *Invariant:* a node that is gone is told of once, and once more when it answers again: openraft would say it at every
//! heartbeat, for as long as a machine is away (see `log_filter` of the binary).

use super::{APPEND, PRE_VOTE, REGISTERED_LIFE, Rpc, SNAPSHOT, TRANSFER, VOTE};
use crate::bodies::v1;
use crate::identity::Identity;
use crate::lives::{Lives, WentBack};
use crate::machine::SnapshotData;
use crate::options::RaftOptions;
use crate::types::{PeerAddr, TypeConfig, Vote, node_id};
use ironcache_formats::wire::{self, Header, WireError};
use ironcache_host::http::{self, StatusCode};
use ironcache_types::{Incarnation, NodeId, chain};
use openraft::alias::SnapshotOf;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Connections of this node to all others; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    http: http::Client,
    identity: Arc<Identity>,
    book: AddressBook,
    /// Who gave no usable answer the last time.
    silent: Arc<Mutex<BTreeSet<NodeId>>>,
    rpc_timeout: Duration,
    snapshot_timeout: Duration,
}

/// Where the members are by the newest membership in this node's log, once raft runs. openraft keeps a connection
/// for as long as a node leads, made with the address of its beginning; a node may move within that time.
#[derive(Clone, Default)]
struct AddressBook(Arc<OnceLock<Box<Lookup>>>);

type Lookup = dyn Fn(NodeId) -> Option<PeerAddr> + Send + Sync;

impl fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressBook").field("open", &self.0.get().is_some()).finish()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("this node belongs to no cluster")]
    NoCluster,
    #[error("node {to} at {addr} cannot be reached: {reason}")]
    Unreachable { to: NodeId, addr: PeerAddr, reason: String },
    #[error("node {to} at {addr} did not answer within {timeout_ms} ms")]
    Timeout { to: NodeId, addr: PeerAddr, timeout_ms: u128 },
    #[error("node {to} at {addr} refused with status {status}: {text}")]
    Refused { to: NodeId, addr: PeerAddr, status: u16, text: String },
    #[error("the RPC body is not usable")]
    Wire(#[from] WireError),
    /// Nothing of what it answers counts.
    #[error(transparent)]
    WentBack(#[from] WentBack),
}

impl Peers {
    pub(crate) fn new(identity: Arc<Identity>, options: &RaftOptions) -> Self {
        let connect = Duration::from_millis(options.rpc_timeout_ms);
        let waits = http::Waits { connect, ..http::Waits::default() };
        Peers {
            http: http::Client::new(Arc::clone(&options.dial), waits),
            identity,
            book: AddressBook::default(),
            silent: Arc::default(),
            rpc_timeout: Duration::from_millis(options.rpc_timeout_ms),
            snapshot_timeout: Duration::from_millis(options.snapshot_timeout_ms),
        }
    }

    /// From here on a member's address is looked up at each call. To be called once.
    pub(crate) fn look_up_with(&self, lookup: impl Fn(NodeId) -> Option<PeerAddr> + Send + Sync + 'static) {
        // A second book would be as good as the first.
        let _ = self.book.0.set(Box::new(lookup));
    }

    /// Where `to` is now; `known` if the membership does not tell.
    fn addr_of(&self, to: NodeId, known: &PeerAddr) -> PeerAddr {
        self.book.0.get().and_then(|lookup| lookup(to)).unwrap_or_else(|| known.clone())
    }

    /// What the last call to `to` came to.
    fn note<A>(&self, to: NodeId, came_to: &Result<A, CallError>) {
        let mut silent = self.silent.lock().expect("nothing panics while it holds the list");
        match came_to {
            Ok(_) if silent.remove(&to) => tracing::info!(peer = %to, "raft hears the peer again"),
            Err(error) if silent.insert(to) => {
                tracing::warn!(peer = %to, error = %chain(error), "raft does not hear the peer");
            }
            Ok(_) | Err(_) => {}
        }
    }

    pub(crate) async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        to: NodeId,
        addr: &PeerAddr,
        rpc: Rpc,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, CallError> {
        let header = self.identity.header(to).ok_or(CallError::NoCluster)?;
        let sealed = Header::at(rpc.request, self.identity.level()).map_err(WireError::from)?;
        let body = wire::seal(sealed, &(header, request))?;
        let url = format!("http://{addr}{}", rpc.path);
        let failed = |error: http::Error| match error.is_timeout() {
            true => CallError::Timeout { to, addr: addr.clone(), timeout_ms: timeout.as_millis() },
            false => CallError::Unreachable { to, addr: addr.clone(), reason: chain(&error) },
        };
        let response = self.http.post(url).to(to).timeout(timeout).body(body).send().await.map_err(failed)?;
        let status = response.status();
        let registered = registered_life(&response);
        let bytes = response.bytes().await.map_err(failed)?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if status == StatusCode::GONE
                && let Some(registered) = registered
            {
                let Lives { remembered, present } = self.identity.lives();
                let node = self.identity.node;
                self.identity.note_went_back(WentBack { node, remembered, present, registered });
            }
            return Err(CallError::Refused { to, addr: addr.clone(), status: status.as_u16(), text });
        }
        let (lives, answer): (v1::Lives, A) = wire::open(rpc.response, &bytes)?.body()?;
        self.identity.compare(to, lives.into())?;
        Ok(answer)
    }
}

/// The later life of this node that the other side knows of, if that is why it refuses.
fn registered_life(response: &http::Response) -> Option<Incarnation> {
    response.headers().get(REGISTERED_LIFE)?.to_str().ok()?.parse().ok().map(Incarnation)
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, node: &PeerAddr) -> Peer {
        Peer { peers: self.clone(), to: node_id(target), addr: node.clone() }
    }
}

/// One other node, as openraft calls it.
pub(crate) struct Peer {
    peers: Peers,
    to: NodeId,
    addr: PeerAddr,
}

impl Peer {
    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        rpc: Rpc,
        action: RPCTypes,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, RPCError<TypeConfig>> {
        let addr = self.peers.addr_of(self.to, &self.addr);
        let answer = self.peers.call(self.to, &addr, rpc, request, timeout).await;
        self.peers.note(self.to, &answer);
        answer.map_err(|error| match error {
            CallError::Timeout { .. } => RPCError::Timeout(Timeout {
                action,
                id: self.peers.identity.node.0,
                target: self.to.0,
                timeout,
            }),
            CallError::Unreachable { .. }
            | CallError::NoCluster
            | CallError::Refused { .. }
            | CallError::WentBack(_) => RPCError::Unreachable(Unreachable::from_string(chain(&error))),
            CallError::Wire(_) => RPCError::Network(NetworkError::from_string(chain(&error))),
        })
    }
}

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        // openraft's own limit is the heartbeat interval, less than a slow disk needs for one fsync. It
        // enforces that for heartbeats; a replication stream waits as long as we say.
        let request = v1::AppendRequest::from(&request);
        let timeout = self.peers.rpc_timeout;
        let response: v1::AppendResponse =
            self.call(APPEND, RPCTypes::AppendEntries, &request, timeout).await?;
        Ok(response.into())
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = v1::VoteRequest::from(request);
        let response: v1::VoteResponse = self.call(VOTE, RPCTypes::Vote, &request, option.soft_ttl()).await?;
        Ok(response.into())
    }

    // The default would grant without asking.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = v1::VoteRequest::from(request);
        let response: v1::VoteResponse =
            self.call(PRE_VOTE, RPCTypes::Vote, &request, option.soft_ttl()).await?;
        Ok(response.into())
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let request = v1::SnapshotRequest {
            vote: vote.into(),
            meta: (&snapshot.meta).into(),
            data: snapshot.snapshot.as_ref().clone(),
        };
        let timeout = self.peers.snapshot_timeout;
        let call =
            self.call::<_, v1::SnapshotResponse>(SNAPSHOT, RPCTypes::InstallSnapshot, &request, timeout);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            response = call => Ok(response?.into()),
        }
    }

    // The default answers Unreachable.
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = v1::TransferRequest::from(request);
        let response: v1::TransferResponse =
            self.call(TRANSFER, RPCTypes::TransferLeader, &request, option.soft_ttl()).await?;
        Ok(response.into())
    }
}
