//! What may stand in a version of a format, and that live types carry no serialisation.
//!
//! A version (`crates/formats/src/<format>/vN.rs`, or a folder `vN`) is on somebody's disk for years: it is made of
//! types whose bytes nobody else decides about, and of those of the formats crate itself.
//!
//! *Invariant:* looks at code that is compiled into the product; prose, text and tests may say what they like.

use crate::purity::{Violation, occurrences, unfold_imports};
use crate::rules::{FIELD_TYPES, FORMATS, LIVE_CRATES, NOT_IN_A_VERSION, SERDE_WORDS};
use crate::source::{Token, after_group, product_tokens};
use crate::workspace::Package;
use std::collections::BTreeSet;
use std::path::Path;

/// Is this path, from the workspace's root, a version of a format?
pub(crate) fn is_version(path: &str) -> bool {
    let Some(inside) = path.strip_prefix(FORMATS.dir).and_then(|rest| rest.strip_prefix("/src/")) else {
        return false;
    };
    inside.ends_with(".rs") && inside.split('/').any(is_version_name)
}

/// `v1`, `v12.rs`, `v2_node.rs`; not `values.rs`.
fn is_version_name(part: &str) -> bool {
    part.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Checks one file of a package; `inside` is its path below the package's folder.
pub(crate) fn check_file(package: &Package, inside: &Path, source: &str) -> Vec<Violation> {
    let tokens = product_tokens(source);
    let mut found = Vec::new();
    if is_version_of(package, inside) || is_next_of(package, inside) {
        found.extend(in_a_version(&tokens));
    }
    if LIVE_CRATES.contains(&package.name.as_str()) {
        found.extend(serialisation(&tokens, &package.name));
    }
    let violation = |(line, found, reason)| Violation { file: inside.to_path_buf(), line, found, reason };
    let mut violations: Vec<Violation> = found.into_iter().map(violation).collect();
    violations.sort_by_key(|violation| violation.line);
    violations.dedup();
    violations
}

/// What the files of a package have, taken together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    has_versions: bool,
}

impl Seen {
    /// Takes in one file of `package`; `inside` is its path below the package's folder.
    pub(crate) fn note(&mut self, package: &Package, inside: &Path) {
        self.has_versions |= is_version_of(package, inside);
    }
}

/// A rule that holds nothing any more: a formats crate without versions.
pub(crate) fn check_rules(package: &str, seen: Seen) -> Option<Violation> {
    (package == FORMATS.package && !seen.has_versions).then(|| Violation {
        file: "crates/xtask/src/rules.rs".into(),
        line: 0,
        found: package.to_owned(),
        reason: "not one of its files is a version (`vN.rs`): where are they now?".to_owned(),
    })
}

fn is_version_of(package: &Package, inside: &Path) -> bool {
    let path = inside.to_str().map(|inside| format!("{}/{inside}", FORMATS.dir));
    package.name == FORMATS.package && path.is_some_and(|path| is_version(&path))
}

/// The version that the feature `next` invents (`next.rs`) is made of the same; no release freezes it.
fn is_next_of(package: &Package, inside: &Path) -> bool {
    package.name == FORMATS.package
        && inside.file_name().is_some_and(|name| name == "next.rs")
        && inside.starts_with("src")
}

/// Line, what was found, and why it must not be.
type Found = (usize, String, String);

