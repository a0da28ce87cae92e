//! The library `cjson`, as Redis has it (lua-cjson 2.1.0): a format that scripts share with other programs, so every digit,
//! escape and error is that library's.
//!
//! *Invariant:* what is written is bounded by `bytes_max`, however often a table is met; what is read nests no deeper than the
//! script allows, and that is bounded too: both walk by recursion.

mod read;
mod write;

use crate::outcome::refuse;
use crate::shared::{Pace, Shared};
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::cell::Cell;
use std::rc::Rc;

/// Deeper than anybody's default, and still within the stack of a script.
const DEPTH_MOST: i64 = 2_000;

/// What a script may choose.
#[derive(Clone, Copy)]
struct Choices {
    /// Tables that are mostly holes: refused, or written as objects.
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth_max: i64,
    decode_depth_max: i64,
    digits: i64,
    keep_buffer: bool,
    encode_invalid: Invalid,
    decode_invalid: bool,
}

/// What becomes of a number that JSON has not: NaN, or an infinity.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refused,
    Written,
    Null,
}

impl Default for Choices {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth_max: 1_000,
            decode_depth_max: 1_000,
            digits: 14,
            keep_buffer: true,
            encode_invalid: Invalid::Refused,
            decode_invalid: true,
        }
    }
}

/// A table of functions, each of which returns its result, or the mark of [`refuse`] and what is wrong.
pub(crate) fn library(lua: &Lua, shared: &Rc<Shared>) -> Result<Table> {
    let choices = Rc::new(Cell::new(Choices::default()));
    let json = lua.create_table()?;
    json.raw_set("null", Value::NULL)?;
    let mine = Rc::clone(&choices);
    let shared = Rc::clone(shared);
    let encode = move |lua: &Lua, value: Value| {
        let mut out = Vec::new();
        let pace = Pace { lua, shared: &shared, steps: 0 };
        match write::write(&value, &mine.get(), shared.bytes_max.get(), &mut out, pace)? {
            Ok(()) => answer(Value::String(lua.create_string(&out)?)),
            Err(wrong) => refuse(lua, &wrong),
        }
    };
    json.raw_set("encode", lua.create_function(encode)?)?;
    let mine = Rc::clone(&choices);
    let decode = move |lua: &Lua, text: mlua::LuaString| match read::read(lua, &text.as_bytes(), &mine.get())?
    {
        Ok(value) => answer(value),
        Err(wrong) => refuse(lua, &wrong),
    };
    json.raw_set("decode", lua.create_function(decode)?)?;
    choosers(lua, &json, &choices)?;
    Ok(json)
}

