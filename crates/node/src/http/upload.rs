//! A binary on its way from an operator to this node's disk.
//!
//! *Invariant:* memory does not grow with the file, and nothing half received stays.

use super::error::HttpError;
use axum::body::Body;
use futures_util::StreamExt;
use ironcache_host::exec::has_disk;
use ironcache_host::fs::File;
use ironcache_store::disk;
use ironcache_types::chain;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// A sender that is silent for this long is gone; a shorter bound gives up on a slow disk at its end.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// A whole body in a file of its own, deleted when this is dropped.
#[derive(Debug)]
pub(super) struct Upload {
    path: PathBuf,
    pub size_bytes: u64,
}

impl Upload {
    /// Receives `body` into a file in `dir`.
    pub(super) async fn receive(body: Body, dir: &Path, max_bytes: u64) -> Result<Upload, HttpError> {
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
        loop {
            let next = tokio::time::timeout(IDLE_MAX, chunks.next()).await;
            let next = next.map_err(|_| HttpError::Stalled { idle_ms: IDLE_MAX.as_millis() as u64 })?;
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

    fn files(dir: &tempfile::TempDir) -> usize {
        std::fs::read_dir(dir.path()).unwrap().count()
    }

    #[tokio::test]
    async fn a_body_is_a_file_as_long_as_the_upload_lives() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = ["abc", "", "defg"].map(|c| Ok::<_, io::Error>(c.as_bytes()));
        let upload = Upload::receive(Body::from_stream(stream::iter(chunks)), dir.path(), 7).await.unwrap();
        assert_eq!((upload.size_bytes, std::fs::read(upload.path()).unwrap()), (7, b"abcdefg".to_vec()));
        drop(upload);
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let refused = Upload::receive(Body::from("12345678"), dir.path(), 7).await.unwrap_err();
        assert!(matches!(refused, HttpError::TooLarge { max_bytes: 7 }));
        assert_eq!(files(&dir), 0);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let chunks = [Ok("abc"), Err(io::Error::other("reset"))];
        let refused =
            Upload::receive(Body::from_stream(stream::iter(chunks)), dir.path(), 7).await.unwrap_err();
        assert!(refused.to_string().contains("after 3 bytes"), "{refused}");
        assert_eq!(files(&dir), 0);
    }
}
