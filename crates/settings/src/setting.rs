//! One row of the table, and how it is found.

use crate::bad_setting::{BadSetting, Why};
use crate::cluster::{self, ClusterKey};
use crate::kind::Kind;
use crate::nearest::nearest;
use crate::node::{self, NodeKey};
use crate::value::Value;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    pub key: Key,
    /// As the file, `CONFIG` and `cluster policy` spell it. Ends in its unit.
    pub name: &'static str,
    pub kind: Kind,
    /// As text, so that it is read by the rules that it obeys.
    pub default: &'static str,
    pub change: Change,
    /// Redis' name for the same thing, where that is another.
    pub redis: Option<&'static str>,
    /// One line, without a full stop.
    pub doc: &'static str,
    /// What one has to know to choose a value; may be empty. Whole sentences.
    pub more: &'static str,
}

/// Which setting, and so whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// One node's own.
    Node(NodeKey),
    /// The whole cluster's, kept in the log.
    Cluster(ClusterKey),
}

/// When a setting can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A node's: read when it starts.
    AtStart,
    /// The cluster's: chosen when it is created, for good.
    AtCreate,
    /// While it runs: by `CONFIG SET` until a node restarts, or by `cluster policy set`.
    Running,
}

impl Key {
    pub fn setting(self) -> &'static Setting {
        match self {
            Key::Node(key) => key.setting(),
            Key::Cluster(key) => key.setting(),
        }
    }
}

impl Setting {
    /// # Errors
    /// Says what is expected, or the bound with what is lost past it.
    pub fn parse(&self, text: &str) -> Result<Value, BadSetting> {
        self.kind.parse(text, self.default).map_err(|why| self.bad(text, why))
    }

    pub fn default_value(&self) -> Value {
        self.parse(self.default).expect("a default is within its own bounds: a test holds every row to it")
    }

    pub fn bad(&self, value: &str, why: Why) -> BadSetting {
        BadSetting::new(self.name, if self.kind.is_secret() { "(not shown)" } else { value }, why)
    }

    /// `IRONCACHE_MAX_LAG_BYTES`.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_uppercase().replace('-', "_"))
    }
}

pub const VARIABLE_PREFIX: &str = "IRONCACHE_";

/// Every setting, the nodes' first.
pub fn all() -> impl Iterator<Item = &'static Setting> {
    node::TABLE.iter().chain(&cluster::TABLE)
}

pub fn find(name: &str) -> Option<&'static Setting> {
    all().find(|setting| setting.name == name)
}

/// The setting of this name; `value` is only for the refusal.
///
/// # Errors
/// No setting has it; names the nearest.
pub fn named(name: &str, value: &str) -> Result<&'static Setting, BadSetting> {
    find(name).ok_or_else(|| {
        let why = Why::Unknown { nearest: nearest(name, all().map(|setting| setting.name)) };
        BadSetting::new(name, value, why)
    })
}

/// A setting of either scope by its name.
///
/// # Errors
/// No setting has the name, or it does not take the value.
pub fn parse(name: &str, text: &str) -> Result<(Key, Value), BadSetting> {
    let setting = named(name, text)?;
    Ok((setting.key, setting.parse(text)?))
}
