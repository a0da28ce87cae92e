//! Whether what `[patch.crates-io]` puts in the place of a foreign crate is what is built.
//!
//! Cargo only warns when nobody wants the version of a patch any more, builds the original, and goes on: a bump of a
//! dependency would lose the patch without a word.
//!
//! *Invariant:* reads the two files and asks nobody.

use anyhow::{Context, Result};
use std::fmt;
use toml::{Table, Value};

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The lock file has it under `[[patch.unused]]`.
    Unused { name: String, version: String },
    /// The original is built, beside the patch or in its place.
    Original { name: String, version: String },
    /// Nobody depends on it.
    Absent { name: String },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Unused { name, version } => write!(
                f,
                "Cargo.lock: the patch of {name} is {version} and unused: nobody asks for that version. Give \
                 patches/{name} the version that is asked for, and see that it still has the interface"
            ),
            Violation::Original { name, version } => write!(
                f,
                "Cargo.lock: {name} {version} comes from a registry, although it is patched: somebody asks for a version \
                 that the patch does not have"
            ),
            Violation::Absent { name } => {
                write!(f, "Cargo.lock: {name} is patched, and nothing depends on it: remove the patch")
            }
        }
    }
}

/// Holds the lock file against the patches that the workspace's manifest names.
///
/// # Errors
/// When one of the two is not what cargo writes.
pub(crate) fn check(manifest: &str, lock: &str) -> Result<Vec<Violation>> {
    let manifest: Table = manifest.parse().context("Cargo.toml is not TOML")?;
    let lock: Table = lock.parse().context("Cargo.lock is not TOML")?;
    let patched = manifest.get("patch").and_then(|patch| patch.get("crates-io")).and_then(Value::as_table);
    let locked = packages(lock.get("package"))?;
    let unused = packages(lock.get("patch").and_then(|patch| patch.get("unused")))?;
    let mut violations = Vec::new();
    for (key, entry) in patched.into_iter().flatten() {
        // `name = { package = "real-name", … }`
        let name = entry.get("package").and_then(Value::as_str).unwrap_or(key).to_owned();
        let of_name = |list: &[Locked]| list.iter().filter(|p| p.name == name).cloned().collect::<Vec<_>>();
        for Locked { version, .. } in of_name(&unused) {
            violations.push(Violation::Unused { name: name.clone(), version });
        }
        let built = of_name(&locked);
        for Locked { version, .. } in built.iter().filter(|p| p.is_foreign) {
            violations.push(Violation::Original { name: name.clone(), version: version.clone() });
        }
        if built.is_empty() || !locked.iter().any(|p| p.dependencies.contains(&name)) {
            violations.push(Violation::Absent { name: name.clone() });
        }
    }
    Ok(violations)
}

#[derive(Clone, Debug)]
struct Locked {
    name: String,
    version: String,
    /// From a registry or from git, and not from this workspace.
    is_foreign: bool,
    /// By name.
    dependencies: Vec<String>,
}

fn packages(list: Option<&Value>) -> Result<Vec<Locked>> {
    let entries = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |entry: &Value| -> Option<Locked> {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let dependencies = entry.get("dependencies").and_then(Value::as_array);
        // "name", "name version", or "name version (source)": as much as is needed to tell them apart.
        let name = |d: &Value| d.as_str()?.split(' ').next().map(str::to_owned);
        Some(Locked {
            name: text("name")?,
            version: text("version")?,
            is_foreign: entry.get("source").is_some(),
            dependencies: dependencies.into_iter().flatten().filter_map(name).collect(),
        })
    };
    entries
        .iter()
        .map(|entry| read(entry).context("Cargo.lock has a package without name or version"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[patch.crates-io]\nbase2histogram = { path = \"patches/base2histogram\" }";
    const OPENRAFT: &str = "[[package]]\nname = \"openraft\"\nversion = \"0.10.0\"\nsource = \"registry+x\"\n\
                            dependencies = [\n \"base2histogram\",\n]\n";
    const PATCHED: &str = "[[package]]\nname = \"base2histogram\"\nversion = \"0.2.3\"\n";

    fn said(lock: &[&str]) -> Vec<Violation> {
        check(MANIFEST, &lock.concat()).unwrap()
    }

    #[test]
    fn a_patch_that_is_built_passes() {
        assert_eq!(said(&[PATCHED, OPENRAFT]), []);
    }

    /// What cargo itself makes of a requirement that the patch does not meet.
    #[test]
    fn a_bump_that_loses_the_patch_is_seen() {
        let original =
            "[[package]]\nname = \"base2histogram\"\nversion = \"0.3.0\"\nsource = \"registry+x\"\n";
        let unused = "[[patch.unused]]\nname = \"base2histogram\"\nversion = \"0.2.3\"\n";
        let name = || "base2histogram".to_owned();
        assert_eq!(
            said(&[original, OPENRAFT, unused]),
            [
                Violation::Unused { name: name(), version: "0.2.3".to_owned() },
                Violation::Original { name: name(), version: "0.3.0".to_owned() }
            ]
        );
        assert_eq!(
            said(&[PATCHED, original, &OPENRAFT.replace("base2histogram", "base2histogram 0.3.0")]),
            [Violation::Original { name: name(), version: "0.3.0".to_owned() }],
            "as a member of the workspace the patch stays in the lock file, and somebody is built with the original"
        );
        let without = OPENRAFT.replace(" \"base2histogram\",\n", "");
        assert_eq!(said(&[PATCHED, &without]), [Violation::Absent { name: name() }]);
        assert_eq!(said(&[&without]), [Violation::Absent { name: name() }]);
    }

    #[test]
    fn a_renamed_patch_is_found_by_its_real_name() {
        let manifest = "[patch.crates-io]\nold = { package = \"base2histogram\", path = \"p\" }";
        assert_eq!(check(manifest, &[PATCHED, OPENRAFT].concat()).unwrap(), []);
    }

    #[test]
    fn what_is_no_lock_file_is_an_error() {
        assert!(check(MANIFEST, "[[package]]\nname = \"a\"").is_err());
        assert!(check(MANIFEST, "not toml").is_err());
    }
}
