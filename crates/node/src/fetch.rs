//! Getting a release's binary from a peer.

use crate::background;
use futures_util::StreamExt;
use ironcache_spine::{ArtifactError, SlotStore};
use ironcache_types::{Digest, Release, Version, chain};
use std::sync::Arc;
use std::time::Duration;

/// A source that is silent for this long is given up; a shorter bound gives up on a slow disk or a busy machine.
const SILENCE_MAX: Duration = Duration::from_millis(10_000);

/// What is to be fetched, and from whom.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub digest: Digest,
    pub version: Version,
    pub size_bytes: u64,
    /// `host:port` of peer ports, in the order to try.
    pub sources: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no node could give the artifact; the last one: {last}")]
    NoSource { last: String },
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    #[error("the task that writes the artifact ended badly")]
    Task(#[from] tokio::task::JoinError),
    #[error(transparent)]
    Background(#[from] background::BackgroundError),
}

/// Fetches, resuming what an earlier attempt left, and verifies: the slot is there afterwards. What an operator
/// has handed to this very node is there already, and only hashed.
pub(crate) async fn fetch(
    client: &ironcache_host::http::Client,
    slots: &Arc<SlotStore>,
    wanted: &Wanted,
) -> Result<Release, FetchError> {
    let (store, digest) = (Arc::clone(slots), wanted.digest);
    if background::run(move || store.open_unchanged(&digest)).await?.is_ok() {
        return Ok(Release { version: wanted.version.clone(), digest });
    }
    let mut last = "no node holds it".to_owned();
    for source in &wanted.sources {
        match from_source(client, slots, wanted, source).await {
            Ok(release) => return Ok(release),
            Err(SourceError::Here(error)) => return Err(error),
            Err(SourceError::There(problem)) => {
                tracing::warn!(source, problem, "an artifact did not come from this node");
                last = format!("{source}: {problem}");
            }
        }
    }
    Err(FetchError::NoSource { last })
}

enum SourceError {
    /// Another source may do better.
    There(String),
    /// It would fail from anywhere.
    Here(FetchError),
}

impl SourceError {
    fn of(error: ArtifactError) -> Self {
        match error {
            ArtifactError::Disk(_) => SourceError::Here(error.into()),
            ArtifactError::Size { .. }
            | ArtifactError::Busy { .. }
            | ArtifactError::OutOfOrder { .. }
            | ArtifactError::TooLong { .. }
            | ArtifactError::Truncated { .. }
            | ArtifactError::WrongDigest { .. }
            | ArtifactError::WrongVersion { .. }
            | ArtifactError::NoRelease { .. } => SourceError::There(chain(&error)),
        }
    }
}

async fn from_source(
    client: &ironcache_host::http::Client,
    slots: &Arc<SlotStore>,
    wanted: &Wanted,
    source: &str,
) -> Result<Release, SourceError> {
    let there = |error: ironcache_host::http::Error| SourceError::There(error.to_string());
    let release = Release { version: wanted.version.clone(), digest: wanted.digest };
    let here = |error: ArtifactError| SourceError::Here(error.into());
    let (store, size) = (Arc::clone(slots), wanted.size_bytes);
    let mut partial =
        blocking(move || store.begin(&release, size)).await.map_err(SourceError::Here)?.map_err(here)?;
    let mut at = partial.resume_at();
    let url = format!("http://{source}/artifacts/{}", wanted.digest);
    let asked = client.get(url).header("range", format!("bytes={at}-")).send();
    let response = unless_silent(asked).await?.map_err(there)?;
    if !response.status().is_success() {
        return Err(SourceError::There(format!("it answers {}", response.status())));
    }
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = unless_silent(chunks.next()).await? {
        let chunk = chunk.map_err(there)?;
        let len = chunk.len() as u64;
        let written = blocking(move || {
            let result = partial.write(at, &chunk);
            (partial, result)
        });
        let (back, result) = written.await.map_err(SourceError::Here)?;
        partial = back;
        // Too long, say: what this source sends is not what the log names.
        result.map_err(SourceError::of)?;
        at += len;
    }
    let finished = background::run(move || partial.finish()).await;
    let finished = finished.map_err(|error| SourceError::Here(error.into()))?;
    finished.map(|artifact| artifact.release).map_err(SourceError::of)
}

async fn unless_silent<T>(answer: impl Future<Output = T>) -> Result<T, SourceError> {
    let silent = |_| SourceError::There(format!("it was silent for {} ms", SILENCE_MAX.as_millis()));
    tokio::time::timeout(SILENCE_MAX, answer).await.map_err(silent)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, FetchError> {
    Ok(ironcache_host::exec::spawn_blocking(work).await?)
}
