//! What was released stays as it was: the goldens and the versions of the formats, held against git.
//!
//! ```text
//!  releases.toml ──> a release's commit ──git ls-tree──> its goldens and vN files, by content
//!                             │                               │ the same bytes under the same name in the work tree?
//!                             │                               └ answers (JSON, which only gains): nothing of them gone?
//!                             └─ the version that it says; the present source's is above all, and reads what they write
//! ```
//!
//! *Invariant:* reads git and the work tree, and changes neither.
//! *Invariant:* a release whose level the present source no longer admits freezes nothing.

use crate::answers;
use anyhow::{Context, Result, bail, ensure};
use ironcache_types::{Level, LevelRange, Version};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::Command;

/// The list, relative to the workspace root.
pub(crate) const LIST: &str = "releases.toml";

/// What `releases.toml` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Releases {
    /// The least level that the present source admits.
    pub min: Level,
    /// In the order in which they were cut.
    pub cut: Vec<Cut>,
}

/// One release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub version: String,
    /// Forty hex digits.
    pub commit: String,
    /// The highest level it admits.
    pub level: Level,
    /// The least level it admits.
    pub min: Level,
}

/// What the present source says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub version: Version,
    pub levels: LevelRange,
}

impl Source {
    /// Every crate has the workspace's version, this one too.
    pub(crate) fn own() -> Result<Self> {
        let version = env!("CARGO_PKG_VERSION").parse().context("the workspace's version is none")?;
        Ok(Self { version, levels: ironcache_types::LEVELS })
    }
}

/// A released file that is not what it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Changed {
        path: String,
        version: String,
        level: Level,
    },
    Gone {
        path: String,
        version: String,
        level: Level,
    },
    /// An answer's golden lacks something that a reader of the release looks for.
    Answers {
        path: String,
        version: String,
        lacks: String,
    },
    /// The commit of a release says another version.
    OtherVersion {
        version: String,
        found: String,
    },
    /// The present source is no newer than what was released.
    NotNewer {
        source: Version,
        version: String,
    },
    /// The present source does not read what the list, or the newest release, says.
    OtherLevels {
        source: LevelRange,
        min: Level,
        newest: Option<Level>,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::Changed { path, version, level } => write!(
                f,
                "{path}: differs from release {version}, which writes level {level}: add a version beside it, and put \
                 this one back (git show the release's commit)"
            ),
            Violation::Gone { path, version, level } => write!(
                f,
                "{path}: is gone, and release {version} writes level {level}: it may go only when `min` in {LIST} is \
                 above {level}"
            ),
            Violation::Answers { path, version, lacks } => write!(
                f,
                "{path}: {lacks}, and whoever reads what release {version} answers looks for it: answers only gain fields"
            ),
            Violation::OtherVersion { version, found } => write!(
                f,
                "{LIST}: the commit of release {version} says that it is {found}: a release is recorded with the commit that \
                 it was built from"
            ),
            Violation::NotNewer { source, version } => write!(
                f,
                "Cargo.toml: the workspace is at {source}, and {version} was released: what comes after a release has a \
                 version above it"
            ),
            Violation::OtherLevels { source, min, newest: None } => {
                write!(f, "{LIST}: `min` is {min}, and the present source admits {source}")
            }
            Violation::OtherLevels { source, min, newest: Some(newest) } => write!(
                f,
                "{LIST}: `min` is {min}, the newest release writes up to {newest}, and the present source admits {source}: \
                 it has to read both"
            ),
        }
    }
}

impl Releases {
    /// Reads `releases.toml`.
    ///
    /// # Errors
    /// Unknown keys, missing ones, levels that contradict each other: what is wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut table: toml::Table = text.parse().with_context(|| format!("{LIST} is not TOML"))?;
        let min = take_level(&mut table, "min").context("at the top")?;
        let entries = match table.remove("release") {
            Some(toml::Value::Array(entries)) => entries,
            Some(_) => bail!("{LIST}: `release` is no list of tables"),
            None => Vec::new(),
        };
        refuse_others(&table)?;
        let mut cut: Vec<Cut> = Vec::new();
        for entry in entries {
            let toml::Value::Table(entry) = entry else { bail!("{LIST}: a release is no table") };
            let said = entry.get("version").map_or_else(|| "?".to_owned(), ToString::to_string);
            let release = Cut::parse(entry).with_context(|| format!("{LIST}: release {said}"))?;
            if let Some(last) = cut.last() {
                ensure!(
                    release.level >= last.level && release.min >= last.min,
                    "{LIST}: release {said} is at {}..={} and the one before it at {}..={}: no level ever falls",
                    release.min,
                    release.level,
                    last.min,
                    last.level
                );
            }
            cut.push(release);
        }
        if let Some(last) = cut.last() {
            ensure!(
                (last.min..=last.level).contains(&min),
                "{LIST}: the present source admits from level {min} on, and the newest release writes {}..={}: nobody \
                 could be rolled to it",
                last.min,
                last.level
            );
        }
        Ok(Self { min, cut })
    }
}

