//! Commands and what they change.

use super::Mutation;

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "changed-while-it-was-sent",
        breaks: "a key that is renamed while its slot is half sent is missing on the replica",
        file: "crates/keyspace/src/slot_dump.rs",
        guard: "if let Effect::Rename { key: _, to } = effect { Some(to) } else { None };",
        instead: "if let Effect::Rename { key: _, to } = effect { Some(to).filter(|_| false) } else { None };",
        tests: &["-p", "ironcache-keyspace", "--lib"],
    },
    Mutation {
        name: "a-slot-is-sent-upwards",
        breaks: "a key that moves while its slot is half sent is missing on the replica",
        file: "crates/keyspace/src/slot_dump.rs",
        guard: "            self.below = at;\n            return Some((keyspace.slot_entries(self.slot)[at].key().into(), 0));",
        instead: "            self.below = at;\n            let upwards = keyspace.slot_len(self.slot) - 1 - at;\n            \
                  return Some((keyspace.slot_entries(self.slot)[upwards].key().into(), 0));",
        tests: &["-p", "ironcache-keyspace", "--lib"],
    },
    Mutation {
        name: "the-books-forget-a-table",
        breaks: "a dataset takes more memory than its limit allows, and nobody sees it",
        file: "crates/keyspace/src/keyspace.rs",
        guard: "        self.footprint.table_changed(before, dict.heap_bytes());\n        Place { slot, at }",
        instead: "        let _ = before;\n        Place { slot, at }",
        tests: &["-p", "ironcache-keyspace"],
    },
    Mutation {
        name: "a-long-command-ticks-no-more",
        breaks: "a daemon is killed, or loses its lease, for a command that takes long",
        file: "crates/keyspace/src/progress.rs",
        guard: "        if walked.is_multiple_of(EVERY) {",
        instead: "        if walked == 0 {",
        tests: &["-p", "ironcache-keyspace"],
    },
    Mutation {
        name: "a-hang-is-judged-by-time-alone",
        breaks: "a daemon is killed in the middle of a transaction of many commands",
        file: "crates/command/src/call.rs",
        guard: "    progress::tick();\n    let start = out.len();",
        instead: "    let start = out.len();",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "effects-above-their-level-are-read",
        breaks: "effects are read by rules that their level does not have",
        file: "crates/keyspace/src/effect.rs",
        guard: "        if since > level {\n            return Err(EffectError::OpcodeAboveLevel",
        instead: "        if false {\n            return Err(EffectError::OpcodeAboveLevel",
        tests: &["-p", "ironcache-keyspace"],
    },
];
