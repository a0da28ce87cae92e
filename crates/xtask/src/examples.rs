//! Blocks of code in the documentation say what they are: one that does not is an example in Rust, which a reader trusts,
//! and which nobody would run: looking for examples in every library takes cargo a minute, so there are none, and each
//! library says `doctest = false`.
//!
//! *Invariant:* looks at the sources of libraries alone, as `cargo test --doc` would.

use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A block that `cargo test --doc` would compile, if it looked.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    path: PathBuf,
    line: usize,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line } = self;
        write!(
            f,
            "{}:{line}: a block in the documentation that says no language is an example, and no test runs it: write \
             ```text, or a test",
            path.display()
        )
    }
}

/// # Errors
/// A source cannot be read.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for folder in ["crates", "patches"] {
        let folder = workspace.root.join(folder);
        for member in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            visit(&member?.path().join("src"), &mut violations)?;
        }
    }
    visit(&workspace.root.join("tests/src"), &mut violations)?;
    visit(&workspace.root.join("benches/src"), &mut violations)?;
    Ok(violations)
}

fn visit(path: &Path, violations: &mut Vec<Violation>) -> Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
            visit(&entry?.path(), violations)?;
        }
    } else if path.extension().is_some_and(|end| end == "rs") {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        violations.extend(examples(&text).map(|line| Violation { path: path.to_owned(), line }));
    }
    Ok(())
}

/// The lines at which an example begins.
fn examples(text: &str) -> impl Iterator<Item = usize> {
    let mut is_inside = false;
    text.lines().zip(1..).filter_map(move |(line, number)| {
        let line = line.trim_start();
        let said = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"))?;
        let language = said.trim().strip_prefix("```")?;
        is_inside = !is_inside;
        let is_example = ["", "rust", "should_panic", "no_run", "compile_fail", "ignore"].contains(&language);
        (is_inside && is_example).then_some(number)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_without_a_language_is_an_example() {
        let text = "//! ```text\n//! a picture\n//! ```\n\n    /// ```\n    /// code();\n    /// ```\n/// ```rust\n/// ```\n";
        assert_eq!(examples(text).collect::<Vec<_>>(), [5, 8]);
    }
}
