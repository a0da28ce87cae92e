//! `OBJECT ENCODING`: the names that Redis 7.0 has for how it holds a value.
//!
//! Values are held otherwise here. Programs and test suites ask how compactly something is stored, so the answer is what
//! Redis with the same limits would call a value that it was given at once; what it became by way of others is not looked at.

use ironcache_keyspace::Value;
use ironcache_resp::parse_integer;

const EMBEDDED_BYTES_MAX: usize = 44;

/// Up to where a value is compact: settings, by Redis' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compact {
    /// `hash-max-listpack-entries`
    pub hash_fields: usize,
    /// `hash-max-listpack-value`
    pub hash_bytes: usize,
    /// `set-max-intset-entries`
    pub set_integers: usize,
    /// `zset-max-listpack-entries`
    pub zset_members: usize,
    /// `zset-max-listpack-value`
    pub zset_bytes: usize,
}

/// What Redis calls it. Looks at no more elements than are compact.
pub fn encoding(value: Value<'_>, compact: Compact) -> &'static str {
    match value {
        Value::String(text) if parse_integer(text).is_some() => "int",
        Value::String(text) if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
        Value::String(_) => "raw",
        Value::List(_) => "quicklist",
        Value::Stream(_) => "stream",
        Value::Hash(hash) => {
            let is_compact = hash.len() <= compact.hash_fields
                && hash.iter().all(|(name, value)| name.len().max(value.len()) <= compact.hash_bytes);
            if is_compact { "listpack" } else { "hashtable" }
        }
        Value::Set(set) => {
            let is_compact =
                set.len() <= compact.set_integers && set.iter().all(|member| parse_integer(member).is_some());
            if is_compact { "intset" } else { "hashtable" }
        }
        Value::Zset(zset) => {
            let is_compact = zset.len() <= compact.zset_members
                && zset.iter().all(|ranked| ranked.member.len() <= compact.zset_bytes);
            if is_compact { "listpack" } else { "skiplist" }
        }
    }
}
