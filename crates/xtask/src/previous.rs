//! The newest release that was cut, built again from its commit: what a train of releases begins at.
//!
//! ```text
//!  releases.toml ──> commit ──git worktree──> target/released/COMMIT/source ──cargo──> target/released/COMMIT/ironcache
//! ```
//!
//! What others made is compiled once: the build puts what lies between source and binary where this workspace has it, so
//! that only our own crates, which have another version, are compiled for it. A stand-in (`patches/`) has the same version
//! in both, so a release with another one is built apart.
//!
//! *Invariant:* what stands at the place of a release is whole, and says of itself what the list says of it.
//! *Invariant:* a release is built once; the work tree of its build is gone afterwards.

use crate::releases::{Cut, LIST, git};
use crate::workspace::cargo;
use anyhow::{Context, Result, bail, ensure};
use ironcache_types::{LevelRange, Manifest};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

/// Below the target directory, so that `cargo clean` takes it along.
const DIR: &str = "target/released";
/// What stands in for crates of others (docs/adr/0012).
const PATCHES: &str = "patches";
/// What the product is called where it is kept.
const PRODUCT: &str = "ironcache";
/// The binary that trains take for the product, at every release, and a small test of its package: cargo builds the one
/// for the other. That way the features of what others made are those that they have for the tests of the whole
/// workspace, trains included, and nothing of it is compiled again.
const BINARY: &str = "ironcache-under-test";
const TEST: &str = "readme";

/// The path of the binary of `cut`, which is built if it is not there.
///
/// # Errors
/// This clone lacks the commit; it does not build; what was built is not what the list says.
pub(crate) fn binary(root: &Path, cut: &Cut) -> Result<PathBuf> {
    let dir = root.join(DIR).join(&cut.commit);
    let binary = dir.join(PRODUCT);
    if !binary.is_file() {
        let built = build(root, &dir, cut)?;
        is_what_was_cut(&built, cut)?;
        fs::rename(&built, &binary).with_context(|| format!("cannot move {}", built.display()))?;
    }
    is_what_was_cut(&binary, cut)?;
    Ok(binary)
}

/// Builds the release below `dir`, and answers where its binary is for now.
fn build(root: &Path, dir: &Path, cut: &Cut) -> Result<PathBuf> {
    known(root, cut)?;
    eprintln!("previous: {} is built from its commit {}, once", cut.version, cut.commit);
    let (source, out, built) = (dir.join("source"), dir.join("out"), dir.join("built"));
    // What an interrupted build left.
    let tree = source.to_str().context("the path of the workspace is no text")?;
    drop(git(root, &["worktree", "remove", "--force", tree]));
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    git(root, &["worktree", "add", "--force", "--detach", tree, &cut.commit])?;
    let made = compile(root, &source, &out, cut).and_then(|()| {
        let made = out.join("debug").join(BINARY);
        fs::copy(&made, &built).with_context(|| format!("cannot copy {}", made.display()))
    });
    git(root, &["worktree", "remove", "--force", tree])?;
    drop(fs::remove_dir_all(&out));
    made?;
    Ok(built)
}

/// The profile is the one that tests run in: a train is about what two releases say to each other, not how fast.
fn compile(root: &Path, source: &Path, out: &Path, cut: &Cut) -> Result<()> {
    let mut cargo = cargo();
    cargo.args(["test", "--no-run", "--locked", "--workspace", "--test", TEST, "--target-dir"]).arg(out);
    // Nobody changes it and builds it again.
    cargo.env("CARGO_INCREMENTAL", "0");
    if has_the_same_patches(root, cut)? {
        keep_as_old_as(&source.join(PATCHES), committed_at(root, cut)?)?;
        cargo.env("CARGO_BUILD_BUILD_DIR", root.join("target"));
    }
    // What it prints is for people; stdout says where the binary is.
    let status = cargo.current_dir(source).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "release {} does not build at its commit {}", cut.version, cut.commit);
    Ok(())
}

