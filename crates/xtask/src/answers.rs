//! Answers are JSON that only gains: what a reader of an older one looks for is still there, and of the same kind.
//!
//! ```text
//!  {"nodes": [{"id": "a", "at": null}]}   ──>   nodes: list · nodes[].id: text · nodes[].at: nothing
//! ```
//!
//! *Invariant:* a value's content is of no account, only where it stands and of what kind it is; `null` is of any kind.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What `then` has and `now` lacks, one sentence each.
pub(crate) fn lost(then: &Value, now: &Value) -> Vec<String> {
    let (then, now) = (shape(then), shape(now));
    // What is in something that is gone is gone with it, and not told again.
    let mut gone: Vec<&str> = Vec::new();
    let mut lost = Vec::new();
    for (place, kinds) in &then {
        let is_told =
            gone.iter().any(|gone| place.strip_prefix(gone).is_some_and(|rest| rest.starts_with(['.', '['])));
        match now.get(place) {
            None if is_told => {}
            None => {
                gone.push(place);
                lost.push(format!("`{place}` is gone"));
            }
            Some(found) => {
                lost.extend(kinds.difference(found).map(|kind| format!("`{place}` is no {kind} any more")));
            }
        }
    }
    lost
}

/// Every place in a value, with the kinds of what stands there.
fn shape(value: &Value) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut shape = BTreeMap::new();
    walk(value, "", &mut shape);
    shape
}

fn walk(value: &Value, place: &str, shape: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kinds = shape.entry(place.to_owned()).or_default();
    match value {
        Value::Null => {}
        Value::Bool(_) => _ = kinds.insert("yes or no"),
        Value::Number(_) => _ = kinds.insert("number"),
        Value::String(_) => _ = kinds.insert("text"),
        Value::Array(items) => {
            kinds.insert("list");
            items.iter().for_each(|item| walk(item, &format!("{place}[]"), shape));
        }
        Value::Object(fields) => {
            kinds.insert("object");
            for (name, field) in fields {
                let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
                walk(field, &place, shape);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_content_and_more_fields_are_no_loss() {
        let then = json!({"plan": {"id": 1}, "nodes": [{"id": "a"}], "ready": true, "why": null});
        let now = json!({"plan": {"id": 7, "by": "x"}, "nodes": [{"id": "b"}, {}], "ready": false, "why": "y", "z": 1});
        assert_eq!(lost(&then, &now), Vec::<String>::new());
        assert_eq!(lost(&json!({"a": null}), &json!({"a": {"b": 1}})), Vec::<String>::new());
    }

    #[test]
    fn what_is_gone_or_of_another_kind_is_told_once() {
        let then = json!({"plan": {"id": 1, "steps": [{"node": "a"}]}, "level": 1, "on": [1]});
        assert_eq!(
            lost(&then, &json!({"level": "1", "on": []})),
            ["`level` is no number any more", "`on[]` is gone", "`plan` is gone",]
        );
        assert_eq!(
            lost(&then, &json!({"plan": {"id": 1, "steps": []}, "level": 1, "on": [2]})),
            ["`plan.steps[]` is gone"]
        );
    }
}
