//! `cjson.encode`.

use super::{Choices, Invalid};
use crate::number::general;
use crate::shared::Pace;
use mlua::{Result, Table, Value};

/// Appends the text of a value. Outside is the interpreter's failure, inside what is wrong with the value.
pub(super) fn write(
    value: &Value,
    choices: &Choices,
    bytes_max: usize,
    out: &mut Vec<u8>,
    pace: Pace<'_>,
) -> Result<std::result::Result<(), String>> {
    let mut writer = JsonWriter { choices, bytes_max, out, pace };
    match writer.value(value, 0) {
        Ok(()) => Ok(Ok(())),
        Err(Wrong::Value(wrong)) => Ok(Err(wrong)),
        Err(Wrong::Lua(error)) => Err(error),
    }
}

enum Wrong {
    Value(String),
    Lua(mlua::Error),
}

impl From<mlua::Error> for Wrong {
    fn from(error: mlua::Error) -> Self {
        Wrong::Lua(error)
    }
}

struct JsonWriter<'a> {
    choices: &'a Choices,
    bytes_max: usize,
    out: &'a mut Vec<u8>,
    pace: Pace<'a>,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: i64) -> std::result::Result<(), Wrong> {
        self.pace.step()?;
        if self.out.len() > self.bytes_max {
            return Err(Wrong::Value("not enough memory".to_owned()));
        }
        match value {
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(pointer) if pointer.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Integer(number) => self.number(*number as f64)?,
            Value::Number(number) => self.number(*number)?,
            Value::String(text) => {
                self.pace.worked(text.as_bytes().len())?;
                self.string(&text.as_bytes());
            }
            Value::Table(table) => {
                let depth = depth + 1;
                if depth > self.choices.encode_depth_max {
                    return Err(Wrong::Value(format!("Cannot serialise, excessive nesting ({depth})")));
                }
                match self.array_len(table)? {
                    Some(len @ 1..) => self.array(table, len, depth)?,
                    Some(_) | None => self.object(table, depth)?,
                }
            }
            other => {
                let kind = other.type_name();
                return Err(Wrong::Value(format!("Cannot serialise {kind}: type not supported")));
            }
        }
        Ok(())
    }

    /// The length of a table that is a list; 0 if it is empty, `None` if it has other keys.
    fn array_len(&self, table: &Table) -> std::result::Result<Option<i64>, Wrong> {
        let (mut most, mut items) = (0_i64, 0_i64);
        for pair in table.pairs::<Value, Value>() {
            let key = match pair?.0 {
                Value::Integer(key) => key,
                Value::Number(key) if key.floor() == key && key < 9e15 => key as i64,
                _ => return Ok(None),
            };
            if key < 1 {
                return Ok(None);
            }
            most = most.max(key);
            items += 1;
        }
        let Choices { sparse_ratio, sparse_safe, sparse_convert, .. } = *self.choices;
        if sparse_ratio > 0 && most > items.saturating_mul(sparse_ratio) && most > sparse_safe {
            if !sparse_convert {
                return Err(Wrong::Value("Cannot serialise table: excessively sparse array".to_owned()));
            }
            return Ok(None);
        }
        Ok(Some(most))
    }

    fn array(&mut self, table: &Table, len: i64, depth: i64) -> std::result::Result<(), Wrong> {
        self.out.push(b'[');
        for at in 1..=len {
            if at > 1 {
                self.out.push(b',');
            }
            self.value(&table.raw_get::<Value>(at)?, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i64) -> std::result::Result<(), Wrong> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair?;
            if !first {
                self.out.push(b',');
            }
            first = false;
            match &key {
                Value::Integer(number) => self.quoted(*number as f64)?,
                Value::Number(number) => self.quoted(*number)?,
                Value::String(text) => self.string(&text.as_bytes()),
                other => {
                    let kind = other.type_name();
                    let wrong = format!("Cannot serialise {kind}: table key must be a number or string");
                    return Err(Wrong::Value(wrong));
                }
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn quoted(&mut self, number: f64) -> std::result::Result<(), Wrong> {
        self.out.push(b'"');
        self.number(number)?;
        self.out.push(b'"');
        Ok(())
    }

    fn number(&mut self, number: f64) -> std::result::Result<(), Wrong> {
        if !number.is_finite() {
            match self.choices.encode_invalid {
                Invalid::Refused => {
                    let wrong = "Cannot serialise number: must not be NaN or Inf";
                    return Err(Wrong::Value(wrong.to_owned()));
                }
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Written => {}
            }
        }
        if number.is_nan() {
            self.out.extend_from_slice(b"nan");
            return Ok(());
        }
        let digits = usize::try_from(self.choices.digits).unwrap_or(14);
        self.out.extend_from_slice(general(number, digits).as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.out.extend_from_slice(b"\\\""),
                b'\\' => self.out.extend_from_slice(b"\\\\"),
                b'/' => self.out.extend_from_slice(b"\\/"),
                8 => self.out.extend_from_slice(b"\\b"),
                b'\t' => self.out.extend_from_slice(b"\\t"),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                12 => self.out.extend_from_slice(b"\\f"),
                b'\r' => self.out.extend_from_slice(b"\\r"),
                0..32 | 127 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                byte => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}