fn serialisation(tokens: &[Token<'_>], package: &str) -> Vec<Found> {
    let why = format!(
        "the live types of {package} carry no serialisation; a format has its own, in {}",
        FORMATS.dir
    );
    let words = tokens.iter().filter(|token| SERDE_WORDS.contains(&token.text));
    words.map(|word| (word.line, word.text.to_owned(), why.clone())).collect()
}

fn in_a_version(tokens: &[Token<'_>]) -> Vec<Found> {
    let mut found = Vec::new();
    for banned in NOT_IN_A_VERSION {
        for at in occurrences(tokens, banned.tokens) {
            found.push((at.line, banned.tokens.concat(), banned.instead.to_owned()));
        }
    }
    found.extend(own_encodings(tokens));
    let names = Names::of(tokens);
    for body in bodies(tokens) {
        found.extend(names.foreign(&body));
    }
    found
}

/// `impl Serialize for …`: whoever reads the fields no longer knows the bytes.
fn own_encodings(tokens: &[Token<'_>]) -> Vec<Found> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "impl") {
        let head = tokens[at..].iter().take_while(|t| t.text != "{" && t.text != ";");
        if let Some(word) = head.clone().find(|t| SERDE_WORDS.contains(&t.text)) {
            let why = "derive it: the fields, in their order, are the format".to_owned();
            found.push((token.line, format!("impl {}", word.text), why));
        }
    }
    found
}

/// What stands between the brackets of a struct or an enum, they included.
struct Body<'t, 's> {
    tokens: &'t [Token<'s>],
    is_enum: bool,
}

impl Body<'_, '_> {
    /// Is the token at `at` the name of a variant?
    fn is_variant(&self, at: usize) -> bool {
        let begins = at > 0 && matches!(self.tokens[at - 1].text, "{" | "," | "]");
        self.is_enum && begins && self.depth(at) == 1
    }

    fn depth(&self, at: usize) -> i32 {
        let step = |token: &Token<'_>| match token.text {
            "{" | "(" | "[" | "<" => 1,
            "}" | ")" | "]" | ">" => -1,
            _ => 0,
        };
        self.tokens[..at].iter().map(step).sum()
    }
}

/// The fields of every struct and enum.
fn bodies<'t, 's>(tokens: &'t [Token<'s>]) -> Vec<Body<'t, 's>> {
    let mut bodies = Vec::new();
    for at in 0..tokens.len() {
        if !matches!(tokens[at].text, "struct" | "enum") {
            continue;
        }
        let Some(open) = tokens[at..].iter().position(|t| matches!(t.text, "{" | "(" | ";")) else {
            continue;
        };
        let open = at + open;
        if tokens[open].text != ";" {
            let is_enum = tokens[at].text == "enum";
            bodies.push(Body { tokens: &tokens[open..after_group(tokens, open)], is_enum });
        }
    }
    bodies
}

const FOREIGN: &str = "a version is made of integers, bool, String, Vec, Option, BTreeMap, BTreeSet and types of the \
                       formats themselves: nobody else may change its bytes";

/// The names that a version may use in its fields beside [`FIELD_TYPES`].
struct Names<'a> {
    /// Declared here, or imported from this crate.
    own: BTreeSet<&'a str>,
    /// Imported from elsewhere.
    foreign: BTreeSet<&'a str>,
    /// `use super::*`: then a name that nobody declares here may come from there.
    has_own_glob: bool,
}

impl<'a> Names<'a> {
    fn of(tokens: &[Token<'a>]) -> Self {
        let mut names = Names { own: BTreeSet::new(), foreign: BTreeSet::new(), has_own_glob: false };
        for pair in tokens.windows(2) {
            if matches!(pair[0].text, "struct" | "enum" | "type" | "mod") {
                names.own.insert(pair[1].text);
            }
        }
        for path in unfold_imports(tokens) {
            let words: Vec<&str> = path.iter().map(|t| t.text).filter(|text| *text != "::").collect();
            let (Some(root), Some(last)) = (words.first(), words.last()) else { continue };
            let is_own = is_own_root(root) || names.own.contains(root);
            let name = match words[..] {
                [.., module, "self"] => module,
                _ => last,
            };
            match (is_own, name) {
                (true, "*") => names.has_own_glob = true,
                (true, name) => _ = names.own.insert(name),
                (false, name) => _ = names.foreign.insert(name),
            }
        }
        names
    }

    /// The types in `body` that are neither a format's building blocks nor of this crate.
    fn foreign(&self, body: &Body<'_, 'a>) -> Vec<Found> {
        let tokens = body.tokens;
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            // Attributes: a derive is no field.
            if is(at, "#") {
                at = after_group(tokens, at + 1);
                continue;
            }
            let (here, token) = (at, tokens[at]);
            at += 1;
            let is_inside_a_path = here > 0 && is(here - 1, "::");
            let is_a_fields_name = is(here + 1, ":");
            let is_a_word = token.text.starts_with(|c: char| c.is_alphabetic());
            if !is_a_word || is_inside_a_path || is_a_fields_name || body.is_variant(here) {
                continue;
            }
            let is_path = is(here + 1, "::");
            // A path of the standard library is what it ends in.
            let named = if token.text == "std" { end_of_path(&tokens[here..]) } else { token.text };
            if !self.admits(named, is_path) {
                found.push((token.line, token.text.to_owned(), FOREIGN.to_owned()));
            }
        }
        found
    }

