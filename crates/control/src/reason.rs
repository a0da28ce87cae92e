//! Why, in the words of whoever proposed.

use std::fmt;

/// A reason that the log carries for people: a stable word for programs, and a sentence. Made by the proposer;
/// `apply` writes none, and branches on none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reason {
    pub code: String,
    pub text: String,
}

impl Reason {
    pub fn new(code: impl Into<String>, text: impl Into<String>) -> Self {
        Reason { code: code.into(), text: text.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code: _, text } = self;
        f.write_str(text)
    }
}