/// The functions that tell and set what a script may choose.
fn choosers(lua: &Lua, json: &Table, choices: &Rc<Cell<Choices>>) -> Result<()> {
    let mine = Rc::clone(choices);
    let sparse = move |lua: &Lua, (convert, ratio, safe): (Value, Value, Value)| {
        let mut now = mine.get();
        if let Err(wrong) = (|| {
            now.sparse_convert = on_or_off(&convert, 1)?.unwrap_or(now.sparse_convert);
            now.sparse_ratio = within(&ratio, 2, 0, i64::from(i32::MAX))?.unwrap_or(now.sparse_ratio);
            now.sparse_safe = within(&safe, 3, 0, i64::from(i32::MAX))?.unwrap_or(now.sparse_safe);
            Ok::<(), String>(())
        })() {
            return refuse(lua, &wrong);
        }
        mine.set(now);
        Ok(MultiValue::from_vec(vec![
            Value::Boolean(now.sparse_convert),
            Value::Number(now.sparse_ratio as f64),
            Value::Number(now.sparse_safe as f64),
        ]))
    };
    json.raw_set("encode_sparse_array", lua.create_function(sparse)?)?;
    let number = |name: &str, least: i64, most: i64, field: fn(&mut Choices) -> &mut i64| {
        let mine = Rc::clone(choices);
        let choose = move |lua: &Lua, wanted: Value| {
            let mut now = mine.get();
            match within(&wanted, 1, least, most) {
                Ok(wanted) => *field(&mut now) = wanted.unwrap_or(*field(&mut now)),
                Err(wrong) => return refuse(lua, &wrong),
            }
            mine.set(now);
            answer(Value::Number(*field(&mut now) as f64))
        };
        json.raw_set(name, lua.create_function(choose)?)
    };
    number("encode_max_depth", 1, DEPTH_MOST, |now| &mut now.encode_depth_max)?;
    number("decode_max_depth", 1, DEPTH_MOST, |now| &mut now.decode_depth_max)?;
    number("encode_number_precision", 1, 14, |now| &mut now.digits)?;
    let flag = |name: &str, field: fn(&mut Choices) -> &mut bool| {
        let mine = Rc::clone(choices);
        let choose = move |lua: &Lua, wanted: Value| {
            let mut now = mine.get();
            match on_or_off(&wanted, 1) {
                Ok(wanted) => *field(&mut now) = wanted.unwrap_or(*field(&mut now)),
                Err(wrong) => return refuse(lua, &wrong),
            }
            mine.set(now);
            answer(Value::Boolean(*field(&mut now)))
        };
        json.raw_set(name, lua.create_function(choose)?)
    };
    flag("encode_keep_buffer", |now| &mut now.keep_buffer)?;
    flag("decode_invalid_numbers", |now| &mut now.decode_invalid)?;
    let mine = Rc::clone(choices);
    let invalid = move |lua: &Lua, wanted: Value| {
        let mut now = mine.get();
        if wanted.as_string().is_some_and(|word| *word.as_bytes() == *b"null") {
            now.encode_invalid = Invalid::Null;
        } else {
            match on_or_off(&wanted, 1) {
                Ok(Some(true)) => now.encode_invalid = Invalid::Written,
                Ok(Some(false)) => now.encode_invalid = Invalid::Refused,
                Ok(None) => {}
                Err(wrong) => return refuse(lua, &wrong),
            }
        }
        mine.set(now);
        answer(match now.encode_invalid {
            Invalid::Refused => Value::Boolean(false),
            Invalid::Written => Value::Boolean(true),
            Invalid::Null => Value::String(lua.create_string("null")?),
        })
    };
    json.raw_set("encode_invalid_numbers", lua.create_function(invalid)?)
}

fn on_or_off(wanted: &Value, position: usize) -> std::result::Result<Option<bool>, String> {
    let word = wanted.as_string().map(|word| word.as_bytes().to_vec());
    match (wanted, word.as_deref()) {
        (Value::Nil, _) => Ok(None),
        (Value::Boolean(wanted), _) => Ok(Some(*wanted)),
        (_, Some(b"on")) => Ok(Some(true)),
        (_, Some(b"off")) => Ok(Some(false)),
        (_, Some(word)) => Err(format!(
            "bad argument #{position} to '?' (invalid option '{}')",
            String::from_utf8_lossy(word)
        )),
        (other, None) => {
            Err(format!("bad argument #{position} to '?' (string expected, got {})", other.type_name()))
        }
    }
}

fn within(
    wanted: &Value,
    position: usize,
    least: i64,
    most: i64,
) -> std::result::Result<Option<i64>, String> {
    let number = match wanted {
        Value::Nil => return Ok(None),
        Value::Integer(number) => *number,
        Value::Number(number) => *number as i64,
        other => {
            return Err(format!(
                "bad argument #{position} to '?' (number expected, got {})",
                other.type_name()
            ));
        }
    };
    if (least..=most).contains(&number) {
        return Ok(Some(number));
    }
    Err(format!("bad argument #{position} to '?' (expected integer between {least} and {most})"))
}

fn answer(value: Value) -> Result<MultiValue> {
    Ok(MultiValue::from_vec(vec![value]))
}
