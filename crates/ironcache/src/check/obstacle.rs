//! What of a node's own would keep it from starting: its ports, its directory, and what lies in there.
//!
//! *Invariant:* what a running node of this very directory holds is not held against it twice: whoever has the directory has
//! its ports too.

use crate::preflight;
use ironcache_node::ground::{Weight, existing};
use ironcache_node::{Config, inhabitant};
use ironcache_spine::{
    DataDir, DiskError, ListenerSpec, ListenersError, Problem, ProblemCode, ReadState, StateFile,
    probe_listeners,
};
use ironcache_types::chain;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(super) enum Obstacle {
    Port(ListenersError),
    /// Another process has the directory.
    Held {
        root: PathBuf,
        holder: String,
    },
    Unseen(DiskError),
    NotWritable {
        path: PathBuf,
        source: io::Error,
    },
    /// What is written there would be another user's.
    OtherOwner {
        path: PathBuf,
        owner: u32,
        me: u32,
    },
    /// The node of this directory was elsewhere when it last ran.
    Moved {
        node: String,
        was: String,
        is: String,
    },
    StateCorrupt {
        problem: String,
    },
    /// Certificates, level, release, identity: what a release is asked before it is rolled out.
    Preflight(Problem),
}

/// In the order in which a start would meet them.
pub(super) fn all(config: &Config, listeners: &[ListenerSpec]) -> Vec<Obstacle> {
    let mut found: Vec<Obstacle> = preflight::of_files(config).into_iter().map(Obstacle::Preflight).collect();
    let dir = DataDir::new(&config.data_dir);
    match dir.holder() {
        Ok(None) => found.extend(probe_listeners(listeners).into_iter().map(Obstacle::Port)),
        Ok(Some(holder)) => found.push(Obstacle::Held { root: config.data_dir.clone(), holder }),
        Err(error) => found.push(Obstacle::Unseen(error)),
    }
    found.extend(room(&config.data_dir));
    found.extend(moved(config));
    if let Ok(ReadState::Corrupt { problem }) = StateFile::new(&dir).read() {
        found.push(Obstacle::StateCorrupt { problem });
    }
    found
}

fn room(data_dir: &Path) -> Option<Obstacle> {
    let not_writable = |path: &Path| {
        let path = path.to_owned();
        move |source: io::Error| Obstacle::NotWritable { path, source }
    };
    let there = match existing(data_dir) {
        Some(there) => there,
        None => return Some(not_writable(data_dir)(ErrorKind::NotFound.into())),
    };
    let is_the_one = std::path::absolute(data_dir).is_ok_and(|whole| whole == there);
    let tried = if is_the_one { try_to_write(&there) } else { may_make_below(&there) };
    if let Err(error) = tried {
        return Some(not_writable(&there)(error));
    }
    let owner = there.metadata().ok().filter(|_| is_the_one)?.uid();
    let me = rustix::process::geteuid().as_raw();
    (owner != me).then_some(Obstacle::OtherOwner { path: there, owner, me })
}

/// Writes a block to a file without a name, which is gone when it is closed, or with this process.
fn try_to_write(dir: &Path) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    let unnamed = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let mut file = match rustix::fs::open(dir, unnamed, mode) {
        Ok(file) => File::from(file),
        // A file system without such files: one with a name, for a moment.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let path = dir.join(format!(".check-{}", std::process::id()));
            let file = File::options().write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            file
        }
        Err(error) => return Err(error.into()),
    };
    file.write_all(&[0; 4_096])?;
    file.sync_data()
}

