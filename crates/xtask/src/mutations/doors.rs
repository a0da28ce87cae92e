//! Who may do what.

use super::Mutation;

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "any-node-answers-for-the-pinned-one",
        breaks: "a stranger with a key of its own is taken for a member",
        file: "crates/identity/src/tls.rs",
        guard: "            Expect::Key(expected) => *expected == key,",
        instead: "            Expect::Key(expected) => *expected == key || key != *expected,",
        tests: &["-p", "ironcache-identity", "--test", "links"],
    },
    Mutation {
        name: "a-proof-of-the-code-is-carried-to-another-connection",
        breaks: "somebody in the middle is taken for whoever holds the join code",
        file: "crates/identity/src/join_code.rs",
        guard: "    [side, exported, called, &caller].concat()",
        instead: "    [side, &exported[..0], called, &caller].concat()",
        tests: &["-p", "ironcache-identity"],
    },
];
