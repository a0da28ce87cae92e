//! Repository chores that are code and not shell: the arrows check and the crate diagram.
//!
//! ```text
//! cargo metadata ──> workspace ──> arrows  (who may depend on whom)
//!                              └─> diagram (the picture in docs/architecture.md)
//! crates/*/src   ──> source ─────> purity  (what the pure crates must not name)
//!                              └─> formats (what a version of a format, and a live type, must not have)
//!                              └─> examples (the documentation has none that nobody runs)
//! Cargo.lock     ────────────────> patches (what stands in for a foreign crate is what is built)
//! releases.toml, git ────────────> releases (what was released stays as it was; answers only gain)
//!                              └─> previous (the newest release, built again for a train to begin at)
//! a table of guards ─────────────> mutations (each is taken away once: does a test fail?)
//! ```
//!
//! *Invariant:* the checks only read; the writers are `diagram --write`, `previous`, which writes below `target`, and
//! `mutations`, which puts everything back.

mod answers;
mod arrows;
mod diagram;
mod examples;
mod formats;
mod mutations;
mod patches;
mod previous;
mod purity;
mod releases;
mod rules;
mod source;
mod workspace;

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "usage: cargo run -p xtask -- arrows | diagram [--check | --write] | released | previous [--if-any] | mutations [NAME | --sample N]";

/// The document that holds the diagram, relative to the workspace root.
const DIAGRAM_DOC: &str = "docs/architecture.md";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["arrows"] => check_arrows(),
        ["diagram"] => print_diagram(),
        ["diagram", "--check"] => check_diagram(),
        ["diagram", "--write"] => write_diagram(),
        ["released"] => check_released(),
        ["previous"] => print_previous(NoRelease::IsAMistake),
        ["previous", "--if-any"] => print_previous(NoRelease::IsLeftOut),
        ["mutations"] => try_mutations(None),
        ["mutations", "--sample", count] => try_sample(count),
        ["mutations", name] => try_mutations(Some(name)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check_arrows() -> Result<()> {
    let workspace = Workspace::load()?;
    let violations = violations(&workspace)?;
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} violation(s) of the crate rules; crates/xtask/src/rules.rs holds them", violations.len());
    }
    println!("arrows: {} crates keep the rules", workspace.packages.len());
    Ok(())
}

/// Everything that is wrong, one message each.
fn violations(workspace: &Workspace) -> Result<Vec<String>> {
    let arrows = arrows::check(workspace).into_iter().map(|violation| violation.to_string());
    let named = purity::check(workspace)?.into_iter().map(|violation| violation.to_string());
    let read = |name: &str| {
        std::fs::read_to_string(workspace.root.join(name)).with_context(|| format!("cannot read {name}"))
    };
    let patches = patches::check(&read("Cargo.toml")?, &read("Cargo.lock")?)?;
    let patches = patches.into_iter().map(|violation| violation.to_string());
    let examples = examples::check(workspace)?.into_iter().map(|violation| violation.to_string());
    Ok(arrows.chain(named).chain(patches).chain(examples).collect())
}

fn check_released() -> Result<()> {
    let root = Workspace::load()?.root;
    let list = read_releases(&root)?;
    let mut violations = releases::check_list(&root, &list, &releases::Source::own()?)?;
    violations.extend(releases::check(&root, &list)?);
    for violation in &violations {
        eprintln!("{violation}");
    }
    if !violations.is_empty() {
        bail!("{} thing(s) are not as they were released", violations.len());
    }
    println!("released: the formats of {} release(s) are as they were", list.cut.len());
    Ok(())
}

fn read_releases(root: &Path) -> Result<releases::Releases> {
    let text = std::fs::read_to_string(root.join(releases::LIST))
        .with_context(|| format!("cannot read {}", releases::LIST))?;
    releases::Releases::parse(&text)
}

/// Prints where the binary of the newest release is, and nothing if there is none and that is no mistake.
fn print_previous(no_release: NoRelease) -> Result<()> {
    let root = Workspace::load()?.root;
    let Some(newest) = read_releases(&root)?.cut.pop() else {
        let what =
            format!("{} names no release: none was cut yet, so there is none to roll from", releases::LIST);
        return match no_release {
            NoRelease::IsAMistake => bail!(what),
            NoRelease::IsLeftOut => {
                eprintln!("previous: {what}; that train is left out");
                Ok(())
            }
        };
    };
    println!("{}", previous::binary(&root, &newest)?.display());
    Ok(())
}

/// What it means that nothing was released.
#[derive(Clone, Copy)]
enum NoRelease {
    IsAMistake,
    IsLeftOut,
}

fn try_mutations(only: Option<&str>) -> Result<()> {
    mutations::run(&Workspace::load()?.root, only)
}

/// The rows are others with every commit, and the same for one commit.
fn try_sample(count: &str) -> Result<()> {
    let count = count.parse().with_context(|| format!("--sample {count}: a number is expected"))?;
    mutations::run_sample(&Workspace::load()?.root, count)
}

fn print_diagram() -> Result<()> {
    print!("{}", diagram::render(&Workspace::load()?));
    Ok(())
}

fn check_diagram() -> Result<()> {
    let workspace = Workspace::load()?;
    let doc = read_doc(&workspace.root)?;
    if diagram::splice(&doc, &diagram::render(&workspace))? != doc {
        bail!("the diagram in {DIAGRAM_DOC} is out of date: run `cargo run -p xtask -- diagram --write`");
    }
    println!("diagram: {DIAGRAM_DOC} is up to date");
    Ok(())
}

fn write_diagram() -> Result<()> {
    let workspace = Workspace::load()?;
    let doc = read_doc(&workspace.root)?;
    let new = diagram::splice(&doc, &diagram::render(&workspace))?;
    std::fs::write(workspace.root.join(DIAGRAM_DOC), new)
        .with_context(|| format!("cannot write {DIAGRAM_DOC}"))
}

fn read_doc(root: &Path) -> Result<String> {
    std::fs::read_to_string(root.join(DIAGRAM_DOC)).with_context(|| format!("cannot read {DIAGRAM_DOC}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo test --workspace` alone thus holds the rules; CI runs the command as well, for its messages.
    #[test]
    fn this_workspace_keeps_its_rules() {
        let said = violations(&Workspace::load().unwrap()).unwrap();
        assert!(said.is_empty(), "{}", said.join("\n"));
    }

    #[test]
    fn what_was_released_is_as_it_was() {
        check_released().unwrap();
    }

    #[test]
    fn the_diagram_in_the_document_is_up_to_date() {
        check_diagram().unwrap();
    }
}
