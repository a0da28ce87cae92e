//! How a function of ours tells what is wrong: by a mark that no script can have, and a text. An error of Rust's would reach
//! scripts as an object that they do not know.

use mlua::{LightUserData, Lua, MultiValue, Result, Value};

/// The mark; the prelude has it as `host.wrong`.
pub(crate) fn mark() -> Value {
    Value::LightUserData(LightUserData(std::ptr::without_provenance_mut(1)))
}

pub(crate) fn refuse(lua: &Lua, wrong: &str) -> Result<MultiValue> {
    Ok(MultiValue::from_vec(vec![mark(), Value::String(lua.create_string(wrong)?)]))
}
