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
        let stored: Stored = serde_json::from_slice(&bytes).map_err(|error| unusable(error.to_string()))?;
        let Stored { format, cluster, nodes, admin } = stored;
        if format != FORMAT {
            return Err(unusable(format!("format {format} is unknown")));
        }
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

    #[test]
    fn fuzz_a_binding_is_what_was_written_or_its_file_stays_as_it_is() {
        let folder = ironcache_fuzz::Folder::new();
        let key = |byte| KeyHash(Digest([byte; 32]));
        let nodes = BTreeMap::from([(NodeId(1), key(1)), (NodeId(2), key(2))]);
        let binding = Binding { cluster: ClusterId(7), nodes, admin: key(3) };
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