impl Cut {
    fn parse(mut entry: toml::Table) -> Result<Self> {
        let version = take_text(&mut entry, "version")?;
        let commit = take_text(&mut entry, "commit")?;
        ensure!(
            commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
            "`commit` is {commit:?}; the forty hex digits are wanted, as nothing shorter stays unique"
        );
        let (level, min) = (take_level(&mut entry, "level")?, take_level(&mut entry, "min")?);
        ensure!(min <= level, "`min` {min} is above `level` {level}");
        refuse_others(&entry)?;
        Ok(Self { version, commit, level, min })
    }
}

fn take_text(table: &mut toml::Table, key: &str) -> Result<String> {
    match table.remove(key) {
        Some(toml::Value::String(text)) => Ok(text),
        Some(other) => bail!("`{key}` is {other}; a text is wanted"),
        None => bail!("`{key}` is missing"),
    }
}

fn take_level(table: &mut toml::Table, key: &str) -> Result<Level> {
    match table.remove(key) {
        Some(toml::Value::Integer(level)) if level >= 1 => u16::try_from(level)
            .map(Level)
            .with_context(|| format!("`{key}` is {level}; no level is so high")),
        Some(other) => bail!("`{key}` is {other}; a level, from 1 on, is wanted"),
        None => bail!("`{key}` is missing"),
    }
}

fn refuse_others(table: &toml::Table) -> Result<()> {
    match table.keys().next() {
        Some(key) => bail!("{LIST}: `{key}` is not known here"),
        None => Ok(()),
    }
}

/// Is this a file that a release freezes? A golden, unless it is prose for people or an answer, or a version of a format;
/// and nothing of the feature `next`, which is the future of whatever release it stands beside.
pub(crate) fn is_frozen(path: &str) -> bool {
    let (dirs, name) = path.rsplit_once('/').unwrap_or(("", path));
    if is_answer(path) {
        return false;
    }
    let is_next = |part: &str| part.split(['_', '-', '.']).any(|word| word == "next");
    if path.split('/').any(is_next) {
        return false;
    }
    let is_golden = dirs.split('/').any(|dir| dir == "golden");
    let is_prose = [".txt", ".md", ".rs"].iter().any(|end| name.ends_with(end));
    (is_golden && !is_prose) || crate::formats::is_version(path)
}

/// Is this a golden of what the HTTP port answers? It gains fields with every release, and keeps what it has.
fn is_answer(path: &str) -> bool {
    path.starts_with("crates/api/tests/golden/") && path.ends_with(".json")
}

/// What the list, the commits in it and the present source say of each other.
///
/// # Errors
/// When git cannot be asked, or does not know a release's commit.
pub(crate) fn check_list(root: &Path, releases: &Releases, source: &Source) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let Releases { min, cut } = releases;
    let newest = cut.last().map(|cut| cut.level);
    if source.levels.min != *min || newest.is_some_and(|newest| !source.levels.admits(newest)) {
        violations.push(Violation::OtherLevels { source: source.levels, min: *min, newest });
    }
    for Cut { version, commit, level: _, min: _ } in cut {
        let manifest = git(root, &["show", &format!("{commit}:Cargo.toml")]).with_context(|| {
            format!("{LIST}: release {version} names commit {commit}; a shallow clone lacks it")
        })?;
        let found =
            workspace_version(&manifest).with_context(|| format!("Cargo.toml of release {version}"))?;
        let released: Version =
            version.parse().with_context(|| format!("{LIST}: `version` is {version:?}, which is none"))?;
        if found != *version {
            violations.push(Violation::OtherVersion { version: version.clone(), found });
        }
        if source.version <= released {
            violations.push(Violation::NotNewer { source: source.version.clone(), version: version.clone() });
        }
    }
    Ok(violations)
}

fn workspace_version(manifest: &str) -> Result<String> {
    let table: toml::Table = manifest.parse().context("it is not TOML")?;
    let version = table.get("workspace").and_then(|at| at.get("package")).and_then(|at| at.get("version"));
    let version = version.and_then(toml::Value::as_str);
    Ok(version.context("it has no `workspace.package.version`")?.to_owned())
}

