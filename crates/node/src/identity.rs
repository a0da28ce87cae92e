//! Who this node is, and which life of it this process is.
//!
//! *Invariant:* an incarnation is never used twice: the count of starts is durable before it is.

use ironcache_types::{Incarnation, Member, NodeId};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u16,
    node: String,
    /// How many processes have been started on this directory.
    starts: u32,
    /// Where the last of them listened for its peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    peer_addr: Option<String>,
}

const FORMAT: u16 = 1;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the node's identity {} cannot be read or written", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the node's identity {} is damaged: {problem}; restore the file, or start with an empty data directory as a new node",
        path.display()
    )]
    Damaged { path: PathBuf, problem: String },
    #[error("the system gives no randomness")]
    Random(#[source] getrandom::Error),
}

/// The node of `data_dir` and the peer address it had last; `None` for a new directory.
pub fn last_seen_at(data_dir: &Path) -> Result<Option<(NodeId, String)>, IdentityError> {
    let path = data_dir.join("node.json");
    let Some(Stored { node, peer_addr: Some(addr), .. }) = read(&path)? else { return Ok(None) };
    let node = node.parse().map_err(|error| IdentityError::Damaged { path, problem: format!("{error}") })?;
    Ok(Some((node, addr)))
}

/// Reads the identity of `data_dir` and changes nothing. A new directory has none, which is fine.
///
/// # Errors
/// It is damaged, or of a format that this release does not know.
pub fn check_identity(data_dir: &Path) -> Result<(), IdentityError> {
    last_seen_at(data_dir).map(|_| ())
}

fn read(path: &Path) -> Result<Option<Stored>, IdentityError> {
    let damaged = |problem: String| IdentityError::Damaged { path: path.to_owned(), problem };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(IdentityError::Io { path: path.to_owned(), source }),
    };
    let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if stored.format != FORMAT {
        return Err(damaged(format!("format {} is unknown to this release", stored.format)));
    }
    Ok(Some(stored))
}

/// Reads the identity of `data_dir`, or draws a new one, and begins a life, which listens for its peers at
/// `peer_addr`.
pub fn begin_life(data_dir: &Path, peer_addr: &str) -> Result<Member, IdentityError> {
    let path = data_dir.join("node.json");
    let io = |source| IdentityError::Io { path: path.clone(), source };
    let damaged = |problem: String| IdentityError::Damaged { path: path.clone(), problem };
    fs::create_dir_all(data_dir).map_err(io)?;
    let stored = match read(&path)? {
        Some(stored) => stored,
        None => {
            Stored { format: FORMAT, node: NodeId(random()?.max(1)).to_string(), starts: 0, peer_addr: None }
        }
    };
    let node: NodeId = stored.node.parse().map_err(|error| damaged(format!("{error}")))?;
    let starts = stored.starts.checked_add(1).ok_or_else(|| damaged("too many starts".to_owned()))?;
    let next = Stored { starts, peer_addr: Some(peer_addr.to_owned()), ..stored };
    write_durably(&path, &serde_json::to_vec(&next).expect("four plain fields")).map_err(io)?;
    // The count makes lives comparable; the random half tells apart two copies of one directory.
    let incarnation = Incarnation(u64::from(starts) << 32 | (random()? & 0xffff_ffff));
    Ok(Member { node, incarnation })
}

/// A random number.
pub fn random() -> Result<u64, IdentityError> {
    getrandom::u64().map_err(IdentityError::Random)
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    let mut file = File::create(&tmp)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&tmp, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_id_and_never_its_incarnation() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_seen_at(dir.path()).unwrap(), None);
        let first = begin_life(dir.path(), "h:1").unwrap();
        let second = begin_life(dir.path(), "h:2").unwrap();
        assert_eq!(first.node, second.node);
        assert!(second.incarnation > first.incarnation);
        assert_eq!(last_seen_at(dir.path()).unwrap(), Some((first.node, "h:2".to_owned())));
    }

    #[test]
    fn an_identity_that_records_no_address_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("node.json"), br#"{"format":1,"node":"0000000000000007","starts":4}"#)
            .unwrap();
        assert_eq!(last_seen_at(dir.path()).unwrap(), None);
        assert_eq!(begin_life(dir.path(), "h:1").unwrap().node, NodeId(7));
    }

    #[test]
    fn a_damaged_identity_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("node.json"), b"{\"format\":1,\"no").unwrap();
        let error = begin_life(dir.path(), "h:1").unwrap_err();
        assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(dir.path().join("node.json")).unwrap(), b"{\"format\":1,\"no");
    }
}
