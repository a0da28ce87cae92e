//! `OBJECT ENCODING`: the names that Redis 7.0 has for how it holds a value.
//!
//! Values are held otherwise here. Programs and test suites ask how compactly something is stored, so the answer is what
//! Redis with its default limits would call a value that it was given at once; what it became by way of others is not looked
//! at.

use ironcache_keyspace::Value;
use ironcache_resp::parse_integer;

const EMBEDDED_BYTES_MAX: usize = 44;
/// `hash-max-listpack-entries`, `set-max-intset-entries`
const COMPACT_ELEMENTS_MAX: usize = 512;
/// `zset-max-listpack-entries`
const COMPACT_SCORED_MAX: usize = 128;
/// `hash-max-listpack-value`, `zset-max-listpack-value`
const COMPACT_BYTES_MAX: usize = 64;

/// What Redis calls it. Looks at no more than a few hundred elements.
pub fn encoding(value: &Value) -> &'static str {
    let is_short = |bytes: &[u8]| bytes.len() <= COMPACT_BYTES_MAX;
    match value {
        Value::String(text) if parse_integer(text).is_some() => "int",
        Value::String(text) if text.len() <= EMBEDDED_BYTES_MAX => "embstr",
        Value::String(_) => "raw",
        Value::List(_) => "quicklist",
        Value::Hash(hash) => {
            let fields = hash.fields().as_slice();
            let is_compact = fields.len() <= COMPACT_ELEMENTS_MAX
                && fields.iter().all(|field| is_short(&field.name) && is_short(&field.value));
            if is_compact { "listpack" } else { "hashtable" }
        }
        Value::Set(set) => {
            let members = set.members().as_slice();
            let is_compact = members.len() <= COMPACT_ELEMENTS_MAX
                && members.iter().all(|member| parse_integer(&member.0).is_some());
            if is_compact { "intset" } else { "hashtable" }
        }
        Value::Zset(zset) => {
            let members = zset.members().as_slice();
            let is_compact =
                members.len() <= COMPACT_SCORED_MAX && members.iter().all(|scored| is_short(&scored.member));
            if is_compact { "listpack" } else { "skiplist" }
        }
    }
}
