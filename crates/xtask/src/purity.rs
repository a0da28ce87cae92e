//! What the sources of a crate must not name: the clock, the disk, the network and the environment in
//! the pure crates, and a confined foreign crate outside its one place. What a format's version and a live
//! type must not have is in [`crate::formats`]; the files are read once, here.
//!
//! *Invariant:* looks at `src` only, and there not at tests: a pure crate's tests may use a clock.

use crate::formats;
use crate::rules::{
    BANNED_IN_DETERMINISTIC, BANNED_IN_PURE, CONFINED, DETERMINISTIC, PURE_IN_SOURCE, Purity, rule_of,
};
use crate::source::{Token, product_tokens, test_modules};
use crate::workspace::{Package, Workspace};
use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub file: PathBuf,
    pub line: usize,
    pub found: String,
    pub reason: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, found, reason } = self;
        write!(f, "{}:{line}: names `{found}`: {reason}", file.display())
    }
}

/// Checks every crate of the workspace. Fails only if a source file cannot be read.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        let mut seen = formats::Seen::default();
        for file in product_files(&package.dir.join("src"))? {
            let source =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let inside =
                file.strip_prefix(&package.dir).expect("the file was found below the package's folder");
            let mut found = check_file(package, inside, &source);
            found.append(&mut formats::check_file(package, inside, &source));
            seen.note(package, inside);
            for violation in &mut found {
                violation.file = file.strip_prefix(&workspace.root).unwrap_or(&file).to_path_buf();
            }
            violations.append(&mut found);
        }
        violations.extend(formats::check_rules(&package.name, seen));
    }
    Ok(violations)
}

/// Checks one file of a package; `inside` is its path below the package's folder.
fn check_file(package: &Package, inside: &Path, source: &str) -> Vec<Violation> {
    let tokens = product_tokens(source);
    let imports = unfold_imports(&tokens);
    let mut violations = Vec::new();
    let mut report = |at: Token<'_>, found: String, reason: String| {
        let violation = Violation { file: inside.to_path_buf(), line: at.line, found, reason };
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    };
    for path in std::iter::once(&tokens).chain(&imports) {
        let is_pure = rule_of(&package.name).is_some_and(|rule| rule.purity == Purity::Pure);
        if is_pure || PURE_IN_SOURCE.contains(&package.name.as_str()) {
            for banned in BANNED_IN_PURE {
                for at in occurrences(path, banned.tokens) {
                    report(
                        at,
                        banned.tokens.concat(),
                        format!("{} is pure; {}", package.name, banned.instead),
                    );
                }
            }
        }
        if DETERMINISTIC.contains(&package.name.as_str()) {
            for banned in BANNED_IN_DETERMINISTIC {
                for at in occurrences(path, banned.tokens) {
                    report(at, banned.tokens.concat(), banned.instead.to_owned());
                }
            }
        }
        for confined in CONFINED {
            let allowed = package.name == confined.package && inside.starts_with_text(confined.files);
            for at in occurrences(path, &[confined.krate]) {
                if !allowed {
                    let place = format!("{} of {}", place_of(confined.files), confined.package);
                    report(at, confined.krate.to_owned(), format!("only {place} may: {}", confined.why));
                }
            }
        }
    }
    violations
}

fn place_of(files: &str) -> String {
    if files.is_empty() { "the sources".to_owned() } else { format!("{files}*") }
}

trait StartsWithText {
    /// Unlike [`Path::starts_with`], also within a component: `src/wire` covers `src/wire.rs`.
    fn starts_with_text(&self, prefix: &str) -> bool;
}

impl StartsWithText for Path {
    fn starts_with_text(&self, prefix: &str) -> bool {
        self.to_str().is_some_and(|path| path.starts_with(prefix))
    }
}

/// Where `wanted` stands as adjacent tokens.
pub(crate) fn occurrences<'a>(tokens: &[Token<'a>], wanted: &[&str]) -> Vec<Token<'a>> {
    let matches = |window: &&[Token<'_>]| window.iter().map(|t| t.text).eq(wanted.iter().copied());
    tokens.windows(wanted.len()).filter(matches).map(|window| window[0]).collect()
}

/// The leaves of every `use` tree as whole paths: `use std::{fs, io::Read};` gives `std::fs` and
/// `std::io::Read`.
pub(crate) fn unfold_imports<'a>(tokens: &[Token<'a>]) -> Vec<Vec<Token<'a>>> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        at += 1;
        if tokens[at - 1].text == "use" {
            at = unfold_tree(tokens, at, &[], &mut paths);
        }
    }
    paths
}

/// Unfolds one tree from `at`, below `prefix`; returns the position of what ends it.
fn unfold_tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &[Token<'a>],
    paths: &mut Vec<Vec<Token<'a>>>,
) -> usize {
    let mut path = prefix.to_vec();
    while let Some(&token) = tokens.get(at) {
        match token.text {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|t| t.text != "}" && t.text != ";") {
                    at = unfold_tree(tokens, at, &path, paths);
                    if tokens.get(at).is_some_and(|t| t.text == ",") {
                        at += 1;
                    }
                }
                return (at + 1).min(tokens.len());
            }
            "," | "}" | ";" => break,
            _ => {
                path.push(token);
                at += 1;
            }
        }
    }
    paths.push(path);
    at
}

