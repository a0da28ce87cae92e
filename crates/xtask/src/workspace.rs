//! The workspace as `cargo metadata` tells it: packages, where they lie, what they depend on.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug)]
pub(crate) struct Workspace {
    pub root: PathBuf,
    /// Sorted by name.
    pub packages: Vec<Package>,
}

#[derive(Debug)]
pub(crate) struct Package {
    pub name: String,
    /// The folder of its `Cargo.toml`.
    pub dir: PathBuf,
    pub dependencies: Vec<Dependency>,
}

#[derive(Debug)]
pub(crate) struct Dependency {
    /// The package's real name, also where the manifest renames it.
    pub name: String,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Build,
    Dev,
}

/// Cargo, as whoever started this would start it: without what cargo tells a program that it runs. Build scripts ask for
/// some of that (ring's for the name of the package), and what they belong to would be compiled anew, with everything
/// above it: now, and again for whoever comes next.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo
}

impl Workspace {
    /// Asks cargo. Reads manifests only: no network, no build.
    pub(crate) fn load() -> Result<Workspace> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--no-deps"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let text = std::str::from_utf8(&output.stdout).context("cargo metadata is not text")?;
        Workspace::parse(text)
    }

    /// Reads the JSON of `cargo metadata --format-version 1`.
    pub(crate) fn parse(json: &str) -> Result<Workspace> {
        let json: Value = serde_json::from_str(json).context("cargo metadata is not JSON")?;
        let root = text(&json, "workspace_root")?.into();
        let mut packages =
            array(&json, "packages")?.iter().map(Package::parse).collect::<Result<Vec<_>>>()?;
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Workspace { root, packages })
    }

    pub(crate) fn is_ours(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package.name == name)
    }
}

impl Package {
    fn parse(json: &Value) -> Result<Package> {
        let manifest = PathBuf::from(text(json, "manifest_path")?);
        let dir = manifest.parent().context("a manifest lies in a folder")?.to_path_buf();
        let dependencies =
            array(json, "dependencies")?.iter().map(Dependency::parse).collect::<Result<_>>()?;
        Ok(Package { name: text(json, "name")?.to_owned(), dir, dependencies })
    }
}

impl Dependency {
    fn parse(json: &Value) -> Result<Dependency> {
        let kind = match json["kind"].as_str() {
            None => Kind::Normal,
            Some("build") => Kind::Build,
            Some("dev") => Kind::Dev,
            Some(other) => bail!("cargo metadata names an unknown dependency kind {other:?}"),
        };
        Ok(Dependency { name: text(json, "name")?.to_owned(), kind })
    }
}

fn text<'a>(json: &'a Value, key: &str) -> Result<&'a str> {
    json[key].as_str().with_context(|| format!("cargo metadata lacks the text {key:?}"))
}

fn array<'a>(json: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    json[key].as_array().with_context(|| format!("cargo metadata lacks the list {key:?}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A workspace of `(package, [(dependency, kind)])`.
    pub(crate) fn workspace(packages: &[(&str, &[(&str, Kind)])]) -> Workspace {
        let packages = packages.iter().map(|(name, dependencies)| Package {
            name: (*name).to_owned(),
            dir: format!("crates/{name}").into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
                .collect(),
        });
        Workspace { root: ".".into(), packages: packages.collect() }
    }

    #[test]
    fn metadata_is_read() {
        let json = r#"{"workspace_root": "/w", "packages": [
            {"name": "b", "manifest_path": "/w/crates/b/Cargo.toml", "dependencies": [
                {"name": "a", "kind": null}, {"name": "t", "kind": "dev"}, {"name": "c", "kind": "build"}]},
            {"name": "a", "manifest_path": "/w/crates/a/Cargo.toml", "dependencies": []}]}"#;
        let workspace = Workspace::parse(json).unwrap();
        assert_eq!(workspace.packages[0].name, "a");
        let b = &workspace.packages[1];
        assert_eq!(b.dir, PathBuf::from("/w/crates/b"));
        let kinds: Vec<Kind> = b.dependencies.iter().map(|d| d.kind).collect();
        assert_eq!(kinds, [Kind::Normal, Kind::Dev, Kind::Build]);
    }

    #[test]
    fn other_json_is_refused_with_what_it_lacks() {
        let error = Workspace::parse("{}").unwrap_err();
        assert_eq!(error.to_string(), r#"cargo metadata lacks the text "workspace_root""#);
    }
}
