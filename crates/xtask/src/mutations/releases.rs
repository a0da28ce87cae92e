//! What was released: its formats, its answers, and the binary that a train begins at.

use super::Mutation;

const RELEASES: &[&str] = &["-p", "xtask", "--bins", "releases::"];
const PREVIOUS: &[&str] = &["-p", "xtask", "--bins", "previous::"];

pub(super) const ROWS: &[Mutation] = &[
    Mutation {
        name: "a-released-format-changes-in-place",
        breaks: "two releases write one level differently, and neither reads the other",
        file: "crates/xtask/src/releases.rs",
        guard: "                Some(now) if now == then => {}",
        instead: "                Some(now) if now.len() == then.len() => {}",
        tests: RELEASES,
    },
    Mutation {
        name: "a-version-of-a-format-is-not-frozen",
        breaks: "the type of a released version changes where its golden happens not to show it",
        file: "crates/xtask/src/releases.rs",
        guard: "    (is_golden && !is_prose) || crate::formats::is_version(path)",
        instead: "    is_golden && !is_prose",
        tests: RELEASES,
    },
    Mutation {
        name: "a-released-format-goes-too-early",
        breaks: "the present source no longer reads what the release that it follows has written",
        file: "crates/xtask/src/releases.rs",
        guard: "    for cut in releases.cut.iter().filter(|cut| cut.level >= releases.min) {",
        instead: "    for cut in releases.cut.iter().filter(|cut| cut.level > releases.min) {",
        tests: RELEASES,
    },
    Mutation {
        name: "an-answer-loses-a-field",
        breaks: "a script, or the command line of the release before, looks for what is not answered any more",
        file: "crates/xtask/src/releases.rs",
        guard: "        violations.extend(answers::lost(&then, &now).into_iter().map(violation));",
        instead: "        violations.extend(answers::lost(&then, &now).into_iter().skip(9).map(violation));",
        tests: RELEASES,
    },
    Mutation {
        name: "a-release-is-followed-by-itself",
        breaks: "two binaries call themselves the same release, and one of them is recorded as the other",
        file: "crates/xtask/src/releases.rs",
        guard: "        if source.version <= released {",
        instead: "        if source.version < released {",
        tests: RELEASES,
    },
    Mutation {
        name: "a-train-begins-at-whatever-was-built",
        breaks: "a train rolls from a binary that is not the release, and shows nothing of it",
        file: "crates/xtask/src/previous.rs",
        guard: "        manifest.version.to_string() == cut.version && manifest.levels == levels,",
        instead: "        manifest.levels == levels,",
        tests: PREVIOUS,
    },
];
