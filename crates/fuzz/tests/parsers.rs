//! The table of parsers says what there is: no file begins to read bytes from outside, and no target is written or renamed,
//! without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a line says that reads such bytes.
const READS: [&str; 24] = [
    "serde_json::from_",
    "toml::from_str",
    "toml::Table",
    "FromStr for",
    "fn parse",
    "fn decode",
    "from_utf8",
    "from_pem",
    "from_le_bytes",
    "env::var",
    "fs::read(",
    "fs::read_to_string",
    "disk::read(",
    "disk::read_to_string",
    "read_durably(",
    "read_to_end",
    "read_line",
    "Query(",
    "JsonBody<",
    ".parse()",
    ".parse::<",
    "headers.get",
    "wire::open",
    "wire::decode",
];
/// Of these nothing is shipped: they read what they wrote themselves.
const TOOLS: [&str; 6] = ["differential", "fuzz", "model", "sim", "turmoil", "xtask"];

struct Row {
    files: Vec<String>,
    targets: Vec<String>,
    tried_by: String,
}

/// What stands in backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../parsers.md").lines().filter(|line| line.starts_with("| "));
    let cells =
        lines.skip(2).map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect::<Vec<_>>());
    cells
        .map(|cells| {
            let [_, files, tried_by] = cells[..] else { panic!("three cells: {cells:?}") };
            let targets = quoted(tried_by).into_iter().filter(|word| word.starts_with("fuzz_")).collect();
            Row { files: quoted(files), targets, tried_by: tried_by.to_owned() }
        })
        .collect()
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Path below `crates/` and text of every source.
fn sources() -> BTreeMap<String, String> {
    fn gather(dir: &Path, at: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).expect("it can be listed") {
            let entry = entry.expect("it is listed");
            let name = entry.file_name().into_string().expect("names are text");
            let below = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
            if entry.path().is_dir() && name != "target" {
                gather(&entry.path(), &below, found);
            } else if name.ends_with(".rs") {
                found.insert(below, fs::read_to_string(entry.path()).expect("sources are text"));
            }
        }
    }
    let mut found = BTreeMap::new();
    gather(&crates(), "", &mut found);
    found
}

fn is_shipped(path: &str) -> bool {
    let of_tests =
        ["tests.rs", "fuzz.rs", "testing.rs", "download/server.rs"].iter().any(|name| path.ends_with(name));
    let krate = path.split('/').next().unwrap_or_default();
    path.contains("/src/") && !path.contains("/tests/") && !of_tests && !TOOLS.contains(&krate)
}

/// Without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let at_end = ["\n#[cfg(test)]\nmod tests {", "\n#[cfg(test)]\nmod test {"];
    let end = at_end.iter().filter_map(|begin| text.find(begin)).min().unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn covers(row: &Row, path: &str) -> bool {
    row.files.iter().any(|file| if file.ends_with('/') { path.starts_with(file) } else { path == file })
}

/// The names of the targets of a source.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let named = text.lines().filter_map(|line| line.trim_start().strip_prefix("fn "));
    named.filter(|name| name.starts_with("fuzz_")).filter_map(|name| name.split('(').next())
}

#[test]
fn every_file_that_reads_what_comes_from_outside_has_a_row() {
    let rows = rows();
    let reads = |text: &str| READS.iter().copied().filter(|read| text.contains(read)).collect::<Vec<_>>();
    let missing: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| is_shipped(path) && !rows.iter().any(|row| covers(row, path)))
        .map(|(path, text)| (path, reads(&code(&text))))
        .filter(|(_, reads)| !reads.is_empty())
        .collect();
    assert!(missing.is_empty(), "no row of parsers.md names {missing:#?}");
}

#[test]
fn every_row_names_files_that_there_are_and_says_what_tries_them() {
    for Row { files, targets, tried_by } in rows() {
        for file in files {
            assert!(crates().join(&file).exists(), "{file} is gone");
        }
        assert!(!targets.is_empty() || !tried_by.is_empty());
    }
}

#[test]
fn the_targets_of_the_table_are_those_that_there_are_and_stand_where_make_finds_them() {
    let mut there = BTreeSet::new();
    for (path, text) in sources() {
        for name in targets(&text) {
            assert!(there.insert(name.to_owned()), "two targets are called {name}");
            let is_found =
                path.contains("/src/") || path.ends_with("/tests/fuzz.rs") || path.contains("/tests/it/");
            assert!(is_found, "`make fuzz` does not look into {path}");
        }
    }
    let named: BTreeSet<_> = rows().into_iter().flat_map(|row| row.targets).collect();
    assert_eq!(there, named);
}
