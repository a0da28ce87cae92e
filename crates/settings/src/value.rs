//! What a setting is set to.

use std::fmt;

/// Within its setting's bounds. As text it is what [`crate::parse`] reads back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// In the unit that the key ends in.
    Number(u64),
    Never,
    /// One of the words of its [`crate::Kind`].
    Word(&'static str),
    Text(String),
}

impl Value {
    /// The number, if it is one: `None` for `never` as well.
    pub fn number(&self) -> Option<u64> {
        match self {
            Value::Number(number) => Some(*number),
            Value::Never | Value::Word(_) | Value::Text(_) => None,
        }
    }

    pub fn word(&self) -> Option<&'static str> {
        match self {
            Value::Word(word) => Some(word),
            Value::Number(_) | Value::Never | Value::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Never => f.write_str(crate::kind::NEVER),
            Value::Word(word) => f.write_str(word),
            Value::Text(text) => f.write_str(text),
        }
    }
}