/// Could a directory be made in `there`? By the effective user, as it would be.
fn may_make_below(there: &Path) -> io::Result<()> {
    if !there.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    rustix::fs::accessat(CWD, there, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
    Ok(())
}

fn moved(config: &Config) -> Option<Obstacle> {
    let inhabitant = inhabitant(&config.data_dir).ok().flatten()?;
    let (was, is) = (inhabitant.peer_addr?, config.peer_addr());
    (was != is).then_some(Obstacle::Moved { node: inhabitant.node, was, is })
}

impl Obstacle {
    pub(super) fn weight(&self) -> Weight {
        match self {
            Obstacle::Port(_)
            | Obstacle::Held { .. }
            | Obstacle::Unseen(_)
            | Obstacle::NotWritable { .. }
            | Obstacle::Preflight(_) => Weight::Error,
            Obstacle::OtherOwner { .. } | Obstacle::Moved { .. } | Obstacle::StateCorrupt { .. } => {
                Weight::Warning
            }
        }
    }

    pub(super) fn code(&self) -> &str {
        match self {
            Obstacle::Port(ListenersError::InUse { .. }) => "port_in_use",
            Obstacle::Port(ListenersError::Bind { .. }) => "port_not_bound",
            Obstacle::Held { .. } => "data_dir_in_use",
            Obstacle::Unseen(_) => "data_dir_unseen",
            Obstacle::NotWritable { .. } => "data_dir_not_writable",
            Obstacle::OtherOwner { .. } => "data_dir_other_owner",
            Obstacle::Moved { .. } => "moved",
            Obstacle::StateCorrupt { .. } => "state_corrupt",
            Obstacle::Preflight(problem) => &problem.code,
        }
    }

    pub(super) fn setting(&self) -> Option<String> {
        match self {
            Obstacle::Port(ListenersError::InUse { key, .. } | ListenersError::Bind { key, .. }) => {
                Some(key.clone())
            }
            Obstacle::Held { .. }
            | Obstacle::Unseen(_)
            | Obstacle::NotWritable { .. }
            | Obstacle::OtherOwner { .. }
            | Obstacle::StateCorrupt { .. } => Some("data-dir".to_owned()),
            Obstacle::Moved { .. } => Some("announce-host".to_owned()),
            Obstacle::Preflight(problem) => problem.key.clone(),
        }
    }

    pub(super) fn what(&self) -> String {
        match self {
            Obstacle::Port(ListenersError::InUse { address, .. }) => {
                format!("{address} is in use by another process")
            }
            Obstacle::Port(error @ ListenersError::Bind { .. }) => chain(error),
            Obstacle::Held { root, holder } => format!("{} is in use by {holder}", root.display()),
            Obstacle::Unseen(error) => chain(error),
            Obstacle::NotWritable { path, source } => {
                format!("{} cannot be written to: {source}", path.display())
            }
            Obstacle::OtherOwner { path, owner, me } => {
                format!("{} belongs to user {owner}, and this is user {me}", path.display())
            }
            Obstacle::Moved { node, was, is } => format!(
                "node {node} listened at {was} when it last ran, and would at {is}: a start is refused while it answers there"
            ),
            Obstacle::StateCorrupt { problem } => format!("the file `state` is corrupt: {problem}"),
            Obstacle::Preflight(problem) => problem.detail.clone(),
        }
    }

    pub(super) fn advice(&self) -> String {
        let text = match self {
            Obstacle::Port(ListenersError::InUse { key, .. }) => {
                return format!("stop that process, or set {key} to another port");
            }
            Obstacle::Port(ListenersError::Bind { source, key, .. }) => match source.kind() {
                ErrorKind::PermissionDenied => {
                    "choose a port above 1023, or give the process CAP_NET_BIND_SERVICE"
                }
                ErrorKind::AddrNotAvailable => "set bind to an address of this machine, or to 0.0.0.0",
                _ => return format!("set bind, or {key}, to what this machine can listen on"),
            },
            Obstacle::Held { .. } => {
                "nothing, if that is the node that runs by this configuration; else give this one a directory of its own"
            }
            Obstacle::Unseen(_) => "run this as the user that the node runs as",
            Obstacle::NotWritable { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room",
                ErrorKind::ReadOnlyFilesystem => "mount it for writing, or choose another directory",
                ErrorKind::NotADirectory => "a file is in the way: choose another directory",
                _ => "make it the directory of the user that the node runs as, or choose another",
            },
            Obstacle::OtherOwner { .. } => {
                "run the node as that user, or it will not read what this one writes"
            }
            Obstacle::Moved { .. } => {
                "nothing, if the node itself moved; if this is a copy of a running node's directory, start with an empty one"
            }
            Obstacle::StateCorrupt { .. } => {
                "the node starts if one binary lies there, and refuses upgrades; see upgrade.md"
            }
            Obstacle::Preflight(problem) => {
                let of_level = [ProblemCode::AboveLevel, ProblemCode::BelowLevel].map(ProblemCode::word);
                match of_level.contains(&&*problem.code) {
                    true => "start a release that admits the level of the directory",
                    false => "mend what is named: the node does not start, or not serve, as it is",
                }
            }
        };
        text.to_owned()
    }
}

#[cfg(test)]
mod tests;
