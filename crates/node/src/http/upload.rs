//! A binary on its way from an operator to this node's disk.
//!
//! *Invariant:* memory does not grow with the file, and nothing half received stays.
//! *Invariant:* whoever sends goes on sending, 64 KiB in each half minute, or has its place no longer; whoever does may take as
//! long as that comes to.
//! *Invariant:* a binary leaves room on the disk for what the node itself has to write.

use super::error::HttpError;
use axum::body::Body;
use futures_util::StreamExt;
use ironcache_host::exec::has_disk;
use ironcache_host::fs::File;
use ironcache_store::disk;
use ironcache_types::{MAX_ARTIFACT_BYTES, chain};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// How much has to come, at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub bytes: u64,
    pub within: Duration,
}

/// A line of 2 kB/s would take a binary a quarter of a day: whoever is slower only holds a place. A shorter time gives up on a
/// slow disk at the sender's end.
const PACE: Pace = Pace { bytes: 64 << 10, within: Duration::from_secs(30) };
/// The log, checkpoints' first bytes and the launcher's state go on being written. With less left, a node that was only
/// handed a binary would stop for want of room.
pub(crate) const KEEP_FREE_BYTES: u64 = 256 << 20;
/// Of a small disk a share is kept: a node whose whole disk is not much more still takes a release.
pub(crate) const KEEP_FREE_SHARE: u64 = 16;
/// Between two looks at what is left. Others write meanwhile; a look is a system call.
const LOOK_EVERY_BYTES: u64 = 8 << 20;

/// How much may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub max_bytes: u64,
    /// Left on the disk.
    pub keep_free_bytes: u64,
    pub pace: Pace,
}

impl Bounds {
    /// Of a binary that comes to the disk of `dir`.
    pub(super) fn of_a_binary(dir: &Path) -> Result<Bounds, HttpError> {
        let disk_bytes = disk::size_bytes_of(dir).map_err(|error| {
            HttpError::Internal(format!("cannot ask for the size of the disk of {}: {error}", dir.display()))
        })?;
        let keep_free_bytes = KEEP_FREE_BYTES.min(disk_bytes / KEEP_FREE_SHARE);
        Ok(Bounds { max_bytes: MAX_ARTIFACT_BYTES, keep_free_bytes, pace: PACE })
    }
}

/// A whole body in a file of its own, deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    path: PathBuf,
    pub size_bytes: u64,
}

