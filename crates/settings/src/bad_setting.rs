//! Why a setting is not taken.

use crate::kind::Unit;
use std::fmt;

/// One refusal: which setting, what it was to be, and why not. Over HTTP its code is [`BadSetting::CODE`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {why}")]
pub struct BadSetting {
    /// As it was given; for a setting that exists, its name.
    pub key: String,
    pub value: String,
    pub why: Why,
}

impl BadSetting {
    pub const CODE: &'static str = "bad_setting";

    pub fn new(key: &str, value: impl fmt::Display, why: Why) -> Self {
        BadSetting { key: key.to_owned(), value: value.to_string(), why }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// No setting has this name, here; `nearest` is one that may be meant.
    Unknown {
        nearest: Option<&'static str>,
    },
    NotANumber {
        unit: Unit,
        or_never: bool,
    },
    /// `lost` says what would be lost.
    Below {
        least: u64,
        lost: &'static str,
        default: &'static str,
    },
    Above {
        most: u64,
        lost: &'static str,
        default: &'static str,
    },
    NotAWord {
        words: &'static [&'static str],
    },
    /// The file has text where a number belongs, or the reverse.
    NotText,
    /// A node was given a setting of the whole cluster.
    OfTheCluster {
        name: &'static str,
    },
    /// The cluster was given a setting of one node.
    OfANode {
        name: &'static str,
    },
    /// It was chosen when the cluster was created, for good.
    FixedAtCreate,
    /// It does not fit another setting, or this machine.
    Unfit(&'static str),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Unknown { nearest: Some(name) } => write!(f, "there is no such setting; did you mean `{name}`?"),
            Why::Unknown { nearest: None } => f.write_str("there is no such setting; docs/settings.md lists all"),
            Why::NotANumber { unit, or_never } => {
                let or_never = if *or_never { ", or `never`" } else { "" };
                write!(f, "a whole number{}, in digits{or_never}, is expected", unit.of())
            }
            Why::Below { least, lost, default } => {
                write!(f, "{lost}; at least {least} is needed, and {default} is the default")
            }
            Why::Above { most, lost, default } => {
                write!(f, "{lost}; at most {most} is taken, and {default} is the default")
            }
            Why::NotAWord { words } => {
                let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
                write!(f, "one of {} is expected", words.join(", "))
            }
            Why::NotText => f.write_str("text in quotes is expected"),
            Why::OfTheCluster { name } => write!(
                f,
                "`{name}` is a setting of the whole cluster: `ironcache cluster policy set {name} V`"
            ),
            Why::OfANode { name } => {
                write!(f, "`{name}` is a setting of each node: its file, `--{name}`, or its variable")
            }
            Why::FixedAtCreate => f.write_str(
                "it was fixed when the cluster was created; `ironcache cluster create --set` is where it is chosen",
            ),
            Why::Unfit(why) => f.write_str(why),
        }
    }
}
