//! Replies as scripts see them, and what scripts return as replies.
//!
//! *Invariant:* a reply of a script is bounded by `bytes_max` and nests no deeper than [`DEPTH_MAX`].

use crate::shared::Pace;
use ironcache_resp::{Protocol, Value as Resp, Writer};
use mlua::{Lua, Result, Table, Value};

/// Deeper than any client reads; a table that contains itself ends there.
const DEPTH_MAX: usize = 200;

/// A reply to a call: its value, or the text of an error.
pub(crate) fn to_lua(
    lua: &Lua,
    reply: Resp,
    protocol: Protocol,
) -> Result<std::result::Result<Value, String>> {
    match reply {
        Resp::Error(text) => Ok(Err(text)),
        reply => value(lua, reply, protocol).map(Ok),
    }
}

fn value(lua: &Lua, reply: Resp, protocol: Protocol) -> Result<Value> {
    let named = |name: &str, value: Value| {
        let table = lua.create_table()?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    };
    match reply {
        Resp::Simple(text) => named("ok", Value::String(lua.create_string(text)?)),
        Resp::Error(text) => named("err", Value::String(lua.create_string(text)?)),
        // All of Lua's numbers are doubles.
        Resp::Int(number) => Ok(Value::Number(number as f64)),
        Resp::Bulk(bytes) => Ok(Value::String(lua.create_string(bytes)?)),
        Resp::Null if protocol == Protocol::Resp2 => Ok(Value::Boolean(false)),
        Resp::Null => Ok(Value::Nil),
        Resp::Array(elements) | Resp::Push(elements) => {
            let table = lua.create_table_with_capacity(elements.len(), 0)?;
            for (at, element) in elements.into_iter().enumerate() {
                table.raw_set(at + 1, value(lua, element, protocol)?)?;
            }
            Ok(Value::Table(table))
        }
        // These grow as Redis' do: scripts meet their pairs in the same order.
        Resp::Map(pairs) => {
            let table = lua.create_table()?;
            for (key, element) in pairs {
                table.raw_set(value(lua, key, protocol)?, value(lua, element, protocol)?)?;
            }
            named("map", Value::Table(table))
        }
        Resp::Set(elements) => {
            let table = lua.create_table()?;
            for element in elements {
                table.raw_set(value(lua, element, protocol)?, true)?;
            }
            named("set", Value::Table(table))
        }
        Resp::Double(number) => named("double", Value::Number(number)),
        Resp::Boolean(is) => Ok(Value::Boolean(is)),
        Resp::Verbatim { format, text } => {
            let inner = lua.create_table()?;
            inner.raw_set("format", lua.create_string(format)?)?;
            inner.raw_set("string", lua.create_string(text)?)?;
            named("verbatim_string", Value::Table(inner))
        }
        Resp::BigNumber(digits) => named("big_number", Value::String(lua.create_string(digits)?)),
    }
}

