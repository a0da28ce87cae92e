//! How much of a thing is enough. Each bar says what suffers on either side of it.

/// The coordinator's bars. What an operator chooses for one plan is in `PlanOptions` instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bars {
    /// An answer older than this is no answer. Larger, and a step may begin on a node that has just died;
    /// smaller than a few polling periods, and a busy machine stalls the roll.
    pub seen_ms_max: u64,
    /// A keeper that its primary dropped, and whose answer is older than this, is given up: two tell of it, so less time
    /// than for anybody else is enough. Larger, and a shard is exposed for longer; not above one question that timed out
    /// (500 ms), and a node that is merely slow costs the primary an attachment.
    pub dropped_seen_ms_max: u64,
    /// A node this many entries behind has caught up with the log. Larger, and a leader may be chosen, or
    /// a step confirmed, that still has to replay; zero is never seen while other nodes report.
    pub raft_lag_entries_max: u64,
    /// A candidate this close can meet the fence at once: the fence makes the promotion exact, so this only
    /// bounds how long clients are held back. 64 KiB cross a loopback or a LAN in about a millisecond.
    pub handover_lag_bytes_max: u64,
    /// For so long a handover has the cluster to itself: no other step begins. Larger, and a shard whose
    /// handover hangs keeps the other shards waiting; smaller than a handover on a crowded machine, and its
    /// clients wait for processor time that another step takes.
    pub handover_alone_ms: u64,
    /// A member of the set that answers, but not yet as of the loss of its primary, is waited for so long. Larger, and one
    /// that died with the primary keeps the shard down; smaller, and whoever answers first is promoted, not who holds most.
    pub failover_answers_ms: u64,
    /// The pause after the first handover that failed; it doubles with each further one.
    pub handover_backoff_ms: u64,
    /// The longest such pause: longer would only hide that the shard is in trouble.
    pub handover_backoff_ms_max: u64,
}

impl Default for Bars {
    fn default() -> Self {
        Self {
            seen_ms_max: 3_000,
            dropped_seen_ms_max: 600,
            raft_lag_entries_max: 64,
            handover_lag_bytes_max: 64 * 1024,
            handover_alone_ms: 50,
            failover_answers_ms: 200,
            handover_backoff_ms: 200,
            handover_backoff_ms_max: 10_000,
        }
    }
}
