//! Who this node is, and which life of it this process is.
//!
//! ```text
//!  an incarnation:  [ count, of the file `node.json` ][ ms since that count was written, from a random number on ]
//! ```
//! A start in the same boot of the machine, at the same address, needs no write: the clock alone makes its incarnation
//! the higher one. So a node whose disk is full starts, and says what it lacks. Every other start counts up first.
//!
//! The file also says whether the node is a member of a cluster: then its log is beside it, or the node does not start. How
//! it is written, and vouched for, is in [`stored`].
//!
//! *Invariant:* an incarnation is never used twice, and a later life has the higher one: a count is durable before it is
//! used, and of two lives within one count the clock has moved in between.

mod stored;

use ironcache_spine::boottime_ms;
use ironcache_store::disk;
use ironcache_store::{DiskError, at};
use ironcache_types::{ClusterId, Incarnation, MachineId, Member, NodeId};
use std::path::{Path, PathBuf};
#[cfg(not(turmoil))]
use std::time::Duration;
use stored::{Counted, FORMAT, Stored, read, write};

/// A count serves for this long, 24 days: half of what 32 bits hold, the other half being random. With less the copies
/// of a directory are told apart less surely; with more a count would be written more often than a machine starts.
const LIFE_MS_MAX: u32 = 1 << 31;

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("the node's identity cannot be read")]
    Read(#[source] DiskError),
    #[error("the node's identity cannot be written")]
    Write(#[from] DiskError),
    #[error(
        "the node's identity {} is damaged: {problem}; restore the file, or start with an empty data directory as a new \
         node, which takes the place of this one (`ironcache cluster replace-node`)",
        path.display()
    )]
    Damaged { path: PathBuf, problem: String },
    #[error(
        "the node's identity {} has format {found}, and this release reads format {FORMAT}: start the release that wrote it",
        path.display()
    )]
    Newer { path: PathBuf, found: u16 },
    #[error("the system gives no randomness")]
    Random(#[source] getrandom::Error),
}

/// The node of `data_dir` and the peer address it had last; `None` for a new directory.
pub(crate) fn last_seen_at(data_dir: &Path) -> Result<Option<(NodeId, String)>, IdentityError> {
    let path = data_dir.join("node.json");
    let Some(Stored { node, peer_addr: Some(addr), .. }) = read(&path)? else { return Ok(None) };
    let node = node.parse().map_err(|error| IdentityError::Damaged { path, problem: format!("{error}") })?;
    Ok(Some((node, addr)))
}

/// Has the node of `data_dir` become a member of a cluster?
pub(crate) fn is_member(data_dir: &Path) -> Result<bool, IdentityError> {
    Ok(read(&data_dir.join("node.json"))?.is_some_and(|stored| stored.cluster.is_some()))
}

/// Notes, durably, that the node of `data_dir` is a member of `cluster`. Costs nothing if that is noted already.
pub(crate) fn note_member(data_dir: &Path, cluster: ClusterId) -> Result<(), IdentityError> {
    let path = data_dir.join("node.json");
    let Some(stored) = read(&path)?.filter(|stored| stored.cluster.is_none()) else { return Ok(()) };
    let next = Stored { cluster: Some(cluster.to_string()), ..stored };
    Ok(write(&path, &next)?)
}

/// Whose directory it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inhabitant {
    pub node: String,
    /// The cluster that it is a member of.
    pub cluster: Option<String>,
    /// Where it listened for its peers when it last ran.
    pub peer_addr: Option<String>,
}

/// Whose directory `data_dir` is; `None` if it is nobody's yet.
///
/// # Errors
/// Its `node.json` cannot be read or is damaged.
pub fn inhabitant(data_dir: &Path) -> Result<Option<Inhabitant>, IdentityError> {
    let stored = read(&data_dir.join("node.json"))?;
    Ok(stored.map(|Stored { node, cluster, peer_addr, .. }| Inhabitant { node, cluster, peer_addr }))
}

/// Reads the identity of `data_dir` and changes nothing. A new directory has none, which is fine.
///
/// # Errors
/// It is damaged, or of a format that this release does not know.
pub fn check_identity(data_dir: &Path) -> Result<(), IdentityError> {
    last_seen_at(data_dir).map(|_| ())
}

/// Reads the identity of `data_dir`, or draws a new one, and begins a life, which listens for its peers at
/// `peer_addr`.
pub(crate) fn begin_life(data_dir: &Path, peer_addr: &str) -> Result<Member, IdentityError> {
    begin_life_in(data_dir, peer_addr, boot_id())
}

/// A random number.
pub(crate) fn random() -> Result<u64, IdentityError> {
    getrandom::u64().map_err(IdentityError::Random)
}