    fn admits(&self, name: &str, begins_path: bool) -> bool {
        if matches!(name, "pub" | "crate" | "super" | "self" | "in") || self.own.contains(name) {
            return true;
        }
        if self.foreign.contains(name) {
            return FIELD_TYPES.contains(&name);
        }
        // `v1::Node`: a sibling module, which needs no import where a glob brings it.
        FIELD_TYPES.contains(&name)
            || (begins_path && is_version_name(name))
            || (!begins_path && self.has_own_glob)
    }
}

/// The last word of the path that begins with the first token.
fn end_of_path<'a>(tokens: &[Token<'a>]) -> &'a str {
    let mut at = 0;
    while tokens.get(at + 1).is_some_and(|t| t.text == "::") && at + 2 < tokens.len() {
        at += 2;
    }
    tokens[at].text
}

fn is_own_root(root: &str) -> bool {
    matches!(root, "crate" | "super" | "self") || is_version_name(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(package: &str, file: &str, source: &str) -> Vec<String> {
        let package = Package { name: package.to_owned(), dir: "d".into(), dependencies: Vec::new() };
        check_file(&package, Path::new(file), source).iter().map(ToString::to_string).collect()
    }

    fn in_v1(source: &str) -> Vec<String> {
        said("ironcache-formats", "src/state/v1.rs", source)
    }

    const CLEAN: &str = "
        //! An f64 in prose.
        mod shard;
        use super::v1;
        use shard::{Shard, Slots as OfShard};
        use crate::ids::{Digest, Member};
        use serde::{Deserialize, Serialize};
        use std::collections::BTreeMap;

        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Node { pub id: u64, pub zone: Option<String>, pub hash: [u8; 32], pub staged: Vec<Digest> }
        #[derive(Serialize, Deserialize)]
        pub enum Phase { Staging, Held { reason: Reason }, Out(Member, v1::Step), Paused }
        pub struct Reason(pub String, crate::code::Code, Shard, OfShard, shard::Role);
        pub struct State { nodes: BTreeMap<u64, Node>, shards: std::collections::BTreeMap<u16, v1::Shard> }
        impl From<v1::Node> for Node { fn from(node: v1::Node) -> Self { Self { zone: None, ..todo(node) } } }
        #[cfg(test)] mod tests { fn f() -> f64 { 1.0 } }";

    #[test]
    fn a_version_of_plain_fields_passes() {
        assert_eq!(in_v1(CLEAN), Vec::<String>::new());
    }

    #[test]
    fn a_message_says_where_what_and_why() {
        assert_eq!(
            in_v1("pub struct Rate {\n    pub per_s: f64,\n}"),
            [
                "src/state/v1.rs:2: names `f64`: its text and its arithmetic differ from machine to machine; take an \
                 integer, with its unit in the name",
                "src/state/v1.rs:2: names `f64`: a version is made of integers, bool, String, Vec, Option, BTreeMap, \
                 BTreeSet and types of the formats themselves: nobody else may change its bytes",
            ]
        );
    }

    #[test]
    fn every_word_of_the_table_is_refused() {
        for banned in NOT_IN_A_VERSION {
            let source = format!("fn f() {{ {} }}", banned.tokens.concat());
            assert_eq!(in_v1(&source).len(), 1, "{source}");
        }
        assert_eq!(in_v1("use std::collections::{BTreeMap, HashMap};").len(), 1);
        assert_eq!(in_v1("#[cfg_attr(feature = \"x\", serde(rename = \"y\"))] pub struct A;").len(), 1);
        assert_eq!(in_v1("pub struct A { #[serde(default)] a: u8 }").len(), 1);
    }

    #[test]
    fn foreign_types_are_refused_however_they_are_reached() {
        for source in [
            "use ironcache_types::NodeId; pub struct A { id: NodeId }",
            "use ironcache_types::{Digest, Epoch as When}; pub enum A { B(Digest) }",
            "use ironcache_types as types; pub struct A { at: types::Epoch }",
            "pub struct A(ironcache_types::Epoch);",
            "pub enum A { B { at: Option<semver::Version> }, C }",
            "pub struct A { at: std::time::Duration }",
            "use std::net::IpAddr; pub struct A { peers: Vec<IpAddr> }",
            "use bytes::Bytes; pub struct A { body: Bytes }",
            "pub struct A { unknown: Unknown }",
            "use super::*; use std::sync::Arc; pub struct A { shared: Arc<Node> }",
        ] {
            let said = in_v1(source);
            assert!(
                said.iter().any(|s| s.contains("nobody else may change its bytes")),
                "{source}: {said:?}"
            );
        }
    }

    #[test]
    fn an_encoding_by_hand_is_refused() {
        assert_eq!(in_v1("impl serde::Serialize for A { fn f() {} }").len(), 1);
        assert_eq!(in_v1("impl<'de> Deserialize<'de> for A { fn f() {} }").len(), 1);
        assert_eq!(in_v1("impl From<v1::A> for A { fn f() {} }").len(), 0);
    }

    #[test]
    fn only_the_versions_of_the_formats_crate_are_meant() {
        let source = "use std::time::Duration; pub struct A { a: f64, at: Duration }";
        for (package, file) in [
            ("ironcache-formats", "src/state/mod.rs"),
            ("ironcache-formats", "src/values.rs"),
            ("ironcache-node", "src/v1.rs"),
        ] {
            assert_eq!(said(package, file, source), Vec::<String>::new(), "{package} {file}");
        }
        for file in ["src/v1.rs", "src/state/v12.rs", "src/entry/v2_node.rs", "src/snapshot/v3/mod.rs"] {
            assert!(!said("ironcache-formats", file, source).is_empty(), "{file}");
        }
    }

    fn rules_of(package: &str, files: &[&str]) -> Option<String> {
        let of = Package { name: package.to_owned(), dir: "d".into(), dependencies: Vec::new() };
        let mut seen = Seen::default();
        files.iter().for_each(|file| seen.note(&of, Path::new(file)));
        check_rules(package, seen).map(|violation| violation.to_string())
    }

    #[test]
    fn a_rule_that_holds_nothing_any_more_is_seen() {
        assert_eq!(rules_of("ironcache-node", &["src/lib.rs"]), None);
        let formats = ["src/state/mod.rs", "src/state/v1.rs"];
        assert_eq!(rules_of("ironcache-formats", &formats), None);
        assert!(rules_of("ironcache-formats", &formats[..1]).unwrap().contains("where are they now?"));
    }

    #[test]
    fn a_derive_on_a_live_type_is_refused() {
        for source in [
            "#[derive(Clone, serde::Serialize)] pub struct A;",
            "use serde::{Deserialize, Serialize};",
            "impl Serialize for A {}",
            "pub struct A { #[serde(skip)] a: u8 }",
        ] {
            for live in LIVE_CRATES {
                assert!(!said(live, "src/state.rs", source).is_empty(), "{live}: {source}");
            }
        }
        assert_eq!(
            said("ironcache-agent", "src/facts.rs", "#[derive(Serialize)] pub struct A;"),
            [
                "src/facts.rs:1: names `Serialize`: the live types of ironcache-agent carry no serialisation; a format has \
              its own, in crates/formats"
            ]
        );
        assert_eq!(
            said("ironcache-agent", "src/facts.rs", "//! serde\n#[derive(Clone)] struct A;"),
            Vec::<String>::new()
        );
    }
}
