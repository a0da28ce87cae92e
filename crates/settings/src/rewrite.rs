//! A node's file with other values in it: what `CONFIG REWRITE` writes.
//!
//! *Invariant:* what is not changed stays as it is, comments and order included.
//! *Invariant:* the text is one that is read as the values that were asked for; what this does not understand, it refuses.

use crate::node::NodeKey;
use crate::value::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Why a file is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    #[error("line {line}: a text of several lines; write it in one")]
    Multiline { line: usize },
    #[error("line {line}: `{name}` is not on a line of its own")]
    Unread { line: usize, name: &'static str },
}

/// The file's text with these settings in it: each on its line, or at the end.
///
/// # Errors
/// The text has something in it that is not one setting a line.
pub fn rewrite(text: &str, values: &BTreeMap<NodeKey, Value>) -> Result<String, Unwritable> {
    let mut left = values.clone();
    let mut written = String::with_capacity(text.len());
    for (at, line) in text.split_inclusive('\n').enumerate() {
        let number = at + 1;
        if line.contains("\"\"\"") || line.contains("'''") {
            return Err(Unwritable::Multiline { line: number });
        }
        let named = key_of(line).and_then(|name| values.keys().find(|key| key.setting().name == name));
        let Some(key) = named.copied() else {
            written += line;
            continue;
        };
        let name = key.setting().name;
        let value = left.remove(&key).ok_or(Unwritable::Unread { line: number, name })?;
        let after = line.split_once('=').and_then(|(_, after)| after_value(after));
        let after = after.ok_or(Unwritable::Unread { line: number, name })?;
        let _ = write!(written, "{name} = {}{after}", literal(&value));
    }
    if !left.is_empty() && !written.is_empty() && !written.ends_with('\n') {
        written.push('\n');
    }
    for (key, value) in left {
        let _ = writeln!(written, "{} = {}", key.setting().name, literal(&value));
    }
    Ok(written)
}

/// The key of a line that sets one, without quotes.
fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let quoted = |quote| key.strip_prefix(quote).and_then(|rest: &str| rest.strip_suffix(quote));
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(key))
}

/// What follows a value on its line: spaces, a comment, the line's end. `None` if a text does not end on it.
fn after_value(text: &str) -> Option<&str> {
    let value = text.trim_start_matches([' ', '\t']);
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut is_escaped = false;
            for (at, char) in value.char_indices().skip(1) {
                match char {
                    _ if is_escaped => is_escaped = false,
                    '\\' if quote == '"' => is_escaped = true,
                    _ if char == quote => return Some(&value[at + 1..]),
                    _ => {}
                }
            }
            None
        }
        _ => Some(&value[value.find([' ', '\t', '#', '\r', '\n']).unwrap_or(value.len())..]),
    }
}

/// As TOML.
fn literal(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Never | Value::Word(_) | Value::Text(_) => {
            let mut text = String::from("\"");
            for char in value.to_string().chars() {
                match char {
                    '"' | '\\' => text.extend(['\\', char]),
                    _ if char.is_control() => {
                        let _ = write!(text, "\\u{:04x}", char as u32);
                    }
                    _ => text.push(char),
                }
            }
            text + "\""
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(of: &[(NodeKey, &str)]) -> BTreeMap<NodeKey, Value> {
        of.iter().map(|(key, text)| (*key, key.setting().parse(text).unwrap())).collect()
    }

    #[test]
    fn a_line_keeps_its_place_and_comment_and_what_is_new_comes_last() {
        let text = "# A node.\nport = 7000\n\nmaxclients = 5 # few\n\"timeout\"=0\r\nlog = \"a # b\"  # what";
        let changed = values(&[
            (NodeKey::Maxclients, "50"),
            (NodeKey::Timeout, "7"),
            (NodeKey::Log, "say \"x\\y\""),
            (NodeKey::SlowlogSlowerThanUs, "never"),
        ]);
        let expected = "# A node.\nport = 7000\n\nmaxclients = 50 # few\ntimeout = 7\r\nlog = \"say \\\"x\\\\y\\\"\"  # what\n\
                        slowlog-slower-than-us = \"never\"\n";
        assert_eq!(rewrite(text, &changed).unwrap(), expected);
        assert_eq!(rewrite(text, &BTreeMap::new()).unwrap(), text);
        assert_eq!(rewrite("", &values(&[(NodeKey::Timeout, "7")])).unwrap(), "timeout = 7\n");
    }

    #[test]
    fn what_is_not_understood_is_left_alone() {
        let changed = values(&[(NodeKey::Timeout, "7")]);
        let refused = |text: &str| rewrite(text, &changed).unwrap_err();
        assert_eq!(refused("port = 1\nlog = \"\"\"\ntimeout = 1\n\"\"\""), Unwritable::Multiline { line: 2 });
        let unread = |line| Unwritable::Unread { line, name: "timeout" };
        assert_eq!(refused("timeout = \"open"), unread(1));
        assert_eq!(refused("timeout = 1\ntimeout = 2"), unread(2));
    }

    #[test]
    fn a_commented_line_sets_nothing() {
        let changed = values(&[(NodeKey::Timeout, "7")]);
        let text = "# timeout = 1\nlog = \"timeout = 3\"\n";
        assert_eq!(rewrite(text, &changed).unwrap(), format!("{text}timeout = 7\n"));
    }
}
