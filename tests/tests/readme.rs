//! Every command in the README is run by a test or by CI, or this fails.
//!
//! A block of commands is either named (`<!-- run: NAME -->` above it) and run as a whole by
//! `tests/readme/run NAME`, or each of its commands stands in [`COMMANDS`] with whoever runs it.

use std::path::{Path, PathBuf};

/// Who runs a command of an unnamed block.
enum RunBy {
    /// The line of `.ci/run` that does, without its bound.
    Ci(&'static str),
}

const COMMANDS: &[(&str, RunBy)] = &[
    ("cargo run --release -- demo", RunBy::Ci("cargo run --release -- demo")),
    ("cargo test --workspace", RunBy::Ci("cargo test --workspace")),
];

#[derive(Debug, PartialEq, Eq)]
struct Block {
    name: Option<String>,
    commands: Vec<String>,
}

/// The ```` ```sh ```` blocks of a document, continued lines joined, comments left out.
fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut name = None;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("<!-- run: ") {
            name = rest.strip_suffix(" -->").map(str::to_owned);
        } else if line == "```sh" {
            let inside: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            let joined = inside.join("\n").replace("\\\n", " ");
            let commands = joined.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
            blocks.push(Block { name: name.take(), commands: commands.map(str::to_owned).collect() });
        }
    }
    blocks
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Does a line of the script run this? Comments and headings do not count.
fn is_run(script: &str, command: &str) -> bool {
    script
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with(['#', 's']))
        .any(|line| line.contains(command))
}

/// What is wrong with the README, one message each.
fn problems(readme: &str, ci: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let mut met = Vec::new();
    for block in blocks(readme) {
        if let Some(name) = &block.name {
            if !is_run(ci, &format!("tests/readme/run {name}")) {
                problems
                    .push(format!("the block {name} is not run: add `tests/readme/run {name}` to .ci/run"));
            }
            continue;
        }
        for command in block.commands {
            match COMMANDS.iter().find(|(known, _)| *known == command) {
                None => {
                    problems.push(format!("`{command}` is run by nothing: add it to the table in this test"))
                }
                Some((known, RunBy::Ci(line))) => {
                    met.push(*known);
                    if !is_run(ci, line) {
                        problems
                            .push(format!("`{command}` should be run by .ci/run as `{line}`, and is not"));
                    }
                }
            }
        }
    }
    for (known, _) in COMMANDS {
        if !met.contains(known) {
            problems.push(format!("`{known}` is in the table of this test and no longer in the README"));
        }
    }
    problems
}

#[test]
fn every_command_in_the_readme_is_run() {
    let problems = problems(&read("README.md"), &read(".ci/run"));
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn every_link_in_the_readme_leads_somewhere() {
    let readme = read("README.md");
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
        let (file, heading) =
            link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
        assert!(link.starts_with("http") || root().join(file).exists(), "{link} does not exist");
        if let Some(heading) = heading.filter(|_| !link.starts_with("http")) {
            let document = read(file);
            let mut headings = document.lines().filter_map(|line| line.strip_prefix('#'));
            assert!(headings.any(|title| anchor(title) == heading), "{file} has no heading #{heading}");
        }
    }
}

/// What a heading is linked by.
fn anchor(title: &str) -> String {
    let title = title.trim_start_matches('#').trim().to_lowercase();
    title.chars().filter(|c| c.is_alphanumeric() || " -".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn blocks_are_read_with_their_names() {
    let document = "```sh\na \\\n  b\n```\n<!-- run: x -->\n```sh\n# note\nc &\n\n```\n```\nd\n```\n";
    let block = |name: Option<&str>, command: &str| Block {
        name: name.map(str::to_owned),
        commands: vec![command.to_owned()],
    };
    assert_eq!(blocks(document), [block(None, "a    b"), block(Some("x"), "c &")]);
}

#[test]
fn a_command_that_nothing_runs_is_found() {
    let known = "```sh\ncargo run --release -- demo\ncargo test --workspace\n```\n";
    let ci = "bounded 1 cargo run --release -- demo --json\nbounded 1 cargo test --workspace\n";
    assert_eq!(problems(known, ci), Vec::<String>::new());
    let unknown = format!("{known}```sh\nironcache frobnicate\n```\n<!-- run: y -->\n```sh\nz\n```\n");
    assert_eq!(problems(&unknown, ci).len(), 2);
    assert_eq!(
        problems(known, "section \"cargo test --workspace\"\n# cargo run --release -- demo\n").len(),
        2
    );
    assert_eq!(problems("", ci).len(), 2);
}