/// The Rust files below `src` that end up in the product: test modules with files of their own are left out.
fn product_files(src: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    collect_files(src, &mut files)?;
    files.sort();
    let mut tests = BTreeSet::new();
    for file in &files {
        let source =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        for module in test_modules(&source) {
            let dir = module_dir(file);
            tests.insert(dir.join(format!("{module}.rs")));
            tests.insert(dir.join(module));
        }
    }
    files.retain(|file| !file.ancestors().any(|path| tests.contains(path)));
    Ok(files)
}

fn collect_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot list {}", dir.display())),
    };
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", dir.display()))?.path();
        if path.is_dir() {
            collect_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The folder in which the modules that `file` declares have their files.
fn module_dir(file: &Path) -> PathBuf {
    match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "main" | "mod") => file.with_file_name(""),
        _ => file.with_extension(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(package: &str, file: &str, source: &str) -> Vec<String> {
        let package = Package { name: package.to_owned(), dir: "d".into(), dependencies: Vec::new() };
        check_file(&package, Path::new(file), source).iter().map(ToString::to_string).collect()
    }

    fn in_control(source: &str) -> usize {
        said("ironcache-control", "src/lib.rs", source).len()
    }

    #[test]
    fn a_message_says_where_what_and_why() {
        assert_eq!(
            said("ironcache-control", "src/apply.rs", "fn f() {\n    let t = std::time::Instant::now();\n}"),
            ["src/apply.rs:2: names `Instant`: ironcache-control is pure; take the time as an argument"]
        );
    }

    #[test]
    fn every_forbidden_word_is_found_however_it_is_reached() {
        for source in [
            "use std::time::Instant;",
            "use std::time::{Duration, SystemTime};",
            "use std::{collections::BTreeMap, fs};",
            "use std::{io::{self, Read}, env};",
            "fn f() { std::env::var(\"X\"); }",
            "fn f(a: std::net::IpAddr) {}",
            "fn f() { ::std::process::exit(1) }",
            "fn f() { println!(\"x\") }",
            "fn f() { eprintln ! (\"x\") }",
            "fn f() { std::thread::sleep(d) }",
        ] {
            assert_eq!(in_control(source), 1, "{source}");
        }
    }

    #[test]
    fn every_forbidden_word_of_the_table_is_tried() {
        for banned in BANNED_IN_PURE {
            assert_eq!(in_control(&format!("fn f() {{ {} }}", banned.tokens.concat())), 1);
        }
    }

    #[test]
    fn prose_and_tests_may_say_what_they_like() {
        assert_eq!(
            in_control("//! never reads std::env or an Instant\n/* println! */ const A: &str = \"std::fs\";"),
            0
        );
        assert_eq!(
            in_control("#[cfg(test)]\nmod tests { use std::time::Instant; fn f() { println!(\"\"); } }"),
            0
        );
        assert_eq!(
            in_control("fn f(instant: InstantMs, env: Env, fs: Fs) { my::fs::read(); std::mem::take(x) }"),
            0
        );
    }

    #[test]
    fn what_every_node_has_to_reproduce_walks_no_hash_table() {
        assert_eq!(in_control("use std::collections::{BTreeMap, HashMap};"), 1);
        assert_eq!(said("ironcache-keyspace", "src/lib.rs", "use hashbrown::HashMap;"), Vec::<String>::new());
    }

    #[test]
    fn a_shell_may_read_the_clock() {
        assert_eq!(said("ironcache-node", "src/lib.rs", "use std::time::Instant;"), Vec::<String>::new());
    }

    #[test]
    fn bincode_is_named_in_the_wire_module_only() {
        let source = "use bincode::config;";
        assert_eq!(said("ironcache-formats", "src/wire.rs", source), Vec::<String>::new());
        assert_eq!(said("ironcache-formats", "src/wire/frames.rs", source), Vec::<String>::new());
        assert_eq!(
            said("ironcache-raft", "src/wal.rs", source),
            ["src/wal.rs:1: names `bincode`: only src/wire* of ironcache-formats may: \
              replacing it touches one module (docs/adr/0003)"]
        );
        assert_eq!(said("ironcache-spine", "src/wire.rs", source).len(), 1);
    }

    #[test]
    fn openraft_is_named_in_the_raft_crate_only() {
        assert_eq!(said("ironcache-raft", "src/network.rs", "use openraft::Raft;"), Vec::<String>::new());
        assert_eq!(said("ironcache-node", "src/lib.rs", "use openraft::Raft;").len(), 1);
    }

    #[test]
    fn the_files_of_a_declared_module_are_found() {
        assert_eq!(module_dir(Path::new("src/lib.rs")), Path::new("src/"));
        assert_eq!(module_dir(Path::new("src/plan/mod.rs")), Path::new("src/plan/"));
        assert_eq!(module_dir(Path::new("src/plan.rs")), Path::new("src/plan"));
    }
}
