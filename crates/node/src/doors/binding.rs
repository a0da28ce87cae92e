//! Whom a node obeys between the moment it was met and its first log entry: the file `binding.json`.
//!
//! *Invariant:* it is durable before anybody whom it names is obeyed; and it stays: a node that was bound once believes nobody
//! for where they come from, and makes no second key, whatever happens to its log (`Doors::mode`, `Doors::of`).

use ironcache_store::{DiskError, read_durably, replace_durably};
use ironcache_types::{ClusterId, KeyHash, NodeId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const FILE: &str = "binding.json";
/// That of its row in the table of levels: what binds a node writes it at the level of the cluster that the node joins, since
/// an older release may have to start with it.
const FORMAT: u16 = 1;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub cluster: ClusterId,
    /// Of every member, this node among them.
    pub nodes: BTreeMap<NodeId, KeyHash>,
    /// Of whoever held the join code.
    pub admin: KeyHash,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u16,
    cluster: ClusterId,
    nodes: BTreeMap<NodeId, KeyHash>,
    admin: KeyHash,
}

/// Of any format: the number comes first, and a file of a newer release is told from a damaged one by it.
#[derive(Deserialize)]
struct Numbered {
    format: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{} is damaged, or of another release: {problem}; restore it, or start with an empty data directory", path.display())]
    Unusable { path: PathBuf, problem: String },
}

impl Binding {
    /// `None`: nobody has bound the node of `dir`.
    pub(super) fn read(dir: &Path) -> Result<Option<Binding>, BindingError> {
        let path = dir.join(FILE);
        let Some(bytes) = read_durably(&path)? else { return Ok(None) };
        let unusable = |problem: String| BindingError::Unusable { path: path.clone(), problem };
        let no_json = |error: serde_json::Error| unusable(error.to_string());
        let Numbered { format } = serde_json::from_slice(&bytes).map_err(no_json)?;
        if format != FORMAT {
            return Err(unusable(format!("format {format} is unknown")));
        }
        let Stored { format: _, cluster, nodes, admin } = serde_json::from_slice(&bytes).map_err(no_json)?;
        Ok(Some(Binding { cluster, nodes, admin }))
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), DiskError> {
        let Self { cluster, nodes, admin } = self;
        let stored = Stored { format: FORMAT, cluster: *cluster, nodes: nodes.clone(), admin: *admin };
        let text = serde_json::to_vec(&stored).expect("numbers and lists are JSON");
        replace_durably(&dir.join(FILE), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::Digest;

    fn binding() -> Binding {
        let key = |byte| KeyHash(Digest([byte; 32]));
        let nodes = BTreeMap::from([(NodeId(1), key(1)), (NodeId(2), key(2))]);
        Binding { cluster: ClusterId(7), nodes, admin: key(3) }
    }

    #[test]
    fn format_1_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        binding().write(dir.path()).unwrap();
        let golden = expect_test::expect_file!["../../tests/golden/binding-1.json"];
        golden.assert_eq(&std::fs::read_to_string(&path).unwrap());
        std::fs::write(&path, golden.data()).unwrap();
        assert_eq!(Binding::read(dir.path()).unwrap(), Some(binding()));
    }

    #[test]
    fn the_format_is_the_one_of_the_table_of_levels() {
        use ironcache_formats::levels::{Format, RANGE, version_at, versions_read};
        assert_eq!(version_at(Format::BindingFile, RANGE.max), Some(FORMAT));
        assert_eq!(versions_read(Format::BindingFile), Some((FORMAT, FORMAT)));
    }

    #[test]
    fn a_file_of_a_newer_release_is_told_from_a_damaged_one() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), r#"{"format":2,"whatever":"the future needs"}"#).unwrap();
        let error = Binding::read(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 2 is unknown"), "{error}");
    }

    #[test]
    fn fuzz_a_binding_is_what_was_written_or_its_file_stays_as_it_is() {
        let folder = ironcache_fuzz::Folder::new();
        let binding = binding();
        binding.write(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let file = std::fs::read(&path).unwrap();
        let words = ["\"", "{", "}", ",", ":", "null", "\"format\":1", "\"later\":1,"];
        ironcache_fuzz::Campaign::of("binding.json").from([file]).words(words).run(|bytes| {
            let found = ironcache_fuzz::refused_stays(&path, bytes, |_| Binding::read(folder.path()));
            let found = found.map_err(|error| match error {
                BindingError::Disk(_) => "disk".to_owned(),
                BindingError::Unusable { problem, path: _ } => ironcache_fuzz::first_words(&problem),
            })?;
            let found = found.expect("the file is there");
            found.write(folder.path()).unwrap();
            assert_eq!(Binding::read(folder.path()).unwrap(), Some(found.clone()));
            Ok::<_, String>((found == binding, found.nodes.len().min(3)))
        });
    }
}
