//! The file that a node was started with, written anew with what was changed since (`CONFIG REWRITE`).
//!
//! *Invariant:* after a crash at any point the file is the old one or the new one; nobody may read it who might not before.

use crate::config::Config;
use ironcache_settings::{Change, Key, NodeKey, Unwritable, Value, node, rewrite};
use ironcache_store::{DiskError, replace_keeping_mode};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a file was not written. `Display` is for the operator who asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotWritten {
    #[error("{} cannot be read", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} cannot be changed", .path.display())]
    Text { path: PathBuf, source: Unwritable },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What can change while a node runs, and has, since it was as in `before`.
pub(crate) fn changes(before: &Config, now: &Config) -> BTreeMap<NodeKey, Value> {
    let running = node::TABLE.iter().filter(|setting| setting.change == Change::Running);
    running
        .filter_map(|setting| match setting.key {
            Key::Node(key) => Some((key, now.value(key))).filter(|(_, value)| *value != before.value(key)),
            Key::Cluster(_) => None,
        })
        .collect()
}

pub(crate) fn write(path: &Path, values: &BTreeMap<NodeKey, Value>) -> Result<(), NotWritten> {
    let unread = |source| NotWritten::Read { path: path.to_owned(), source };
    // What is replaced is the file, not a link to it.
    let path = std::fs::canonicalize(path).map_err(unread)?;
    let text = std::fs::read_to_string(&path).map_err(unread)?;
    let text = rewrite(&text, values).map_err(|source| NotWritten::Text { path: path.clone(), source })?;
    Ok(replace_keeping_mode(&path, text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_changed_in_place_and_stays_as_private_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("node.toml"), dir.path().join("link.toml"));
        std::fs::write(&file, "timeout = 1 # s\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let before = Config::default();
        let now = Config { timeout: 7, maxclients: 9, data_dir: "elsewhere".into(), ..before.clone() };
        write(&link, &changes(&before, &now)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "timeout = 7 # s\nmaxclients = 9\n");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let absent = write(&dir.path().join("absent"), &BTreeMap::new()).unwrap_err();
        assert!(absent.to_string().contains("absent cannot be read"), "{absent}");
    }
}