/// Appends what a script returned, as its client is answered. `chosen` is the protocol that the script chose: it decides what
/// a boolean is.
pub(crate) fn from_lua(
    result: &Value,
    chosen: Protocol,
    bytes_max: usize,
    out: &mut Vec<u8>,
    client: Protocol,
    pace: Pace<'_>,
) -> Result<()> {
    let start = out.len();
    let most = start.saturating_add(bytes_max);
    let mut writer = ReplyWriter { writer: Writer::new(out, client), chosen, most, pace };
    match writer.value(result, 0)? {
        Written::All => {}
        Written::TooDeep => {
            out.truncate(start);
            Writer::new(out, client).error("ERR reached lua stack limit");
        }
        Written::TooLong => {
            out.truncate(start);
            Writer::new(out, client).error("ERR reply of the script is too long");
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    All,
    TooDeep,
    TooLong,
}

struct ReplyWriter<'a> {
    writer: Writer<'a>,
    chosen: Protocol,
    most: usize,
    pace: Pace<'a>,
}

impl ReplyWriter<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<Written> {
        self.pace.step()?;
        match value {
            Value::String(text) => {
                self.pace.worked(text.as_bytes().len())?;
                self.writer.bulk(&text.as_bytes());
            }
            Value::Integer(number) => self.writer.int(*number),
            // What follows the point is dropped; what is no integer of 64 bits is the least one, as where Redis' transcripts are
            // from.
            Value::Number(number) => self.writer.int(match number {
                -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0 => *number as i64,
                _ => i64::MIN,
            }),
            Value::Boolean(is) if self.chosen == Protocol::Resp3 => self.writer.boolean(*is),
            Value::Boolean(true) => self.writer.int(1),
            Value::Table(table) => return self.table(table, depth),
            _ => self.writer.null(),
        }
        Ok(self.room())
    }

    fn room(&self) -> Written {
        if self.writer.len_bytes() > self.most { Written::TooLong } else { Written::All }
    }

    fn table(&mut self, table: &Table, depth: usize) -> Result<Written> {
        if depth >= DEPTH_MAX {
            return Ok(Written::TooDeep);
        }
        let text = |name: &str| -> Result<Option<Vec<u8>>> {
            let value = table.raw_get::<Value>(name)?;
            Ok(value.as_string().map(|text| text.as_bytes().to_vec()))
        };
        if let Some(text) = text("err")? {
            self.writer.error(&String::from_utf8_lossy(&text));
            return Ok(self.room());
        }
        if let Some(text) = text("ok")? {
            self.writer.simple(&String::from_utf8_lossy(&text));
            return Ok(self.room());
        }
        match table.raw_get::<Value>("double")? {
            Value::Number(number) => {
                self.writer.double(number);
                return Ok(Written::All);
            }
            Value::Integer(number) => {
                self.writer.double(number as f64);
                return Ok(Written::All);
            }
            _ => {}
        }
        if let Value::Table(map) = table.raw_get::<Value>("map")? {
            return self.map(&map, depth);
        }
        if let Value::Table(set) = table.raw_get::<Value>("set")? {
            return self.set(&set, depth);
        }
        if let Some(digits) = text("big_number")? {
            self.writer.big_number(&String::from_utf8_lossy(&digits).replace(['\r', '\n'], " "));
            return Ok(self.room());
        }
        if let Value::Table(verbatim) = table.raw_get::<Value>("verbatim_string")? {
            let (format, text) = (verbatim.raw_get::<Value>("format")?, verbatim.raw_get::<Value>("string")?);
            if let (Some(format), Some(text)) = (format.as_string(), text.as_string()) {
                self.writer.verbatim(&format.to_string_lossy(), &text.as_bytes());
                return Ok(self.room());
            }
        }
        self.list(table, depth)
    }

    /// Up to the first hole. Elements are counted, and then written one at a time: the interpreter has room for a few thousand
    /// that are held at a time, and lists are longer.
    fn list(&mut self, table: &Table, depth: usize) -> Result<Written> {
        let mut len = 0;
        while !table.raw_get::<Value>(len + 1)?.is_nil() {
            self.pace.step()?;
            len += 1;
        }
        self.writer.array(len);
        for at in 1..=len {
            match self.value(&table.raw_get::<Value>(at)?, depth + 1)? {
                Written::All => {}
                stopped => return Ok(stopped),
            }
        }
        Ok(self.room())
    }

    fn map(&mut self, map: &Table, depth: usize) -> Result<Written> {
        let len = self.count(map)?;
        self.writer.map(len);
        for pair in map.pairs::<Value, Value>() {
            let (key, value) = pair?;
            for part in [&key, &value] {
                match self.value(part, depth + 1)? {
                    Written::All => {}
                    stopped => return Ok(stopped),
                }
            }
        }
        Ok(self.room())
    }

    fn set(&mut self, set: &Table, depth: usize) -> Result<Written> {
        let len = self.count(set)?;
        self.writer.set(len);
        for pair in set.pairs::<Value, Value>() {
            match self.value(&pair?.0, depth + 1)? {
                Written::All => {}
                stopped => return Ok(stopped),
            }
        }
        Ok(self.room())
    }

    fn count(&mut self, table: &Table) -> Result<usize> {
        let mut len = 0;
        for pair in table.pairs::<Value, Value>() {
            pair?;
            self.pace.step()?;
            len += 1;
        }
        Ok(len)
    }
}