impl Upload {
    /// Receives `body` into a file in `dir`.
    pub(super) async fn receive(body: Body, dir: &Path, bounds: Bounds) -> Result<Upload, HttpError> {
        let Bounds { max_bytes, keep_free_bytes, pace } = bounds;
        static UPLOADS: AtomicU64 = AtomicU64::new(0);
        let number = UPLOADS.fetch_add(1, Ordering::Relaxed);
        // `copy-`: what a killed process leaves behind is removed at the launcher's next start.
        let path = dir.join(format!("copy-upload-{}-{number}.part", disk::process_id()));
        let cannot = |what: &str, error: &io::Error| {
            HttpError::Internal(format!("cannot {what} {}: {error}", dir.display()))
        };
        let mut file = File::create(&path).await.map_err(|e| cannot("make a file in", &e))?;
        let mut upload = Upload { path, size_bytes: 0 };
        let mut chunks = body.into_data_stream();
        let (mut look_at, mut pace_at, mut until) = (0, pace.bytes, Instant::now() + pace.within);
        loop {
            let next = tokio::time::timeout_at(until, chunks.next()).await;
            let next = next.map_err(|_| HttpError::Stalled {
                received_bytes: pace_at - pace.bytes,
                pace_bytes: pace.bytes,
                within_ms: pace.within.as_millis() as u64,
            })?;
            let Some(chunk) = next else { break };
            let chunk = chunk.map_err(|error| {
                HttpError::BadRequest(format!(
                    "the body broke off after {} bytes: {}",
                    upload.size_bytes,
                    chain(&error)
                ))
            })?;
            upload.size_bytes += chunk.len() as u64;
            if upload.size_bytes > max_bytes {
                return Err(HttpError::TooLarge { max_bytes });
            }
            if upload.size_bytes >= pace_at {
                (pace_at, until) = (upload.size_bytes + pace.bytes, Instant::now() + pace.within);
            }
            if upload.size_bytes >= look_at {
                look_at = upload.size_bytes + LOOK_EVERY_BYTES;
                let free_bytes = disk::free_bytes_in(dir).map_err(|e| cannot("ask for the room in", &e))?;
                if free_bytes < keep_free_bytes {
                    return Err(HttpError::refused(
                        "no_room",
                        format!(
                            "the disk of this node has {free_bytes} bytes left, and keeps {keep_free_bytes} for itself: the binary was not taken"
                        ),
                    ));
                }
            }
            file.write_all(&chunk).await.map_err(|e| cannot("write to", &e))?;
        }
        // A file of tokio's writes behind: only a flush tells of the last error.
        file.flush().await.map_err(|e| cannot("write to", &e))?;
        Ok(upload)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !has_disk() {
            return;
        }
        if let Err(error) = disk::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "an uploaded file was not removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    const BOUNDS: Bounds = Bounds { max_bytes: 7, keep_free_bytes: 0, pace: PACE };

    fn files(dir: &tempfile::TempDir) -> usize {
        std::fs::read_dir(dir.path()).unwrap().count()
    }

    #[tokio::test]
    async fn a_body_is_a_file_as_long_as_the_upload_lives() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = ["abc", "", "defg"].map(|c| Ok::<_, io::Error>(c.as_bytes()));
        let upload =
            Upload::receive(Body::from_stream(stream::iter(chunks)), dir.path(), BOUNDS).await.unwrap();
        assert_eq!((upload.size_bytes, std::fs::read(upload.path()).unwrap()), (7, b"abcdefg".to_vec()));
        drop(upload);
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Upload::receive(Body::from("12345678"), dir.path(), BOUNDS).await.unwrap_err();
        assert!(matches!(refused, HttpError::TooLarge { max_bytes: 7 }));
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = [Ok("abc"), Err(io::Error::other("reset"))];
        let refused =
            Upload::receive(Body::from_stream(stream::iter(chunks)), dir.path(), BOUNDS).await.unwrap_err();
        assert!(refused.to_string().contains("after 3 bytes"), "{refused}");
        assert_eq!(files(&dir), 0);
    }

    /// What comes in pieces of this, each so long after the one before.
    fn dripping(piece: usize, pieces: usize, apart: Duration) -> Body {
        Body::from_stream(stream::unfold(0, move |sent| async move {
            if sent == pieces {
                return None;
            }
            tokio::time::sleep(apart).await;
            Some((Ok::<_, io::Error>(vec![7; piece]), sent + 1))
        }))
    }

    #[tokio::test]
    async fn a_sender_of_a_byte_now_and_then_is_ended_and_told_how_much_has_to_come() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace { bytes: 4, within: Duration::from_millis(500) };
        let bounds = Bounds { max_bytes: 1_000, pace, ..BOUNDS };
        let began = Instant::now();
        // A byte in 400 ms is always something, and never enough.
        let body = dripping(1, 50, Duration::from_millis(400));
        let ended = Upload::receive(body, dir.path(), bounds).await.unwrap_err();
        assert!(matches!(ended, HttpError::Stalled { received_bytes: 0, .. }), "{ended}");
        assert!(ended.to_string().contains("less than 4 came within 500 ms"), "{ended}");
        assert!(began.elapsed() < Duration::from_secs(100), "{:?}", began.elapsed());
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_sender_that_is_slow_and_goes_on_may_take_many_times_as_long() {
        let dir = tempfile::tempdir().unwrap();
        let pace = Pace { bytes: 4, within: Duration::from_secs(2) };
        let bounds = Bounds { max_bytes: 1_000, pace, ..BOUNDS };
        let began = Instant::now();
        let body = dripping(4, 20, Duration::from_millis(200));
        let upload = Upload::receive(body, dir.path(), bounds).await.unwrap();
        assert_eq!(upload.size_bytes, 80);
        assert!(began.elapsed() > pace.within, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_body_that_would_fill_the_disk_is_refused_by_name_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let bounds = Bounds { keep_free_bytes: u64::MAX, ..BOUNDS };
        let refused = Upload::receive(Body::from("1234567"), dir.path(), bounds).await.unwrap_err();
        assert!(matches!(&refused, HttpError::Refused(refused) if refused.code == "no_room"), "{refused}");
        assert_eq!(files(&dir), 0);
    }
}
