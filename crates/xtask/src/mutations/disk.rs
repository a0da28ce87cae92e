//! What a machine keeps over a power cut: files, the launcher's state.

use super::{Mutation, TURMOIL};

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "the-launchers-state-is-not-synced",
        breaks: "after a power cut a node runs another release than the log was told",
        file: "crates/spine/src/state_file.rs",
        guard: "        replace_durably(&self.path(), encode(state).as_bytes())",
        instead: "        disk::write(self.path(), encode(state)).map_err(at(\"write\", &self.path()))",
        tests: &[TURMOIL, "roll", "--seeds", "10"],
    },
    Mutation {
        name: "a-stop-that-advances-is-cut-off",
        breaks: "a checkpoint that takes longer than the stop timeout is cut, and the dataset lost",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "            *kill_at = kill_at.map(|_| now + timeout + LAST_WORDS);",
        instead: "            let _ = (kill_at, LAST_WORDS);",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-trial-that-loads-is-cut-off",
        breaks: "a good release is blamed for the size of the dataset that it reads",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "        watch.advanced = now;",
        instead: "        let _ = now;",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-hang-is-silence",
        breaks: "a daemon that heartbeats and does nothing keeps its clients for ever",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "        if watch.ticks.replace(ticks) != Some(ticks) {",
        instead: "        if watch.ticks.replace(ticks) != Some(u64::MAX) {",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-pause-is-a-hang",
        breaks: "whoever has the only copy of a dataset is killed when the machine wakes",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "        watch.postpone(overslept);",
        instead: "",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-look-after-a-hang",
        breaks: "the first look after a pause comes when a hang is due",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "at.saturating_duration_since(began).min(look)",
        instead: "at.saturating_duration_since(began)",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-pause-takes-time-from-a-stop",
        breaks: "a checkpoint is cut off when the machine wakes",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "                *at += by;",
        instead: "                let _ = (at, by);",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-lost-dataset-is-exit-0",
        breaks: "whoever manages services takes a lost dataset for a clean stop",
        file: "crates/spine/src/launcher/supervisor.rs",
        guard: "                if exit != DaemonExit::Done {\n                    return Err",
        instead: "                if false {\n                    return Err",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-node-that-cannot-start-keeps-its-clients",
        breaks: "clients and peers hang at a node whose daemon never starts",
        file: "crates/spine/src/launcher/supervisor.rs",
        guard: "        if self.config.limits.refuses_in(pause) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
];