/// # Errors
/// The commit is not in this clone: what to do.
fn known(root: &Path, cut: &Cut) -> Result<()> {
    let Cut { version, commit, .. } = cut;
    if git(root, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok() {
        return Ok(());
    }
    let shallow =
        git(root, &["rev-parse", "--is-shallow-repository"]).is_ok_and(|said| said.trim() == "true");
    let fetch = if shallow { "git fetch --unshallow" } else { "git fetch --all" };
    bail!(
        "{LIST}: release {version} was built from commit {commit}, which this {}clone lacks: run `{fetch}` (in CI: check \
         out the whole history)",
        if shallow { "shallow " } else { "" }
    )
}

/// Does the work tree have the stand-ins of the release?
fn has_the_same_patches(root: &Path, cut: &Cut) -> Result<bool> {
    let differs = git(root, &["diff", "--name-only", &cut.commit, "--", PATCHES])?;
    let more = git(root, &["ls-files", "--others", "--exclude-standard", "--", PATCHES])?;
    Ok(differs.trim().is_empty() && more.trim().is_empty())
}

fn committed_at(root: &Path, cut: &Cut) -> Result<SystemTime> {
    let said = git(root, &["show", "--no-patch", "--format=%ct", &cut.commit])?;
    let seconds = said.trim().parse().context("git show speaks otherwise than documented")?;
    Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Files that were just checked out are newer than anything that was compiled of them, and cargo would compile it anew,
/// for this workspace too.
fn keep_as_old_as(dir: &Path, when: SystemTime) -> Result<()> {
    if !dir.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            keep_as_old_as(&path, when)?;
        } else {
            let file = fs::File::options().write(true).open(&path);
            let dated = file.and_then(|file| file.set_modified(when));
            dated.with_context(|| format!("cannot date {}", path.display()))?;
        }
    }
    Ok(())
}

/// # Errors
/// The binary says of itself that it is another version, or admits other levels.
fn is_what_was_cut(binary: &Path, cut: &Cut) -> Result<()> {
    let name = || binary.file_name().map(OsStr::to_string_lossy).unwrap_or_default().into_owned();
    let bytes = fs::read(binary).with_context(|| format!("cannot read {}", binary.display()))?;
    let manifest = Manifest::read(&bytes).with_context(|| format!("{} has no version stamp", name()))?;
    let levels = LevelRange { min: cut.min, max: cut.level };
    ensure!(
        manifest.version.to_string() == cut.version && manifest.levels == levels,
        "{LIST} says that commit {} is release {} of the levels {levels}, and what is built from it says that it is {} of \
         the levels {}: correct the list",
        cut.commit,
        cut.version,
        manifest.version,
        manifest.levels
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_types::{Level, Stamp, Version, WireRange};

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn cut(version: &str) -> Cut {
        Cut { version: version.to_owned(), commit: COMMIT.to_owned(), level: Level(1), min: Level(1) }
    }

    /// A workspace in which a binary of 0.1.0 at level 1 stands where that release belongs.
    fn workspace() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join(DIR).join(COMMIT);
        fs::create_dir_all(&place).unwrap();
        let manifest = Manifest {
            version: Version::new(0, 1, 0),
            levels: LevelRange::new(1, 1),
            launcher_protocol: WireRange { min: 1, max: 1 },
            min_from: None,
            critical: Vec::new(),
        };
        fs::write(place.join(PRODUCT), Stamp::of(&manifest).unwrap().0).unwrap();
        root
    }

    #[test]
    fn what_was_built_is_not_built_again() {
        let root = workspace();
        let path = binary(root.path(), &cut("0.1.0")).unwrap();
        assert_eq!(path, root.path().join(DIR).join(COMMIT).join(PRODUCT));
    }

    #[test]
    fn a_binary_that_says_something_else_than_the_list_is_no_release() {
        let root = workspace();
        let error = binary(root.path(), &cut("0.1.1")).unwrap_err().to_string();
        assert!(
            error.contains("is release 0.1.1 of the levels 1-1") && error.contains("is 0.1.0"),
            "{error}"
        );
        let other = Cut { level: Level(2), ..cut("0.1.0") };
        let error = binary(root.path(), &other).unwrap_err().to_string();
        assert!(error.contains("of the levels 1-2"), "{error}");
    }

    #[test]
    fn a_clone_that_lacks_the_commit_is_told_what_to_do() {
        let origin = tempfile::tempdir().unwrap();
        git(origin.path(), &["init", "--quiet"]).unwrap();
        for message in ["release", "later"] {
            let who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"];
            let commit = ["commit", "--quiet", "--no-verify", "--allow-empty", "-m", message];
            git(origin.path(), &[&who[..], &commit].concat()).unwrap();
        }
        let first = git(origin.path(), &["rev-parse", "HEAD^"]).unwrap();
        let cut = Cut { commit: first.trim().to_owned(), ..cut("0.1.0") };
        known(origin.path(), &cut).unwrap();

        let clone = tempfile::tempdir().unwrap();
        let url = format!("file://{}", origin.path().display());
        git(clone.path(), &["clone", "--quiet", "--depth", "1", &url, "."]).unwrap();
        let error = binary(clone.path(), &cut).unwrap_err().to_string();
        assert!(
            error.contains("this shallow clone lacks") && error.contains("git fetch --unshallow"),
            "{error}"
        );
        let elsewhere = Cut { commit: COMMIT.to_owned(), ..cut };
        let error = binary(origin.path(), &elsewhere).unwrap_err().to_string();
        assert!(error.contains("this clone lacks: run `git fetch --all`"), "{error}");
    }
}
