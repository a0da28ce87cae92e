//! A binary at hand: whole, hashed, and read, before a byte of it is sent.
//!
//! ```text
//!  FILE ──────────────> regular? small enough? ─┐
//!  URL ──> download ──> a file without a name ──┴─> whole? stamp? ──> digest: given, or asked for ──> AtHand
//! ```
//! *Invariant:* what is sent is the open file that was checked, whatever its name leads to by then.
//! *Invariant:* a download leaves nothing behind, however the command ends.

use super::download::{self, Limits, Roots, WebUrl};
use super::progress::Terminal;
use super::source::Source;
use super::trust::{self, TrustArgs};
use crate::exit::Failure;
use anyhow::Context;
use ironcache_types::{BinaryReader, Digest, MAX_ARTIFACT_BYTES, Manifest, Version};
use sha2::{Digest as _, Sha256};
use std::fs::{File, FileType};
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Larger gains nothing over the page cache; smaller costs system calls.
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct AtHand {
    file: File,
    digest: Digest,
    size_bytes: u64,
    manifest: Manifest,
}

impl AtHand {
    /// Fetches what has to be fetched, and asks whoever has to be asked.
    pub(crate) async fn obtain(source: &Source, trust: &TrustArgs) -> Result<AtHand, Failure> {
        match source {
            Source::File(path) => {
                let at_hand = AtHand::open(path)?;
                trust::of_file(&at_hand.digest, trust, &path.display().to_string())?;
                Ok(at_hand)
            }
            Source::Url(url) => {
                let at_hand = AtHand::download(url).await?;
                let AtHand { file: _, digest, size_bytes, manifest } = &at_hand;
                let what = format!("{url} is ironcache {}, {size_bytes} bytes", manifest.version);
                trust::of_download(digest, trust, &what)?;
                Ok(at_hand)
            }
        }
    }

    async fn download(url: &WebUrl) -> Result<AtHand, Failure> {
        let mut file = tempfile::tempfile().with_context(|| {
            format!("could not create a file in {} for the download", std::env::temp_dir().display())
        })?;
        let progress = Terminal::new();
        download::fetch(url, &mut file, &Limits::default(), Roots::OfTheMachine, &progress).await?;
        drop(progress);
        AtHand::read(file, &url.to_string())
    }

    /// The binary in the file at `path`.
    pub(crate) fn open(path: &Path) -> Result<AtHand, Failure> {
        let name = path.display();
        let refused = |why: String| Failure::failed(format!("{name} cannot be staged: {why}"));
        // Asked before it is opened: to open a pipe waits for whoever writes to it.
        let metadata = std::fs::metadata(path).with_context(|| format!("could not read {name}"))?;
        if !metadata.is_file() {
            return Err(refused(format!("it is {}, and no regular file", kind(metadata.file_type()))));
        }
        if metadata.len() > MAX_ARTIFACT_BYTES {
            return Err(refused(format!(
                "it has {} bytes, and {MAX_ARTIFACT_BYTES} are the most",
                metadata.len()
            )));
        }
        let file = File::open(path).with_context(|| format!("could not read {name}"))?;
        AtHand::read(file, &name.to_string())
    }

    fn read(mut file: File, name: &str) -> Result<AtHand, Failure> {
        let unreadable = || format!("could not read {name}");
        file.rewind().with_context(unreadable)?;
        let (mut hash, mut reader, mut size_bytes) = (Sha256::new(), BinaryReader::default(), 0);
        let mut chunk = vec![0; CHUNK_BYTES];
        // One byte above the bound tells that it was passed: a file may grow while it is read.
        let mut bounded = (&file).take(MAX_ARTIFACT_BYTES + 1);
        loop {
            let count = match bounded.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(anyhow::Error::new(error).context(unreadable()).into()),
            };
            hash.update(&chunk[..count]);
            reader.feed(&chunk[..count]);
            size_bytes += count as u64;
        }
        if size_bytes > MAX_ARTIFACT_BYTES {
            let why = format!("it has more than {MAX_ARTIFACT_BYTES} bytes");
            return Err(Failure::failed(format!("{name} cannot be staged: {why}")));
        }
        let manifest = reader.finish().with_context(|| format!("{name} cannot be staged"))?;
        Ok(AtHand { file, digest: Digest(hash.finalize().into()), size_bytes, manifest })
    }

    pub(crate) fn version(&self) -> &Version {
        &self.manifest.version
    }

    /// A path that opens this very file, as long as this value lives.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

fn kind(of: FileType) -> &'static str {
    if of.is_dir() {
        "a directory"
    } else if of.is_fifo() {
        "a pipe"
    } else if of.is_socket() {
        "a socket"
    } else if of.is_char_device() || of.is_block_device() {
        "a device"
    } else {
        "something else"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::release_bytes;

    fn refusal(path: &Path) -> String {
        AtHand::open(path).unwrap_err().to_string()
    }

    #[test]
    fn what_is_sent_is_what_was_checked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ironcache");
        let bytes = release_bytes("0.2.0");
        std::fs::write(&path, &bytes).unwrap();
        let at_hand = AtHand::open(&path).unwrap();
        std::fs::rename(&path, dir.path().join("away")).unwrap();
        std::fs::write(&path, "another").unwrap();
        assert_eq!(at_hand.version(), &Version::new(0, 2, 0));
        assert_eq!(at_hand.size_bytes, bytes.len() as u64);
        assert_eq!(at_hand.digest, Digest(Sha256::digest(&bytes).into()));
        // Twice: for each node that is tried.
        for _ in 0..2 {
            assert_eq!(std::fs::read(at_hand.path()).unwrap(), bytes);
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for (path, expected) in [
            (Path::new("/dev/zero"), "/dev/zero cannot be staged: it is a device, and no regular file"),
            (Path::new("/"), "/ cannot be staged: it is a directory, and no regular file"),
        ] {
            assert_eq!(refusal(path), expected);
        }
        assert!(refusal(&pipe).ends_with("it is a pipe, and no regular file"));
        assert!(refusal(&dir.path().join("none")).starts_with("could not read "));
    }

    #[test]
    fn a_file_above_the_bound_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        File::create(&path).unwrap().set_len(MAX_ARTIFACT_BYTES + 1).unwrap();
        let error = refusal(&path);
        assert!(error.ends_with("it has 1073741825 bytes, and 1073741824 are the most"), "{error}");
    }

    #[test]
    fn what_is_no_whole_release_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let own = std::fs::read("/proc/self/exe").unwrap();
        for (bytes, expected) in [
            (&b""[..], "the file is empty"),
            (b"#!/bin/sh\n", "carries no version stamp"),
            (&own[..own.len() / 2], "the file is cut: its headers speak of"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = refusal(&path);
            assert!(error.contains(expected), "{error}");
        }
    }
}
