//! A node, the step that took it out, and what an unstarted binary said of it.

use crate::parts::v1::{LevelRange, NodeRole, ProtocolRange, Reason, Release};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub id: u64,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    pub tls_port: Option<u16>,
    pub role: NodeRole,
    pub voter: bool,
    pub shard: Option<u16>,
    pub incarnation: u64,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub machine: u128,
    pub oldest: u16,
    pub staged: Vec<[u8; 32]>,
    pub preflight: Option<Preflight>,
    pub out: Option<OutStep>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutStep {
    pub plan: u64,
    pub epoch: u64,
    pub target: Release,
    pub log_index: u64,
    pub phase: TrialPhase,
    pub base_from: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TrialPhase {
    Told,
    Confirming { incarnation: u64 },
    SetAside,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preflight {
    pub digest: [u8; 32],
    pub turn: u64,
    pub problem: Option<Reason>,
}
