//! Who may depend on whom: the manifests against the table in [`crate::rules`].

use crate::rules::{CONFINED, NOT_IN_BLOCKING, NOT_IN_PURE, Purity, rule_of};
use crate::workspace::{Kind, Package, Workspace};
use std::fmt;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A member of the workspace that the table does not know.
    UnknownCrate { package: String },
    /// An arrow between our crates that the table does not allow.
    Arrow { package: String, to: String },
    /// A foreign crate that this kind of crate must not link.
    Impure { package: String, dependency: String, purity: Purity },
    /// A foreign crate that another package owns.
    Confined { package: String, dependency: String, owner: &'static str, why: &'static str },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::UnknownCrate { package } => {
                write!(
                    f,
                    "{package}: not in the table of crates; say there what it may use and whether it is pure"
                )
            }
            Violation::Arrow { package, to } => {
                write!(
                    f,
                    "{package} -> {to}: no such arrow in the design; move the code down, or write an ADR"
                )
            }
            Violation::Impure { package, dependency, purity: Purity::Pure } => {
                write!(
                    f,
                    "{package}: is pure and depends on {dependency}; pass time, bytes and randomness in instead"
                )
            }
            Violation::Impure { package, dependency, purity: Purity::Blocking | Purity::Shell } => {
                write!(f, "{package}: has no async runtime and no network, and depends on {dependency}")
            }
            Violation::Confined { package, dependency, owner, why } => {
                write!(f, "{package}: depends on {dependency}, which only {owner} may: {why}")
            }
        }
    }
}

pub(crate) fn check(workspace: &Workspace) -> Vec<Violation> {
    workspace.packages.iter().flat_map(|package| check_package(workspace, package)).collect()
}

fn check_package(workspace: &Workspace, package: &Package) -> Vec<Violation> {
    let name = &package.name;
    let Some(rule) = rule_of(name) else {
        return vec![Violation::UnknownCrate { package: name.clone() }];
    };
    let linked_out: &[&str] = match rule.purity {
        Purity::Pure => NOT_IN_PURE,
        Purity::Blocking => NOT_IN_BLOCKING,
        Purity::Shell => &[],
    };
    let mut violations = Vec::new();
    for dependency in &package.dependencies {
        let to = dependency.name.as_str();
        if workspace.is_ours(to) && !rule.may_use.contains(&to) {
            violations.push(Violation::Arrow { package: name.clone(), to: to.to_owned() });
        }
        if dependency.kind != Kind::Dev && linked_out.contains(&to) {
            let dependency = to.to_owned();
            violations.push(Violation::Impure { package: name.clone(), dependency, purity: rule.purity });
        }
        if let Some(confined) = CONFINED.iter().find(|c| c.krate == to && c.package != name) {
            violations.push(Violation::Confined {
                package: name.clone(),
                dependency: to.to_owned(),
                owner: confined.package,
                why: confined.why,
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::tests::workspace;

    fn said(packages: &[(&str, &[(&str, Kind)])]) -> Vec<String> {
        check(&workspace(packages)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn allowed_arrows_pass() {
        let clean = said(&[
            ("ironcache-types", &[("serde", Kind::Normal)]),
            ("ironcache-control", &[("ironcache-types", Kind::Normal), ("proptest", Kind::Dev)]),
            ("ironcache-raft", &[("ironcache-control", Kind::Normal), ("openraft", Kind::Normal)]),
        ]);
        assert_eq!(clean, Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_points_up_is_refused() {
        let said =
            said(&[("ironcache-types", &[("ironcache-control", Kind::Normal)]), ("ironcache-control", &[])]);
        assert_eq!(
            said,
            [
                "ironcache-types -> ironcache-control: no such arrow in the design; move the code down, or write an ADR"
            ]
        );
    }

    #[test]
    fn a_test_arrow_that_points_up_is_refused_too() {
        let said = said(&[("ironcache-control", &[("ironcache-raft", Kind::Dev)]), ("ironcache-raft", &[])]);
        assert_eq!(said.len(), 1);
    }

    #[test]
    fn every_foreign_crate_on_the_list_is_refused_in_every_pure_crate() {
        for rule in crate::rules::CRATES.iter().filter(|rule| rule.purity == Purity::Pure) {
            for banned in NOT_IN_PURE {
                for kind in [Kind::Normal, Kind::Build] {
                    let said = said(&[(rule.name, &[(banned, kind)])]);
                    assert_eq!(said.len(), 1, "{} with {banned}: {said:?}", rule.name);
                    assert!(said[0].contains(banned) && said[0].starts_with(rule.name), "{said:?}");
                }
            }
        }
    }

    #[test]
    fn the_tests_of_a_pure_crate_may_use_more() {
        assert_eq!(said(&[("ironcache-resp", &[("tokio", Kind::Dev)])]), Vec::<String>::new());
    }

    #[test]
    fn the_launcher_has_no_runtime() {
        let said = said(&[("ironcache-spine", &[("libc", Kind::Normal), ("tokio", Kind::Normal)])]);
        assert_eq!(said, ["ironcache-spine: has no async runtime and no network, and depends on tokio"]);
    }

    #[test]
    fn openraft_is_named_by_one_crate() {
        let said = said(&[("ironcache-node", &[("openraft", Kind::Normal)])]);
        assert_eq!(
            said,
            ["ironcache-node: depends on openraft, which only ironcache-raft may: \
              an openraft bump is a protocol bump (docs/adr/0001)"]
        );
    }

    #[test]
    fn a_new_crate_has_to_say_where_it_stands() {
        assert!(said(&[("ironcache-helpers", &[])])[0].starts_with("ironcache-helpers: not in the table"));
    }
}
