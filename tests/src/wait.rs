//! Waiting for a condition.

use std::time::{Duration, Instant};

/// Far above what anything here takes: debug builds, on a small machine that others use too.
pub const BOUND: Duration = Duration::from_secs(90);
/// Looking costs the nodes a round of their quorum, and the machine is small.
const LOOK_EVERY: Duration = Duration::from_millis(30);
/// For what lasts some milliseconds only.
const LOOK_CLOSELY_EVERY: Duration = Duration::from_millis(1);

/// Looks until there is something to see.
///
/// # Panics
/// After [`BOUND`], with `what`.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    look_every(LOOK_EVERY, what, look).await
}

/// [`until`], for what passes quickly.
pub async fn until_just<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    look_every(LOOK_CLOSELY_EVERY, what, look).await
}

async fn look_every<T>(pause: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let give_up = Instant::now() + BOUND;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < give_up, "not within {} s: {what}", BOUND.as_secs());
        tokio::time::sleep(pause).await;
    }
}
