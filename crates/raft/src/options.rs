//! How a node takes part: where it keeps its log, and how long it waits.

use crate::identity::{AnyCluster, MayJoin};
use crate::timers::Timers;
use ironcache_control::RaftTimers;
use ironcache_formats::levels;
use ironcache_host::http::{Dial, Plain};
use ironcache_store::LevelFile;
use ironcache_types::{Incarnation, LevelRange, Member, NodeId};
use openraft::{Config, SnapshotPolicy, StepDownPolicy};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct RaftOptions {
    pub node: NodeId,
    /// Of this process: later than that of every earlier one of the node.
    pub incarnation: Incarnation,
    /// The node is known to have been a member of a cluster: it does not start with an empty log.
    pub is_member: bool,
    /// Holds `raft.wal` and what lies beside it, `snapshot` and `lock`; made if it does not exist.
    pub dir: PathBuf,
    /// The file that says at which level this node writes, for all of its data directory.
    pub level: LevelFile,
    /// The levels that this node may be at: those of the build.
    pub admits: LevelRange,
    pub timers: Timers,
    /// One replication or vote RPC.
    pub rpc_timeout_ms: u64,
    /// Sending and installing one snapshot.
    pub snapshot_timeout_ms: u64,
    /// How long `propose` and the other verbs look for a leader and try again.
    pub ask_timeout_ms: u64,
    /// Log entries between two snapshots.
    pub snapshot_every: u64,
    /// How other nodes are reached, so that nobody else answers for them.
    pub dial: Arc<dyn Dial>,
    /// Which cluster it joins while it belongs to none.
    pub may_join: Arc<dyn MayJoin>,
}

impl RaftOptions {
    /// Timers for small or shared machines; the file `level` in `dir`; whoever answers is believed, and whichever cluster calls
    /// first is joined.
    pub fn new(me: Member, dir: PathBuf) -> Self {
        let Member { node, incarnation } = me;
        RaftOptions {
            node,
            incarnation,
            is_member: false,
            level: LevelFile::new(&dir),
            admits: levels::RANGE,
            dir,
            timers: Timers::OfTheCluster,
            rpc_timeout_ms: 500,
            snapshot_timeout_ms: 10_000,
            ask_timeout_ms: 5000,
            snapshot_every: 2000,
            dial: Arc::new(Plain),
            may_join: Arc::new(AnyCluster),
        }
    }

    pub(crate) fn ask_timeout(&self) -> Duration {
        Duration::from_millis(self.ask_timeout_ms)
    }

    pub(crate) fn config(&self, timers: RaftTimers) -> Result<Config, openraft::ConfigError> {
        let RaftTimers { heartbeat_ms, election_min_ms, election_max_ms } = timers;
        let heartbeat = format!("{heartbeat_ms}ms");
        Config {
            cluster_name: "ironcache".to_owned(),
            heartbeat_interval: heartbeat_ms,
            election_timeout_min: election_min_ms,
            election_timeout_max: election_max_ms,
            install_snapshot_timeout: self.snapshot_timeout_ms,
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.snapshot_every),
            // A follower that was away for a restart catches up from the log, not with a snapshot.
            max_in_snapshot_log_to_keep: self.snapshot_every / 2,
            replication_lag_threshold: self.snapshot_every * 2,
            // A node that cannot win does not raise the term, so it cannot depose a healthy leader.
            enable_pre_vote: Some(true),
            // Once it is admitted.
            enable_elect: false,
            // A leader without a quorum goes quiet, so that the others may elect. At least lease + election_max.
            quorum_loss_probe_interval: Some(election_max_ms * 2),
            // A restarted leader must win an election again. If it lost unsynced entries that a follower has,
            // leading on in the old term would give two entries one log id.
            enable_leader_restore: Some(false),
            // Followers sync while the leader does.
            broadcast_submitted_on_append: Some(true),
            removed_leader_step_down: StepDownPolicy::After(election_min_ms),
            // A node that restarts is reached again within a heartbeat: a rollout waits for it.
            backoff: format!("{heartbeat} {heartbeat} {heartbeat}"),
            ..Config::default()
        }
        .validate()
    }
}
