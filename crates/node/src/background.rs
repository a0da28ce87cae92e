//! Work that takes long and hurries nobody, on threads that yield to those who serve clients.
//!
//! *Invariant:* no client and no log entry ever waits for what runs here.

use tokio::sync::oneshot;

/// Hashing and syncing a binary takes tens of milliseconds of a processor: at equal priority clients would wait behind
/// it on a small machine. At 19 it could take for ever on a busy one, and the rollout waits for it.
const NICE: i32 = 10;

#[derive(Debug, thiserror::Error)]
pub(crate) enum BackgroundError {
    #[error("no thread can be started for work in the background")]
    Spawn(#[from] std::io::Error),
    #[error("work in the background panicked")]
    Panicked,
}

/// Runs `work` on a thread of its own, at a low priority, and answers what it gave.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackgroundError> {
    #[cfg(turmoil)]
    return ironcache_host::exec::spawn_blocking(work).await.map_err(|_| BackgroundError::Panicked);
    #[cfg(not(turmoil))]
    on_a_thread(work).await
}

#[cfg(not(turmoil))]
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BackgroundError> {
    let (answer, answered) = oneshot::channel();
    std::thread::Builder::new().name("background".to_owned()).spawn(move || {
        // On Linux it holds for the calling thread alone.
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(%error, "work in the background runs at full priority");
        }
        // Whoever asked may have gone.
        let _ = answer.send(work());
    })?;
    answered.await.map_err(|_| BackgroundError::Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_yields_to_others_and_its_panic_is_an_error() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(run(nice).await.unwrap(), (before + NICE).min(19));
        assert_eq!(nice(), before, "only the thread in the background is slowed");
        assert!(matches!(run(|| panic!("on purpose")).await, Err::<(), _>(BackgroundError::Panicked)));
    }
}
