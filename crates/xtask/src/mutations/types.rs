//! Guards of the crate types.

use super::Mutation;

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "what-was-done-is-not-hashed",
        breaks: "a record says another thing, and the chain is whole",
        file: "crates/types/src/audit.rs",
        guard: "        to.map(details);",
        instead: "        to.number(details.len() as u64);",
        tests: &["-p", "ironcache-types", "audit"],
    },
    Mutation {
        name: "a-chain-is-not-looked-at-link-by-link",
        breaks: "a record is changed, and the chain is whole",
        file: "crates/types/src/audit.rs",
        guard: "        if record.previous != last.hash {",
        instead: "        if record.previous == Digest([0xff; 32]) {",
        tests: &["-p", "ironcache-types", "audit"],
    },
    Mutation {
        name: "a-kept-hash-is-not-compared",
        breaks: "a chain that was written anew passes for the one that somebody noted",
        file: "crates/types/src/audit.rs",
        guard: "    match hash == found {",
        instead: "    match hash.0.len() == found.0.len() {",
        tests: &["-p", "ironcache-types", "audit"],
    },
];
