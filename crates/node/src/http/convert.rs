//! From the live types of log, coordinator and data plane to what the HTTP port answers, and from a request back.
//!
//! *Invariant:* every live type is taken apart without `..`: a field that is added does not compile before somebody
//! has said here whether it is shown.
//! *Invariant:* no other file makes an answer's type out of a live one.

mod control;
mod plan;
mod request;
mod security;
mod waiting_on;

pub(super) use control::{control, declined, is_held, quarantine};
pub(super) use plan::{history_entry, plan};
pub(super) use request::log_ack_mode;
pub(super) use security::{believes, log_admitted, log_role, operators};
pub(super) use waiting_on::waiting_on;

use ironcache_api as api;
use ironcache_control::{ControlState, RaftTimers, Reason};
use ironcache_types::NodeId;
use std::collections::BTreeMap;

/// Where clients are served, by the node's id.
pub(super) fn addresses(state: &ControlState) -> BTreeMap<NodeId, String> {
    state.nodes.values().map(|node| (node.id, node.client_addr.clone())).collect()
}

fn reason(reason: &Reason) -> api::Reason {
    let Reason { code, text } = reason;
    api::Reason { code: Some(code.clone()), reason: text.clone() }
}

pub(super) fn timers(timers: RaftTimers) -> api::RaftTimers {
    let RaftTimers { heartbeat_ms, election_min_ms, election_max_ms } = timers;
    api::RaftTimers { heartbeat_ms, election_min_ms, election_max_ms }
}

pub(super) fn log_timers(timers: api::RaftTimers) -> RaftTimers {
    let api::RaftTimers { heartbeat_ms, election_min_ms, election_max_ms } = timers;
    RaftTimers { heartbeat_ms, election_min_ms, election_max_ms }
}

/// One that this node itself found, and the log does not carry.
fn own_reason(text: &str) -> api::Reason {
    api::Reason { code: None, reason: text.to_owned() }
}

/// What an unstarted binary said. The key that is at fault stands at the head of the text.
pub(super) fn problem(reason: &Reason) -> api::Problem {
    let Reason { code, text } = reason;
    let key = text.split_once(": ").map(|(key, _)| key).filter(|key| !key.contains(' '));
    api::Problem { code: code.clone(), key: key.map(str::to_owned), text: text.clone() }
}
