//! The rules as tables: which crate may depend on which, and what a pure crate must not name.
//!
//! *Invariant:* a crate that the tables do not know is refused; a new crate starts by saying here
//! where it stands.

/// One of our crates and what it may lean on.
pub(crate) struct CrateRule {
    /// The package name.
    pub name: &'static str,
    /// Our own crates that it may depend on, in any dependency kind (a test's arrow points up too).
    pub may_use: &'static [&'static str],
    pub purity: Purity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purity {
    /// No runtime, clock, randomness, environment, file or output: all of it is passed in.
    Pure,
    /// Files and processes, but no async runtime and no network: the launcher has to outlive both.
    Blocking,
    /// Anything goes.
    Shell,
}

const PURE_CRATES: &[&str] = &[
    "ironcache-types",
    "ironcache-settings",
    "ironcache-resp",
    "ironcache-keyspace",
    "ironcache-command",
    "ironcache-acl",
    "ironcache-session",
    "ironcache-replication",
    "ironcache-control",
    "ironcache-formats",
    "ironcache-coordinator",
    "ironcache-agent",
    "ironcache-shard",
    "ironcache-api",
];

/// What the `node` crate wires together: every pure crate, and the shells below it.
const NODE_MAY_USE: &[&str] = &[
    "ironcache-fuzz",
    "ironcache-types",
    "ironcache-settings",
    "ironcache-resp",
    "ironcache-keyspace",
    "ironcache-command",
    "ironcache-acl",
    "ironcache-session",
    "ironcache-script",
    "ironcache-replication",
    "ironcache-control",
    "ironcache-formats",
    "ironcache-coordinator",
    "ironcache-agent",
    "ironcache-shard",
    "ironcache-api",
    "ironcache-store",
    "ironcache-host",
    "ironcache-identity",
    "ironcache-spine",
    "ironcache-raft",
];

/// The binary reaches raft only through the node, and a cluster only through the command line: so that one crate
/// knows how a node is run, and another how a cluster is asked.
const BINARY_MAY_USE: &[&str] = &[
    "ironcache-fuzz",
    "ironcache-types",
    "ironcache-settings",
    "ironcache-spine",
    "ironcache-node",
    "ironcache-cli",
];

const EVERYTHING: &[&str] = &[
    "ironcache-fuzz",
    "ironcache-types",
    "ironcache-settings",
    "ironcache-resp",
    "ironcache-differential",
    "ironcache-keyspace",
    "ironcache-command",
    "ironcache-acl",
    "ironcache-session",
    "ironcache-script",
    "ironcache-replication",
    "ironcache-control",
    "ironcache-formats",
    "ironcache-coordinator",
    "ironcache-agent",
    "ironcache-shard",
    "ironcache-api",
    "ironcache-store",
    "ironcache-host",
    "ironcache-identity",
    "ironcache-spine",
    "ironcache-raft",
    "ironcache-node",
    "ironcache-client",
    "ironcache-cli",
    "ironcache",
];

