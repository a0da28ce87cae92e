//! The table as documents: the annotated example of a node's file, and the reference of all settings.
//!
//! Both are held equal to the table by tests; `UPDATE_EXPECT=1 cargo test -p ironcache-settings` writes them anew.

use crate::kind::{Kind, Range};
use crate::setting::{Change, Key, Setting};
use crate::{cluster, node};
use std::fmt::Write;

const COLUMNS: usize = 110;

/// `docs/ironcache.toml`: every setting of a node at its default, with its words above it.
pub fn example_file() -> String {
    let mut out = comment(
        "ironcache.toml: every setting of a node, at its default. Made from the table of settings; a test holds it \
         equal.",
    );
    out.push_str("#\n");
    out += &comment(
        "Each key is also a flag (`--data-dir`) and a variable (`IRONCACHE_DATA_DIR`); a flag wins over a variable, and \
         a variable over this file. An unknown key is refused. `ironcache server --config FILE --check` validates \
         without starting. Names end in their unit. What all nodes have to agree on is not here: \
         `ironcache cluster policy` (docs/settings.md).",
    );
    for setting in &node::TABLE {
        out.push('\n');
        out += &comment(&sentences(setting));
        let value = if setting.kind.is_number() {
            setting.default.to_owned()
        } else {
            format!("\"{}\"", setting.default)
        };
        let _ = writeln!(out, "{} = {value}", setting.name);
    }
    out
}

/// `docs/settings.md`: every setting, what it takes, why not more or less, and who changes it when.
pub fn reference() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         <!-- made by `UPDATE_EXPECT=1 cargo test -p ironcache-settings`; a test holds it equal to the table -->\n\n",
    );
    let paragraph = |out: &mut String, text| {
        let _ = writeln!(out, "{}", wrap(text, "", COLUMNS));
    };
    paragraph(
        &mut out,
        "Every setting is either one node's or the whole cluster's. A key ends in its unit. A value out of bounds is \
         refused with what would be lost.",
    );
    out.push_str("\n## Of a node\n\n");
    paragraph(
        &mut out,
        "Each is a key of its TOML file ([ironcache.toml](ironcache.toml)), a flag (`--data-dir`) and a variable \
         (`IRONCACHE_DATA_DIR`); a flag wins over a variable, and a variable over the file. `CONFIG GET` shows them; \
         `CONFIG SET` changes those that can change while the node runs, and `CONFIG REWRITE` writes what it \
         changed into the file.",
    );
    node::TABLE.iter().for_each(|setting| out += &section(setting));
    out.push_str("\n## Of the cluster\n\n");
    paragraph(
        &mut out,
        "They live in the log, so that every node has the same. `ironcache cluster create --set KEY=VALUE` chooses \
         them, `ironcache cluster policy get` shows them and `ironcache cluster policy set KEY VALUE` changes them. \
         `CONFIG GET` shows them too; a node's file, flags, variables and `CONFIG SET` refuse them by name.",
    );
    cluster::TABLE.iter().for_each(|setting| out += &section(setting));
    out
}

fn section(setting: &Setting) -> String {
    let mut out = format!("\n### `{}`\n{}\n\n", setting.name, wrap(&sentences(setting), "", COLUMNS));
    let default =
        if setting.default.is_empty() { "empty".to_owned() } else { format!("`{}`", setting.default) };
    let mut facts = vec![format!("Default {default}; {}.", takes(setting.kind))];
    if let Some(Range { least, below, most, above }) = setting.kind.range() {
        if least > 0 {
            facts.push(format!("Below {least}: {below}."));
        }
        facts.push(format!("Above {most}: {above}."));
    }
    facts.push(format!("{}.", changes(setting)));
    if let Some(redis) = setting.redis {
        facts.push(format!("Redis calls it `{redis}`, and `CONFIG GET` knows it by that name too."));
    }
    for fact in facts {
        let _ = writeln!(out, "- {}", wrap(&fact, "  ", COLUMNS - 2).trim_start());
    }
    out
}

fn takes(kind: Kind) -> String {
    match kind {
        Kind::Number { unit, range } => {
            format!("a whole number{} from {} to {}", unit.of(), range.least, range.most)
        }
        Kind::NumberOrNever { unit, range } => {
            format!("a whole number{} from {} to {}, or `never`", unit.of(), range.least, range.most)
        }
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(" or "),
        Kind::Text(_) => "text".to_owned(),
    }
}

fn changes(setting: &Setting) -> &'static str {
    match (setting.key, setting.change) {
        (Key::Node(_), Change::Running) => "`CONFIG SET` changes it until the node restarts",
        (Key::Node(_), Change::AtStart | Change::AtCreate) => "Read when the node starts",
        (Key::Cluster(_), Change::Running) => "`cluster policy set` changes it",
        (Key::Cluster(_), Change::AtCreate | Change::AtStart) => "Fixed when the cluster is created",
    }
}

fn sentences(setting: &Setting) -> String {
    if setting.more.is_empty() {
        format!("{}.", setting.doc)
    } else {
        format!("{}. {}", setting.doc, setting.more)
    }
}

fn comment(text: &str) -> String {
    wrap(text, "# ", COLUMNS) + "\n"
}

/// Lines of at most `columns`, each begun with `prefix`.
fn wrap(text: &str, prefix: &str, columns: usize) -> String {
    let mut lines = vec![prefix.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("it begins with one line");
        if line.len() == prefix.len() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{prefix}{word}"));
        }
    }
    lines.join("\n")
}
