//! Work on other threads: in the simulated world, where a host has one, it is a task that takes its time.

use std::future::Future;
use std::io;

#[cfg(not(turmoil))]
pub use tokio::task::spawn_blocking;

/// Runs `work` in one go, after a while that the seed decides.
#[cfg(turmoil)]
pub fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(async move {
        disk_takes_its_time().await;
        work()
    })
}

/// Does a process call this that has a disk? What a dead simulated host leaves may be dropped outside of any.
pub fn has_disk() -> bool {
    #[cfg(not(turmoil))]
    return true;
    #[cfg(turmoil)]
    turmoil::sim_elapsed().is_some()
}

/// As long as a write and its sync take.
#[cfg(turmoil)]
pub async fn disk_takes_its_time() {
    tokio::time::sleep(std::time::Duration::from_millis(ironcache_store::simulated::disk_ms())).await;
}

/// What [`apart`] has started.
#[derive(Debug)]
pub struct Apart {
    #[cfg(not(turmoil))]
    thread: std::thread::JoinHandle<()>,
}

/// Runs `make`'s future on a thread of its own, with a runtime of its own, on which it may spawn local tasks. In the
/// simulated world it is a local task itself.
///
/// # Errors
/// The thread or its runtime cannot be made.
#[cfg(not(turmoil))]
pub fn apart<F: Future<Output = ()>>(
    name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Apart> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime, make());
    })?;
    Ok(Apart { thread })
}

#[cfg(turmoil)]
pub fn apart<F: Future<Output = ()> + 'static>(
    _name: &str,
    make: impl FnOnce() -> F + Send + 'static,
) -> io::Result<Apart> {
    tokio::task::spawn_local(make());
    Ok(Apart {})
}

impl Apart {
    /// Waits until it has returned. Blocks.
    pub fn join(self) {
        // Whoever panicked there has said so.
        #[cfg(not(turmoil))]
        drop(self.thread.join());
    }
}