pub(crate) const CRATES: &[CrateRule] = &[
    // Stands in for a crate that openraft uses (docs/adr/0012): nothing of ours names it.
    CrateRule { name: "base2histogram", may_use: &[], purity: Purity::Pure },
    // For tests alone: whoever has a parser has it fuzzed.
    CrateRule { name: "ironcache-fuzz", may_use: &[], purity: Purity::Shell },
    CrateRule { name: "ironcache-types", may_use: &["ironcache-fuzz"], purity: Purity::Pure },
    CrateRule { name: "ironcache-settings", may_use: &["ironcache-fuzz"], purity: Purity::Pure },
    CrateRule { name: "ironcache-resp", may_use: &["ironcache-fuzz"], purity: Purity::Pure },
    // For tests alone: what commands are held against.
    CrateRule { name: "ironcache-differential", may_use: &["ironcache-resp"], purity: Purity::Shell },
    CrateRule {
        name: "ironcache-keyspace",
        may_use: &["ironcache-fuzz", "ironcache-types"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-command",
        may_use: &[
            "ironcache-fuzz",
            "ironcache-differential",
            "ironcache-resp",
            "ironcache-keyspace",
            "ironcache-types",
        ],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-acl",
        may_use: &["ironcache-fuzz", "ironcache-differential", "ironcache-resp", "ironcache-command"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-session",
        may_use: &["ironcache-types", "ironcache-resp", "ironcache-command", "ironcache-acl"],
        purity: Purity::Pure,
    },
    // The interpreter is C, and libc comes with it (docs/adr/0041); its own sources are pure: `PURE_IN_SOURCE`.
    CrateRule {
        name: "ironcache-script",
        may_use: &["ironcache-fuzz", "ironcache-differential", "ironcache-resp"],
        purity: Purity::Shell,
    },
    CrateRule {
        name: "ironcache-replication",
        may_use: &["ironcache-fuzz", "ironcache-types"],
        purity: Purity::Pure,
    },
    CrateRule { name: "ironcache-control", may_use: &["ironcache-types"], purity: Purity::Pure },
    CrateRule {
        name: "ironcache-formats",
        may_use: &["ironcache-fuzz", "ironcache-types", "ironcache-control"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-coordinator",
        may_use: &["ironcache-types", "ironcache-control"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-agent",
        may_use: &["ironcache-types", "ironcache-control"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-shard",
        may_use: &["ironcache-types", "ironcache-control", "ironcache-replication"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-api",
        may_use: &["ironcache-fuzz", "ironcache-types"],
        purity: Purity::Pure,
    },
    CrateRule {
        name: "ironcache-store",
        may_use: &["ironcache-fuzz", "ironcache-types"],
        purity: Purity::Blocking,
    },
    CrateRule {
        name: "ironcache-host",
        may_use: &["ironcache-types", "ironcache-store"],
        purity: Purity::Shell,
    },
    CrateRule {
        name: "ironcache-identity",
        may_use: &["ironcache-fuzz", "ironcache-types", "ironcache-store"],
        purity: Purity::Shell,
    },
    CrateRule {
        name: "ironcache-spine",
        may_use: &["ironcache-fuzz", "ironcache-types", "ironcache-store"],
        purity: Purity::Blocking,
    },
    CrateRule {
        name: "ironcache-raft",
        may_use: &[
            "ironcache-fuzz",
            "ironcache-types",
            "ironcache-control",
            "ironcache-formats",
            "ironcache-store",
            "ironcache-host",
        ],
        purity: Purity::Shell,
    },
    CrateRule { name: "ironcache-node", may_use: NODE_MAY_USE, purity: Purity::Shell },
    CrateRule {
        name: "ironcache-client",
        may_use: &["ironcache-fuzz", "ironcache-types", "ironcache-api", "ironcache-identity"],
        purity: Purity::Shell,
    },
    CrateRule {
        name: "ironcache-cli",
        may_use: &[
            "ironcache-fuzz",
            "ironcache-types",
            "ironcache-api",
            "ironcache-identity",
            "ironcache-client",
        ],
        purity: Purity::Shell,
    },
    CrateRule { name: "ironcache", may_use: BINARY_MAY_USE, purity: Purity::Shell },
    // The simulator's own scheduler stands in for raft and the network.
    CrateRule { name: "ironcache-sim", may_use: PURE_CRATES, purity: Purity::Shell },
    // Whatever decides, under a model checker: every order of events of a small cluster.
    CrateRule { name: "ironcache-model", may_use: PURE_CRATES, purity: Purity::Shell },
    // The real node in a simulated world (docs/adr/0030).
    CrateRule { name: "ironcache-turmoil", may_use: EVERYTHING, purity: Purity::Shell },
    CrateRule { name: "ironcache-tests", may_use: EVERYTHING, purity: Purity::Shell },
    CrateRule { name: "ironcache-benches", may_use: EVERYTHING, purity: Purity::Shell },
    CrateRule { name: "xtask", may_use: &["ironcache-fuzz", "ironcache-types"], purity: Purity::Shell },
];

pub(crate) fn rule_of(name: &str) -> Option<&'static CrateRule> {
    CRATES.iter().find(|rule| rule.name == name)
}

/// Foreign crates that no pure crate links, in normal or build dependencies.
pub(crate) const NOT_IN_PURE: &[&str] = &[
    "axum",
    "fastrand",
    "getrandom",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "rand",
    "reqwest",
    "rustix",
    "socket2",
    "tokio",
    "tokio-util",
];

/// Foreign crates that the launcher's crate does not link.
pub(crate) const NOT_IN_BLOCKING: &[&str] =
    &["axum", "hyper", "hyper-util", "mio", "reqwest", "tokio", "tokio-util", "tower"];

/// A foreign crate that only one place may name.
pub(crate) struct Confined {
    pub krate: &'static str,
    /// The only package that may depend on it.
    pub package: &'static str,
    /// Prefix, below that package's folder, of the files that may name it.
    pub files: &'static str,
    pub why: &'static str,
}

pub(crate) const CONFINED: &[Confined] = &[
    Confined {
        krate: "openraft",
        package: "ironcache-raft",
        files: "",
        why: "an openraft bump is a protocol bump (docs/adr/0001)",
    },
    Confined {
        krate: "bincode",
        package: "ironcache-formats",
        files: "src/wire",
        why: "replacing it touches one module (docs/adr/0003)",
    },
];

/// A word or path that the sources of a pure crate do not contain outside comments, text and tests.
pub(crate) struct Banned {
    /// Adjacent tokens, as written without spaces.
    pub tokens: &'static [&'static str],
    pub instead: &'static str,
}

/// Paths are listed as tokens, `["std", "::", "fs"]`; the groups of `use std::{…}` are unfolded first.
pub(crate) const BANNED_IN_PURE: &[Banned] = &[
    Banned { tokens: &["SystemTime"], instead: "take the time as an argument" },
    Banned { tokens: &["Instant"], instead: "take the time as an argument" },
    Banned { tokens: &["std", "::", "fs"], instead: "take the bytes as an argument" },
    Banned { tokens: &["std", "::", "net"], instead: "carry addresses as text; sockets live in the node" },
    Banned { tokens: &["std", "::", "env"], instead: "take the setting as an argument" },
    Banned { tokens: &["std", "::", "process"], instead: "return the decision; a shell carries it out" },
    Banned { tokens: &["std", "::", "thread"], instead: "return the work; a shell schedules it" },
    Banned { tokens: &["print", "!"], instead: "return the text" },
    Banned { tokens: &["println", "!"], instead: "return the text" },
    Banned { tokens: &["eprint", "!"], instead: "return the text" },
    Banned { tokens: &["eprintln", "!"], instead: "return the text" },
    Banned { tokens: &["dbg", "!"], instead: "remove it" },
];

/// Crates that link what no pure crate does, and whose own sources obey the same table.
pub(crate) const PURE_IN_SOURCE: &[&str] = &["ironcache-script"];

/// The crates whose results every node and every leader has to reproduce (I17).
pub(crate) const DETERMINISTIC: &[&str] = &[
    "ironcache-types",
    "ironcache-control",
    "ironcache-formats",
    "ironcache-coordinator",
    "ironcache-agent",
    "ironcache-shard",
];

/// Hash tables are seeded afresh in every process, and so is the order in which they are walked.
pub(crate) const BANNED_IN_DETERMINISTIC: &[Banned] = &[
    Banned { tokens: &["HashMap"], instead: "its order differs from process to process; take a BTreeMap" },
    Banned { tokens: &["HashSet"], instead: "its order differs from process to process; take a BTreeSet" },
];

/// Where the formats have their versions.
pub(crate) struct FormatsCrate {
    pub package: &'static str,
    /// From the workspace's root.
    pub dir: &'static str,
}

pub(crate) const FORMATS: FormatsCrate = FormatsCrate { package: "ironcache-formats", dir: "crates/formats" };

/// What no version of a format names, whatever for.
pub(crate) const NOT_IN_A_VERSION: &[Banned] = &[
    Banned { tokens: &["f32"], instead: FLOAT },
    Banned { tokens: &["f64"], instead: FLOAT },
    Banned { tokens: &["usize"], instead: POINTER_SIZED },
    Banned { tokens: &["isize"], instead: POINTER_SIZED },
    Banned { tokens: &["HashMap"], instead: "its order differs from process to process; take a BTreeMap" },
    Banned { tokens: &["HashSet"], instead: "its order differs from process to process; take a BTreeSet" },
    Banned {
        tokens: &["serde", "("],
        instead: "the fields, in their order, are the format: no attribute changes it",
    },
];

const FLOAT: &str =
    "its text and its arithmetic differ from machine to machine; take an integer, with its unit in the name";
const POINTER_SIZED: &str = "its width is the machine's; name the width";

/// What the fields of a version are made of, beside the types of the formats crate itself.
/// A set is written as a list, in the order of its elements: it is as fixed as a map.
pub(crate) const FIELD_TYPES: &[&str] = &[
    "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "bool", "String", "Vec", "Option",
    "BTreeMap", "BTreeSet",
];

/// Words that only code which serialises has.
pub(crate) const SERDE_WORDS: &[&str] = &["serde", "Serialize", "Deserialize"];

/// The crates whose types live in memory only: the formats convert them, and nothing there serialises.
pub(crate) const LIVE_CRATES: &[&str] = &[
    "ironcache-keyspace",
    "ironcache-replication",
    "ironcache-control",
    "ironcache-coordinator",
    "ironcache-agent",
    "ironcache-shard",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_arrow_points_down() {
        // A crate may only use crates listed before it: so the table itself has no cycle.
        for (at, rule) in CRATES.iter().enumerate() {
            for used in rule.may_use {
                let below = CRATES[..at].iter().any(|other| other.name == *used);
                assert!(below, "{} uses {used}, which does not stand below it", rule.name);
            }
        }
    }

    #[test]
    fn the_command_line_reaches_no_daemon_by_any_path() {
        let mut reached = vec!["ironcache-cli"];
        let mut at = 0;
        while let Some(name) = reached.get(at).copied() {
            reached.extend(rule_of(name).unwrap().may_use);
            at += 1;
        }
        for daemon in ["ironcache-node", "ironcache-raft", "ironcache-spine", "ironcache-control"] {
            assert!(!reached.contains(&daemon), "{reached:?}");
        }
    }

    /// For tests alone: the one measures memory and processor time, the other starts redis-server.
    const FOR_TESTS: [&str; 2] = ["ironcache-fuzz", "ironcache-differential"];

    #[test]
    fn nothing_but_tests_uses_the_mutator_and_the_oracle() {
        let crates = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for tool in FOR_TESTS {
            let users = CRATES.iter().filter(|rule| {
                rule.may_use.contains(&tool)
                    && rule.name.starts_with("ironcache-")
                    && !["ironcache-tests", "ironcache-benches"].contains(&rule.name)
            });
            for name in users.map(|rule| rule.name.trim_start_matches("ironcache-")) {
                let manifest = crates.join(name).join("Cargo.toml");
                let manifest = std::fs::read_to_string(&manifest)
                    .unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
                let (before, _) = manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
                assert!(!before.contains(tool), "{name} is built with {tool}");
            }
        }
    }

    #[test]
    fn pure_crates_use_only_pure_crates() {
        for rule in CRATES.iter().filter(|rule| rule.purity == Purity::Pure) {
            for used in rule.may_use {
                assert!(PURE_CRATES.contains(used) || FOR_TESTS.contains(used), "{} uses {used}", rule.name);
            }
        }
        // A stand-in for a foreign crate is nobody's to use by name.
        let ours = |r: &&CrateRule| r.purity == Purity::Pure && r.name.starts_with("ironcache-");
        let pure: Vec<&str> = CRATES.iter().filter(ours).map(|r| r.name).collect();
        assert_eq!(pure, PURE_CRATES);
    }
}