/// Everything in the work tree at `root` that is not what a release in force made of it.
///
/// # Errors
/// When git cannot be asked, or does not know a release's commit.
pub(crate) fn check(root: &Path, releases: &Releases) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for cut in releases.cut.iter().filter(|cut| cut.level >= releases.min) {
        let files = files(root, cut)?;
        violations.extend(check_answers(root, cut, &files)?);
        let released: BTreeMap<String, String> =
            files.into_iter().filter(|(path, _)| is_frozen(path)).collect();
        let present: Vec<&str> =
            released.keys().map(String::as_str).filter(|path| root.join(path).is_file()).collect();
        let now: BTreeMap<&str, String> = present.iter().copied().zip(contents(root, &present)?).collect();
        for (path, then) in &released {
            let (path, version, level) = (path.clone(), cut.version.clone(), cut.level);
            match now.get(path.as_str()) {
                Some(now) if now == then => {}
                Some(_) => violations.push(Violation::Changed { path, version, level }),
                None => violations.push(Violation::Gone { path, version, level }),
            }
        }
    }
    Ok(violations)
}

/// What the answers of a release lack by now.
fn check_answers(root: &Path, cut: &Cut, files: &BTreeMap<String, String>) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for path in files.keys().filter(|path| is_answer(path)) {
        let violation =
            |lacks| Violation::Answers { path: path.clone(), version: cut.version.clone(), lacks };
        let then = git(root, &["show", &format!("{}:{path}", cut.commit)])?;
        let then =
            serde_json::from_str(&then).with_context(|| format!("{path} of release {}", cut.version))?;
        let Ok(now) = std::fs::read_to_string(root.join(path)) else {
            violations.push(violation("it is gone".to_owned()));
            continue;
        };
        let now = serde_json::from_str(&now).with_context(|| format!("{path} is no JSON"))?;
        violations.extend(answers::lost(&then, &now).into_iter().map(violation));
    }
    Ok(violations)
}

/// The files of a release: path and object id.
fn files(root: &Path, cut: &Cut) -> Result<BTreeMap<String, String>> {
    let tree = git(root, &["ls-tree", "-r", "-z", "--full-tree", &cut.commit]).with_context(|| {
        format!("{LIST}: release {} names commit {}; a shallow clone lacks it", cut.version, cut.commit)
    })?;
    let mut files = BTreeMap::new();
    for line in tree.split('\0').filter(|line| !line.is_empty()) {
        // "100644 blob OBJECT\tPATH"
        let (head, path) = line.split_once('\t').context("git ls-tree speaks otherwise than documented")?;
        let object = head.rsplit(' ').next().context("git ls-tree speaks otherwise than documented")?;
        files.insert(path.to_owned(), object.to_owned());
    }
    Ok(files)
}

/// The object ids that git would give to what the files hold now.
fn contents(root: &Path, paths: &[&str]) -> Result<Vec<String>> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let said = git(root, &[&["hash-object", "--no-filters", "--"], paths].concat())?;
    let objects: Vec<String> = said.lines().map(str::to_owned).collect();
    ensure!(objects.len() == paths.len(), "git hash-object named {} of {} files", objects.len(), paths.len());
    Ok(objects)
}

