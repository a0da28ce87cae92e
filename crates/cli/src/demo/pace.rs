//! Operations at a steady rate, over some connections.
//!
//! Open loop: an operation is due by the clock, not when the one before has been answered, and its
//! latency counts from when it was due. So a stall shows in as many latencies as operations were due
//! meanwhile, whether they waited in the client or in front of it.
//!
//! *Invariant:* no operation is passed over: one that finds every connection busy goes as soon as one
//! is free.

use redis::cluster_async::ClusterConnection;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

/// A finer tick is beyond the runtime's timer; a coarser one makes bursts.
const TICK: Duration = Duration::from_millis(1);

/// Operations under way on one connection. The client library (redis 1.8) queues 50 for the wire: with
/// more, some wait inside it for a place, are granted it while it refreshes its slot map and does not poll
/// them, and the refresh waits behind them for ever. Fewer than 50 never wait there; a handover that stalls
/// one connection by more than this many operations moves on to the next connection.
const UNDER_WAY_MAX: u32 = 40;

/// The last answers have to be there by then.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Running {
    Yes,
    No,
}

/// One connection, and room for the operations that it may have under way.
pub(super) struct Lane {
    connection: ClusterConnection,
    room: Arc<Semaphore>,
}

impl Lane {
    pub(super) fn new(connection: ClusterConnection) -> Self {
        Self { connection, room: Arc::new(Semaphore::new(UNDER_WAY_MAX as usize)) }
    }
}

/// Starts `operation` `rate` times a second until told to stop; then waits for those under way. Each is given
/// its connection, and the time at which it was due. Gives the time at which it was told to stop.
pub(super) async fn pace<F>(
    rate: u32,
    lanes: Vec<Lane>,
    running: watch::Receiver<Running>,
    mut operation: impl FnMut(ClusterConnection, Instant) -> F,
) -> Instant
where
    F: Future<Output = ()> + Send + 'static,
{
    let start = Instant::now();
    let every = Duration::from_secs(1) / rate;
    let mut due = start;
    let mut next_lane = 0;
    let mut ticker = tokio::time::interval(TICK);
    while *running.borrow() == Running::Yes {
        ticker.tick().await;
        let now = Instant::now();
        while due <= now {
            let free = (0..lanes.len()).map(|i| (next_lane + i) % lanes.len()).find_map(|at| {
                let room = Arc::clone(&lanes[at].room).try_acquire_owned().ok()?;
                Some((at, room))
            });
            let Some((at, room)) = free else { break };
            next_lane = at + 1;
            let operation = operation(lanes[at].connection.clone(), due);
            tokio::spawn(async move {
                operation.await;
                drop(room);
            });
            due += every;
        }
    }
    let ended_at = Instant::now();
    let all_done = async {
        for lane in &lanes {
            // The semaphore is never closed.
            let _ = lane.room.acquire_many(UNDER_WAY_MAX).await;
        }
    };
    // What is still under way then is counted when the ledger is closed.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, all_done).await;
    ended_at
}
