//! The cluster-wide settings, which are log state.

use ironcache_types::Epoch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// `GET /v1/policy`, and the answer to a change: what holds now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Epoch of the last change.
    pub epoch: Epoch,
    /// In the order in which they are shown.
    pub settings: Vec<Setting>,
}

impl PolicyStatus {
    pub fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.key == key)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// As in `policy set`: `max-parallel`.
    pub key: String,
    pub value: SettingValue,
    pub default: SettingValue,
    /// Can it be changed, or was it fixed when the cluster was created?
    pub changeable: bool,
    /// What it is, for people.
    #[serde(default)]
    pub about: String,
}

/// A number in the unit that its key names, or a word (`never`, `rollback`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SettingValue {
    Number(u64),
    Word(String),
}

impl fmt::Display for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettingValue::Number(number) => write!(f, "{number}"),
            SettingValue::Word(word) => f.pad(word),
        }
    }
}

/// `POST /v1/policy`: all of it takes effect, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// Values as text, by key: a node knows bounds and words, who asks need not.
    pub set: BTreeMap<String, String>,
    /// Refused unless the policy is still of this epoch; `None` changes whatever holds.
    #[serde(default)]
    pub seen: Option<Epoch>,
}