/// What git answers in `root`.
pub(crate) fn git(root: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new("git").args(args).current_dir(root).output().context("cannot run git")?;
    if !output.status.success() {
        bail!("git {} failed: {}", args[0], String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).context("git answered with what is no text")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = "crates/raft/tests/golden/wal.hex";
    const VERSION: &str = "crates/formats/src/state/v1.rs";
    const NEXT: &str = "crates/formats/src/state/next.rs";
    const ANSWER: &str = "crates/api/tests/golden/status.json";

    /// A repository of its own, with one commit: a golden, a version, a file of the future, an answer, the version of it
    /// all, and a file of no account.
    struct Scratch {
        dir: tempfile::TempDir,
        commit: String,
    }

    impl Scratch {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let mut scratch = Self { dir, commit: String::new() };
            for (path, text) in [
                (GOLDEN, "00ff\n"),
                (VERSION, "pub struct State;"),
                (NEXT, "a"),
                (ANSWER, "{\"level\": 1, \"nodes\": [{\"id\": \"a\", \"key\": 7}]}"),
                ("Cargo.toml", "[workspace.package]\nversion = \"0.2.0\"\n"),
                ("src/lib.rs", "b"),
            ] {
                scratch.write(path, text);
            }
            scratch.git(&["init", "--quiet"]);
            scratch.git(&["add", "."]);
            let who = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"];
            scratch.git(&[&who[..], &["commit", "--quiet", "--no-verify", "-m", "release"]].concat());
            scratch.commit = git(scratch.dir.path(), &["rev-parse", "HEAD"]).unwrap().trim().to_owned();
            scratch
        }

        fn write(&self, path: &str, text: &str) {
            let path = self.dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn git(&self, args: &[&str]) {
            git(self.dir.path(), args).unwrap();
        }

        /// What is said when the release was cut at level 1, and the source admits from `min` on.
        fn said(&self, min: u16) -> Vec<String> {
            let said =
                check(self.dir.path(), &Releases { min: Level(min), cut: vec![self.cut("0.2.0")] }).unwrap();
            said.iter().map(ToString::to_string).collect()
        }

        fn cut(&self, version: &str) -> Cut {
            Cut { version: version.to_owned(), commit: self.commit.clone(), level: Level(1), min: Level(1) }
        }

        /// What is said of a list with the release `version`, for a source that is at `source` and admits `levels`.
        fn said_of_the_list(&self, version: &str, source: &str, levels: LevelRange) -> Vec<String> {
            let releases = Releases { min: Level(1), cut: vec![self.cut(version)] };
            let source = Source { version: source.parse().unwrap(), levels };
            let said = check_list(self.dir.path(), &releases, &source).unwrap();
            said.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn what_is_as_it_was_released_passes() {
        let scratch = Scratch::new();
        assert_eq!(scratch.said(1), Vec::<String>::new());
        scratch.write("crates/formats/src/state/v2.rs", "a version beside it");
        scratch.write("crates/raft/tests/golden/wal-2.hex", "its golden");
        scratch.write("src/lib.rs", "code that writes the same bytes");
        scratch.write(NEXT, "the future changes with every release");
        assert_eq!(scratch.said(1), Vec::<String>::new());
    }

    #[test]
    fn a_changed_golden_or_version_is_refused_even_when_it_is_committed() {
        let scratch = Scratch::new();
        scratch.write(GOLDEN, "00fe\n");
        scratch.write(VERSION, "pub struct State { zone: u64 }");
        scratch.git(&["add", "."]);
        let said = scratch.said(1);
        assert_eq!(
            said,
            [
                "crates/formats/src/state/v1.rs: differs from release 0.2.0, which writes level 1: add a version beside \
                 it, and put this one back (git show the release's commit)",
                "crates/raft/tests/golden/wal.hex: differs from release 0.2.0, which writes level 1: add a version \
                 beside it, and put this one back (git show the release's commit)",
            ]
        );
    }

    #[test]
    fn a_released_file_goes_only_when_min_rises() {
        let scratch = Scratch::new();
        std::fs::remove_file(scratch.dir.path().join(GOLDEN)).unwrap();
        std::fs::rename(
            scratch.dir.path().join(VERSION),
            scratch.dir.path().join("crates/formats/src/state/v01.rs"),
        )
        .unwrap();
        let said = scratch.said(1);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("may go only when `min` in releases.toml is above 1"), "{said:?}");
        assert_eq!(scratch.said(2), Vec::<String>::new());
    }

    #[test]
    fn a_commit_that_git_does_not_know_is_an_error_and_no_pass() {
        let scratch = Scratch::new();
        let commit = "0".repeat(40);
        let releases = Releases { min: Level(1), cut: vec![Cut { commit, ..scratch.cut("0.2.0") }] };
        let error = check(scratch.dir.path(), &releases).unwrap_err();
        assert!(format!("{error:#}").contains("a shallow clone lacks it"), "{error:#}");
        let source = Source { version: Version::new(0, 3, 0), levels: LevelRange::new(1, 1) };
        let error = check_list(scratch.dir.path(), &releases, &source).unwrap_err();
        assert!(format!("{error:#}").contains("a shallow clone lacks it"), "{error:#}");
    }

    #[test]
    fn answers_gain_fields_and_keep_what_they_have() {
        let scratch = Scratch::new();
        scratch
            .write(ANSWER, "{\"level\": 2, \"zone\": \"east\", \"nodes\": [{\"id\": \"b\", \"key\": 3}, {\"id\": \"c\", \"key\": null}]}");
        assert_eq!(scratch.said(1), Vec::<String>::new());
        scratch.write(ANSWER, "{\"level\": \"1\", \"nodes\": [{}]}");
        let why = "and whoever reads what release 0.2.0 answers looks for it: answers only gain fields";
        assert_eq!(
            scratch.said(1),
            [
                format!("{ANSWER}: `level` is no number any more, {why}"),
                format!("{ANSWER}: `nodes[].id` is gone, {why}"),
                format!("{ANSWER}: `nodes[].key` is gone, {why}"),
            ]
        );
        std::fs::remove_file(scratch.dir.path().join(ANSWER)).unwrap();
        assert_eq!(scratch.said(1), [format!("{ANSWER}: it is gone, {why}")]);
    }

    #[test]
    fn a_release_is_recorded_as_what_its_commit_says_and_the_source_after_it_is_above_it() {
        let scratch = Scratch::new();
        let levels = LevelRange::new(1, 1);
        assert_eq!(scratch.said_of_the_list("0.2.0", "0.3.0", levels), Vec::<String>::new());
        assert_eq!(scratch.said_of_the_list("0.2.0", "0.2.1", LevelRange::new(1, 2)), Vec::<String>::new());
        let said = scratch.said_of_the_list("0.2.0", "0.2.0", levels);
        assert!(said[0].contains("the workspace is at 0.2.0, and 0.2.0 was released"), "{said:?}");
        let said = scratch.said_of_the_list("0.1.9", "0.3.0", levels);
        assert!(said[0].contains("the commit of release 0.1.9 says that it is 0.2.0"), "{said:?}");
        let said = scratch.said_of_the_list("0.2.0", "0.3.0", LevelRange::new(2, 2));
        assert!(said[0].contains("the present source admits 2-2: it has to read both"), "{said:?}");
    }

    #[test]
    fn frozen_are_goldens_and_versions_but_neither_prose_nor_the_future() {
        for path in [
            "crates/spine/tests/golden/state-1",
            "crates/formats/tests/golden/entry/1/promote.hex",
            "crates/formats/src/entry/register_node/v2.rs",
            "crates/formats/src/state/v10_node.rs",
        ] {
            assert!(is_frozen(path), "{path}");
        }
        for path in [
            "crates/sim/tests/golden/rollback.txt",
            "crates/raft/tests/raft/golden.rs",
            "crates/formats/src/state/mod.rs",
            "crates/formats/src/state/next.rs",
            "crates/formats/src/state/v2_next.rs",
            "crates/formats/tests/golden/next/state.hex",
            "crates/api/tests/golden/status.json",
            "crates/node/src/v1.rs",
        ] {
            assert!(!is_frozen(path), "{path}");
        }
    }

    #[test]
    fn the_list_is_read_and_contradictions_in_it_are_refused() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let one = |version: &str, level: u32, min: u32| {
            format!(
                "[[release]]\nversion = \"{version}\"\ncommit = \"{commit}\"\nlevel = {level}\nmin = {min}\n"
            )
        };
        let two = Releases::parse(&format!("min = 1\n{}{}", one("0.2.0", 1, 1), one("0.3.0", 2, 1))).unwrap();
        assert_eq!(
            two.cut[1],
            Cut { version: "0.3.0".to_owned(), commit: commit.to_owned(), level: Level(2), min: Level(1) }
        );
        assert_eq!(Releases::parse("min = 3").unwrap(), Releases { min: Level(3), cut: Vec::new() });
        for (text, problem) in [
            ("", "`min` is missing"),
            ("min = 0", "a level, from 1 on, is wanted"),
            ("min = 1\nlast = 2", "`last` is not known here"),
            (&format!("min = 1\n{}name = 1", one("0.2.0", 1, 1)), "`name` is not known here"),
            (&format!("min = 1\n{}", one("0.2.0", 1, 2)), "`min` 2 is above `level` 1"),
            (&format!("min = 1\n{}{}", one("0.2.0", 2, 1), one("0.3.0", 1, 1)), "no level ever falls"),
            (&format!("min = 3\n{}", one("0.2.0", 2, 1)), "nobody could be rolled to it"),
            (
                "min = 1\n[[release]]\nversion = \"1\"\ncommit = \"abc\"\nlevel = 1\nmin = 1",
                "forty hex digits",
            ),
        ] {
            let error = Releases::parse(text).unwrap_err();
            assert!(format!("{error:#}").contains(problem), "{text}: {error:#}");
        }
    }

    #[test]
    fn fuzz_lists_of_releases() {
        let entry = "min = 1\n[[release]]\nversion = \"0.1.0\"\ncommit = \"0123456789012345678901234567890123456789\"\nlevel = 1\nmin = 1\n";
        let words = ["[[release]]\n", "level = 2\n", "min", " = ", "\"", "\n"];
        ironcache_fuzz::Campaign::of("releases.toml").from([entry, "min = 1\n"]).words(words).run(|bytes| {
            Releases::parse(&String::from_utf8_lossy(bytes))
                .map(drop)
                .map_err(|error| error.to_string().len() > 9)
        });
    }
}
