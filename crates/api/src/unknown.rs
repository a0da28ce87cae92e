//! What a later release says and this one does not know.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A value that fits no variant of the enum it stands in for, kept as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unknown(pub serde_json::Value);

impl fmt::Display for Unknown {
    /// A word as that word, `{"word": {…}}` as the word and what it carries.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use serde_json::Value;
        let Self(value) = self;
        match value {
            Value::String(word) => f.pad(word),
            Value::Object(fields) if fields.len() == 1 => {
                fields.iter().try_for_each(|(word, carried)| write!(f, "{word} {carried}"))
            }
            other => write!(f, "{other}"),
        }
    }
}

/// An enum of words only: shown as its word, sent as its word, and with a place for one that it does not know.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$of_variant:meta])* $variant:ident = $word:literal $(if feature $feature:literal)?,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$of_variant])* $(#[cfg(feature = $feature)])? $variant,)+
            /// The word of a later release.
            Unknown(String),
        }

        impl $name {
            pub fn as_str(&self) -> &str {
                match self {
                    $($(#[cfg(feature = $feature)])? $name::$variant => $word,)+
                    $name::Unknown(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($(#[cfg(feature = $feature)])? $word => $name::$variant,)+
                    other => $name::Unknown(other.to_owned()),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Ok($name::from(word.as_str()))
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_shown_as_it_came() {
        let shown = |json: &str| serde_json::from_str::<Unknown>(json).unwrap().to_string();
        assert_eq!(shown(r#""mending""#), "mending");
        assert_eq!(
            shown(r#"{"disk-full":{"node":"01","free_bytes":7}}"#),
            r#"disk-full {"free_bytes":7,"node":"01"}"#
        );
        assert_eq!(shown("[1]"), "[1]");
    }
}
