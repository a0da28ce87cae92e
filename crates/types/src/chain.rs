//! An error as people and log lines want it.

use std::error::Error;

/// An error and its sources on one line: for a log line, a protocol message, or an answer to a person.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Link(&'static str, #[source] Option<Box<Link>>);

    #[test]
    fn every_source_is_named_once_from_the_outermost_in() {
        let inner = Link("no such file", None);
        assert_eq!(chain(&inner), "no such file");
        let outer = Link("not started", Some(Box::new(Link("cannot open x", Some(Box::new(inner))))));
        assert_eq!(chain(&outer), "not started: cannot open x: no such file");
    }
}
