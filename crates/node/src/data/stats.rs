//! What is counted, for `INFO` and metrics.

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stats {
    pub commands: u64,
    pub effects: u64,
    /// Keys that were read, and existed or not.
    pub hits: u64,
    pub misses: u64,
    pub moved: u64,
    pub tryagain: u64,
    pub clusterdown: u64,
    pub rejected_connections: u64,
    /// To and from clients.
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub reads: u64,
    pub writes: u64,
    pub full_syncs: u64,
    pub partial_syncs: u64,
    pub expired: u64,
    /// Keys that went for want of memory.
    pub evicted: u64,
    pub handovers: u64,
    /// How long the last handover held commands back, in microseconds.
    pub handover_stall_us: u64,
}

impl Stats {
    /// So many bytes came of a client.
    #[inline]
    pub(crate) fn received(&mut self, bytes: usize) {
        self.input_bytes += bytes as u64;
        self.reads += 1;
    }

    /// So many went to one.
    #[inline]
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.output_bytes += bytes as u64;
        self.writes += 1;
    }
}
