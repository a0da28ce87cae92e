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
        name: "others-run-beside-a-script-that-has-written",
        breaks: "a full sync, a checkpoint or a handover meets half a script",
        file: "crates/node/src/data/scripts/running.rs",
        guard: "if is_up && within == Within::Nothing && !self.calls.wrote() {",
        instead: "if is_up && within == Within::Nothing {",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::scripts"],
    },
    Mutation {
        name: "a-script-goes-on-at-another-primary",
        breaks: "a script that waited writes, or reads, where another node is primary",
        file: "crates/node/src/data/scripts/running.rs",
        guard: "        here && plane.primary_epoch() == self.epoch && !plane.engine.is_sealed()",
        instead: "        here || plane.primary_epoch() == self.epoch || !plane.engine.is_sealed()",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::scripts"],
    },
    Mutation {
        name: "a-script-catches-its-end",
        breaks: "a script that is ended goes on for ever, and with it every client waits",
        file: "crates/script/src/shared.rs",
        guard: "        self.hook(lua, 1)?;\n        Err(",
        instead: "        Err(",
        tests: &["-p", "ironcache-script"],
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
