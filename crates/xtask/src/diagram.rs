//! The crate diagram in `docs/architecture.md`, drawn from what the manifests say.
//!
//! An arrow that follows from others is left out: `node -> types` says nothing once
//! `node -> control -> types` stands. Test-only dependencies are not drawn.

use crate::rules::{Purity, rule_of};
use crate::workspace::{Kind, Workspace};
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const BEGIN: &str = "<!-- diagram:begin (made by `cargo run -p xtask -- diagram --write`) -->\n";
const END: &str = "<!-- diagram:end -->";

/// Not part of the product: drawn, they would only hide it.
const LEFT_OUT: &[&str] = &["xtask", "ironcache-fuzz", "ironcache-tests", "ironcache-benches"];

type Arrows<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// The diagram as a fenced mermaid block.
pub(crate) fn render(workspace: &Workspace) -> String {
    let arrows = product_arrows(workspace);
    let mut out = String::from("```mermaid\ngraph TD\n");
    for (from, to) in &arrows {
        let (open, close) = match rule_of(from).map(|rule| rule.purity) {
            Some(Purity::Pure) => ("(", ")"),
            Some(Purity::Blocking | Purity::Shell) | None => ("[", "]"),
        };
        writeln!(out, "    {}{open}{}{close}", id(from), short(from))
            .expect("writing to a String cannot fail");
        for to in to.iter().filter(|to| !follows_from_others(&arrows, from, to)) {
            writeln!(out, "    {} --> {}", id(from), id(to)).expect("writing to a String cannot fail");
        }
    }
    out.push_str("```\n");
    out
}

/// `doc` with what stands between the markers replaced by `diagram`.
pub(crate) fn splice(doc: &str, diagram: &str) -> Result<String> {
    let Some((before, rest)) = doc.split_once(BEGIN) else {
        bail!("the document lacks the line {:?}", BEGIN.trim_end());
    };
    let Some((_, after)) = rest.split_once(END) else {
        bail!("the document lacks {END:?} behind {:?}", BEGIN.trim_end());
    };
    Ok(format!("{before}{BEGIN}{diagram}{END}{after}"))
}

fn product_arrows(workspace: &Workspace) -> Arrows<'_> {
    let drawn = |name: &str| workspace.is_ours(name) && !LEFT_OUT.contains(&name);
    let mut arrows = Arrows::new();
    for package in workspace.packages.iter().filter(|package| drawn(&package.name)) {
        let used = package.dependencies.iter().filter(|d| d.kind == Kind::Normal && drawn(&d.name));
        arrows.insert(package.name.as_str(), used.map(|d| d.name.as_str()).collect());
    }
    arrows
}

fn follows_from_others(arrows: &Arrows<'_>, from: &str, to: &str) -> bool {
    arrows[from].iter().any(|via| *via != to && reaches(arrows, via, to))
}

/// Cargo refuses cycles among normal dependencies, so this ends.
fn reaches(arrows: &Arrows<'_>, from: &str, to: &str) -> bool {
    arrows.get(from).is_some_and(|next| next.iter().any(|via| *via == to || reaches(arrows, via, to)))
}

fn short(name: &str) -> &str {
    name.strip_prefix("ironcache-").unwrap_or(name)
}

fn id(name: &str) -> String {
    short(name).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::workspace;

    #[test]
    fn arrows_that_follow_from_others_are_left_out() {
        let workspace = workspace(&[
            ("ironcache-control", &[("ironcache-types", Kind::Normal), ("serde", Kind::Normal)]),
            (
                "ironcache-raft",
                &[
                    ("ironcache-control", Kind::Normal),
                    ("ironcache-types", Kind::Normal),
                    ("ironcache-resp", Kind::Dev),
                ],
            ),
            ("ironcache-resp", &[]),
            ("ironcache-types", &[]),
            ("xtask", &[("ironcache-types", Kind::Normal)]),
        ]);
        assert_eq!(
            render(&workspace),
            "```mermaid\ngraph TD\n    control(control)\n    control --> types\n    raft[raft]\n    \
             raft --> control\n    resp(resp)\n    types(types)\n```\n"
        );
    }

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let doc = format!("a\n{BEGIN}old\n{END}\nb");
        assert_eq!(splice(&doc, "new\n").unwrap(), format!("a\n{BEGIN}new\n{END}\nb"));
    }

    #[test]
    fn a_document_without_markers_is_refused() {
        assert!(splice("a", "new").unwrap_err().to_string().contains("diagram:begin"));
        assert!(splice(BEGIN, "new").unwrap_err().to_string().contains("diagram:end"));
    }
}
