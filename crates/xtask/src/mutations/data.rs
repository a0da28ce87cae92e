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
        guard: "            self.below = at;\n            return Some((keyspace.slot_entries(self.slot)[at].key().into(), Done::default()));",
        instead: "            self.below = at;\n            let upwards = keyspace.slot_len(self.slot) - 1 - at;\n            \
                  return Some((keyspace.slot_entries(self.slot)[upwards].key().into(), Done::default()));",
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
    Mutation {
        name: "an-entry-is-added-before-others",
        breaks: "a replica that missed effects of a stream goes on with what it is told",
        file: "crates/keyspace/src/stream/apply.rs",
        guard: "        if id <= last_id {",
        instead: "        if id < StreamId::MIN {",
        tests: &["-p", "ironcache-keyspace", "--lib", "stream::"],
    },
    Mutation {
        name: "a-part-of-what-is-pending-is-sent",
        breaks: "entries that a consumer holds are forgotten by a replica, and claimed by nobody",
        file: "crates/keyspace/src/stream/parts.rs",
        guard: "let next = pending.last().and_then(|last| last.id.after());",
        instead: "let next = pending.last().and_then(|last| last.id.after()).filter(|_| false);",
        tests: &["-p", "ironcache-keyspace", "--lib", "stream::"],
    },
    Mutation {
        name: "a-block-may-miscount",
        breaks: "a damaged block is taken, and the length of a stream is wrong ever after",
        file: "crates/keyspace/src/stream/block.rs",
        guard: "        let counts = (live, deleted) == (found_live, found_deleted) && live + deleted > 0;",
        instead: "        let counts = found_live + found_deleted > 0 || live + deleted > 0;",
        tests: &["-p", "ironcache-keyspace", "--lib", "stream::"],
    },
];