fn begin_life_in(data_dir: &Path, peer_addr: &str, boot: Option<String>) -> Result<Member, IdentityError> {
    let path = data_dir.join("node.json");
    let damaged = |problem: String| IdentityError::Damaged { path: path.clone(), problem };
    let found = read(&path)?;
    let stored = match &found {
        Some(stored) => stored.clone(),
        None => {
            disk::create_dir_all(data_dir)
                .map_err(|source| IdentityError::Write(at("make the directory", data_dir)(source)))?;
            let node = NodeId(random()?.max(1)).to_string();
            Stored { format: FORMAT, node, starts: 0, peer_addr: None, cluster: None, counted: None }
        }
    };
    let node: NodeId = stored.node.parse().map_err(|error| damaged(format!("{error}")))?;
    let now = Now { boot, ms: boottime_ms(), random: random()? };
    let (next, incarnation) =
        stored.life(peer_addr, &now).ok_or_else(|| damaged("too many starts".to_owned()))?;
    if found.as_ref() != Some(&next) {
        write(&path, &next)?;
    }
    // Whoever begins the next life finds the clock moved on, however soon that is. Simulated time stands still meanwhile.
    #[cfg(not(turmoil))]
    while boottime_ms() == now.ms {
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(Member { node, incarnation })
}

/// What a life is drawn from, beside the file.
struct Now {
    boot: Option<String>,
    /// Since the machine's start.
    ms: u64,
    random: u64,
}

impl Stored {
    /// What the file has to say before this life begins, and its incarnation; `None` when no number is left.
    fn life(&self, peer_addr: &str, now: &Now) -> Option<(Stored, Incarnation)> {
        let Self { format: _, node: _, starts, peer_addr: last_addr, cluster: _, counted } = self;
        let same_boot = counted.as_ref().filter(|counted| Some(&counted.boot) == now.boot.as_ref());
        let elapsed_ms = same_boot.and_then(|counted| now.ms.checked_sub(counted.at_ms));
        if let (Some(counted), Some(elapsed_ms)) = (same_boot, elapsed_ms)
            && elapsed_ms < u64::from(LIFE_MS_MAX)
            && last_addr.as_deref() == Some(peer_addr)
        {
            return Some((self.clone(), incarnation(*starts, u64::from(counted.from) + elapsed_ms)));
        }
        let starts = starts.checked_add(1)?;
        let from = (now.random % u64::from(LIFE_MS_MAX)) as u32;
        let counted = now.boot.clone().map(|boot| Counted { boot, at_ms: now.ms, from });
        let next = Stored { starts, peer_addr: Some(peer_addr.to_owned()), counted, ..self.clone() };
        Some((next, incarnation(starts, u64::from(from))))
    }
}

/// `low` is below twice [`LIFE_MS_MAX`].
fn incarnation(starts: u32, low: u64) -> Incarnation {
    Incarnation(u64::from(starts) << 32 | low)
}

/// Where this process runs.
pub(crate) fn machine() -> MachineId {
    boot_id().map_or(MachineId::UNKNOWN, |id| MachineId::of_boot_id(&id))
}

/// `None` where the kernel does not say; every start then counts.
#[cfg(not(turmoil))]
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// A simulated machine draws one when it is asked first, and keeps it where a power cut takes it: in a file that nobody
/// syncs.
#[cfg(turmoil)]
fn boot_id() -> Option<String> {
    let path = Path::new("/boot-id");
    if let Ok(id) = disk::read_to_string(path)
        && !id.is_empty()
    {
        return Some(id);
    }
    let id = format!("{:016x}", ironcache_store::simulated::random());
    disk::write(path, &id).ok()?;
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn new_node() -> Stored {
        Stored {
            format: FORMAT,
            node: "7".to_owned(),
            starts: 0,
            peer_addr: None,
            cluster: None,
            counted: None,
        }
    }

    fn now(boot: &str, ms: u64) -> Now {
        Now { boot: Some(boot.to_owned()), ms, random: u64::MAX }
    }

    fn starts(member: Member) -> u64 {
        member.incarnation.0 >> 32
    }

    #[test]
    fn a_node_keeps_its_id_and_never_its_incarnation() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_seen_at(dir.path()).unwrap(), None);
        let lives: Vec<Member> =
            ["h:1", "h:1", "h:2", "h:2"].map(|addr| begin_life(dir.path(), addr).unwrap()).into();
        assert!(lives.iter().all(|life| life.node == lives[0].node));
        assert!(lives.is_sorted_by(|a, b| a.incarnation < b.incarnation), "{lives:?}");
        assert_eq!(last_seen_at(dir.path()).unwrap(), Some((lives[0].node, "h:2".to_owned())));
    }

    #[test]
    fn a_start_that_changes_nothing_writes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        let begin = || begin_life_in(dir.path(), "h:1", Some("one".to_owned()));
        let first = begin().unwrap();
        let written = fs::read(&path).unwrap();
        // As on a full disk, nothing can be made there; it holds for root, too.
        fs::create_dir(dir.path().join("node.json.tmp")).unwrap();
        let second = begin().unwrap();
        assert!(second.incarnation > first.incarnation);
        assert_eq!(starts(second), starts(first));
        assert_eq!(fs::read(&path).unwrap(), written);
        // What has to be written is not passed over.
        let moved = begin_life_in(dir.path(), "h:2", Some("one".to_owned())).unwrap_err();
        assert!(matches!(moved, IdentityError::Write(_)), "{moved}");
    }

    #[test]
    fn that_the_node_is_a_member_is_noted_once_and_outlives_its_starts() {
        let dir = tempfile::tempdir().unwrap();
        begin_life(dir.path(), "h:1").unwrap();
        assert!(!is_member(dir.path()).unwrap());
        note_member(dir.path(), ClusterId(7)).unwrap();
        let noted = fs::read(dir.path().join("node.json")).unwrap();
        note_member(dir.path(), ClusterId(7)).unwrap();
        assert_eq!(fs::read(dir.path().join("node.json")).unwrap(), noted);
        begin_life(dir.path(), "h:2").unwrap();
        assert!(is_member(dir.path()).unwrap());
    }

    #[test]
    fn a_life_counts_when_the_clock_alone_does_not_order_it() {
        let (first, one) = new_node().life("h:1", &now("boot", 5_000)).unwrap();
        assert_eq!(first.starts, 1);
        let (same, two) = first.life("h:1", &now("boot", 5_001)).unwrap();
        assert_eq!((&same, two.0), (&first, one.0 + 1));
        let last = 5_000 + u64::from(LIFE_MS_MAX) - 1;
        let (same, three) = first.life("h:1", &now("boot", last)).unwrap();
        assert_eq!((&same, three.0 >> 32), (&first, 1), "the low half has not run over");
        for (addr, now, why) in [
            ("h:1", now("boot", last + 1), "the count is used up"),
            ("h:2", now("boot", 5_001), "it has moved"),
            ("h:1", now("next boot", 9_000), "the machine was started again: its clock too"),
            ("h:1", now("boot", 4_999), "the clock went back, whatever did that"),
            ("h:1", Now { boot: None, ms: 5_001, random: 0 }, "the boot is not known"),
        ] {
            let (next, life) = first.life(addr, &now).unwrap();
            assert_eq!((next.starts, life.0 >> 32), (2, 2), "{why}");
            assert!(life > three, "{why}");
        }
        // Where boots are never known, every start counts.
        let unknown = || Now { boot: None, ms: 1, random: 0 };
        let (second, _) = first.life("h:1", &unknown()).unwrap();
        assert_eq!(second.life("h:1", &unknown()).unwrap().0.starts, 3);
        assert_eq!(Stored { starts: u32::MAX, ..new_node() }.life("h:1", &now("boot", 1)), None);
    }

    #[test]
    fn an_identity_that_records_no_address_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = stored::seal(r#"{"format":1,"node":"0000000000000007","starts":4}"#);
        fs::write(dir.path().join("node.json"), file).unwrap();
        assert_eq!(last_seen_at(dir.path()).unwrap(), None);
        let life = begin_life(dir.path(), "h:1").unwrap();
        assert_eq!((life.node, starts(life)), (NodeId(7), 5));
    }

    #[test]
    fn a_damaged_identity_and_a_newer_one_are_refused_by_name_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        begin_life(dir.path(), "h:1").unwrap();
        let good = fs::read(&path).unwrap();
        let refused = |content: &[u8], words: &[&str]| {
            fs::write(&path, content).unwrap();
            for error in [
                begin_life(dir.path(), "h:1").unwrap_err(),
                note_member(dir.path(), ClusterId(7)).unwrap_err(),
                is_member(dir.path()).unwrap_err(),
                check_identity(dir.path()).unwrap_err(),
            ] {
                let text = error.to_string();
                assert!(words.iter().all(|word| text.contains(word)), "{text}");
            }
            assert_eq!(fs::read(&path).unwrap(), content);
        };
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            refused(&bad, &["node.json is damaged", "restore the file"]);
        }
        refused(b"", &["node.json is damaged", "restore the file"]);
        let newer = stored::seal(r#"{"format":2,"node":"7"}"#);
        refused(newer.as_bytes(), &["format 2", "start the release that wrote it"]);
    }
}
