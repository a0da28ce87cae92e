//! What runs the log's writer: a thread of its own, or a task of a simulated host.
//!
//! *Invariant:* ops are taken in the order in which they were queued.

#[cfg(not(turmoil))]
pub(super) use thread::{Queue, Worker};

#[cfg(turmoil)]
pub(super) use task::{Queue, Worker};

#[cfg(not(turmoil))]
mod thread {
    use crate::wal::file::LogFile;
    use crate::wal::writer::{ADVISORY_DELAY, Op, State, Work};
    use std::io;
    use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
    use std::thread::JoinHandle;

    #[derive(Debug)]
    pub(in crate::wal) struct Queue(Sender<Op>);

    #[derive(Debug)]
    pub(in crate::wal) struct Worker(JoinHandle<()>);

    impl Queue {
        pub(in crate::wal) fn start(state: State<impl LogFile>) -> io::Result<(Queue, Worker)> {
            let (queue, ops) = channel();
            let name = "raft-wal".to_owned();
            let thread = std::thread::Builder::new().name(name).spawn(move || run(state, &ops))?;
            Ok((Queue(queue), Worker(thread)))
        }

        /// Gives the op back if the writer has ended.
        pub(in crate::wal) fn send(&self, op: Op) -> Result<(), Op> {
            self.0.send(op).map_err(|refused| refused.0)
        }
    }

    impl Worker {
        /// After a stop was queued: returns when it was carried out.
        pub(in crate::wal) fn join(self) {
            if self.0.join().is_err() {
                tracing::error!("the raft log's writer thread panicked");
            }
        }
    }

    fn run(mut state: State<impl LogFile>, ops: &Receiver<Op>) {
        loop {
            let works = if state.has_advisory() {
                match ops.recv_timeout(ADVISORY_DELAY) {
                    Ok(op) => state.gather(op, || ops.try_recv().ok()),
                    Err(RecvTimeoutError::Timeout) => vec![state.advisory_alone()],
                    Err(RecvTimeoutError::Disconnected) => state.gather(Op::Stop, || None),
                }
            } else {
                match ops.recv() {
                    Ok(op) => state.gather(op, || ops.try_recv().ok()),
                    Err(_) => return,
                }
            };
            for work in works {
                match work {
                    Work::Commit(batch) => {
                        let written = state.write(batch);
                        state.settle(written);
                    }
                    Work::Replace { records } => state.replace(&records),
                    Work::Mend { records, done } => state.mend(&records, done),
                    Work::Stop => return,
                }
            }
        }
    }
}

/// Between the write of a frame and its sync lies the time that the disk takes: so a host can lose its power in between.
#[cfg(turmoil)]
mod task {
    use crate::wal::file::LogFile;
    use crate::wal::writer::{ADVISORY_DELAY, Op, State, Work};
    use ironcache_host::exec::disk_takes_its_time;
    use std::io;
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::time::timeout;

    pub(in crate::wal) struct Queue(UnboundedSender<Op>);

    impl std::fmt::Debug for Queue {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Queue")
        }
    }

    #[derive(Debug)]
    pub(in crate::wal) struct Worker;

    impl Queue {
        pub(in crate::wal) fn start(state: State<impl LogFile>) -> io::Result<(Queue, Worker)> {
            let (queue, ops) = unbounded_channel();
            tokio::spawn(run(state, ops));
            Ok((Queue(queue), Worker))
        }

        /// Gives the op back if the writer has ended.
        pub(in crate::wal) fn send(&self, op: Op) -> Result<(), Op> {
            self.0.send(op).map_err(|refused| refused.0)
        }
    }

    impl Worker {
        /// Nobody can wait here: a host whose process ends at once has been killed.
        pub(in crate::wal) fn join(self) {}
    }

    async fn run(mut state: State<impl LogFile>, mut ops: UnboundedReceiver<Op>) {
        loop {
            let works = if state.has_advisory() {
                match timeout(ADVISORY_DELAY, ops.recv()).await {
                    Ok(Some(op)) => state.gather(op, || ops.try_recv().ok()),
                    Ok(None) => state.gather(Op::Stop, || None),
                    Err(_) => vec![state.advisory_alone()],
                }
            } else {
                match ops.recv().await {
                    Some(op) => state.gather(op, || ops.try_recv().ok()),
                    None => return,
                }
            };
            for work in works {
                match work {
                    Work::Commit(batch) => {
                        let written = state.write(batch);
                        disk_takes_its_time().await;
                        state.settle(written);
                    }
                    Work::Replace { records } => state.replace(&records),
                    Work::Mend { records, done } => state.mend(&records, done),
                    Work::Stop => return,
                }
            }
        }
    }
}
