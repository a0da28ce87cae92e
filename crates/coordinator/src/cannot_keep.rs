//! Why a node keeps no tail, by its own word.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CannotKeep {
    /// Its disk has so much free, and so much of it is left to the node itself.
    Full { free_bytes: u64, reserve_bytes: u64 },
    /// Its disk takes nothing.
    Disk { error: String },
    /// In the words of another release.
    Other { said: String },
}

impl fmt::Display for CannotKeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { free_bytes, reserve_bytes } => {
                write!(
                    f,
                    "its disk has {free_bytes} bytes free, and {reserve_bytes} are left to the node itself"
                )
            }
            Self::Disk { error } => write!(f, "its disk takes nothing: {error}"),
            Self::Other { said } => write!(f, "{said}"),
        }
    }
}
