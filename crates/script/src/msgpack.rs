//! The library `cmsgpack`, as Redis has it (lua-cmsgpack 0.4.0): MessagePack, with Lua's numbers and tables.
//!
//! *Invariant:* what is written is bounded by `bytes_max` and nests no deeper than [`DEPTH_MAX`]; what is read nests no deeper
//! than [`READ_DEPTH_MAX`].

use crate::outcome::refuse;
use crate::shared::{Pace, Shared};
use mlua::{Lua, MultiValue, Result, Table, Value, Variadic};
use std::rc::Rc;

/// As the library (`LUACMSGPACK_MAX_NESTING`): deeper tables are written as nil.
const DEPTH_MAX: u32 = 16;
/// Each level costs a frame of the stack, and a byte of hostile input is a level.
const READ_DEPTH_MAX: u32 = 1_000;

/// The library's functions, by name; those that read return their results, or the mark of [`refuse`] and what is wrong.
pub(crate) fn library(lua: &Lua, shared: &Rc<Shared>) -> Result<Table> {
    let shared = Rc::clone(shared);
    let pack = move |lua: &Lua, values: Variadic<Value>| {
        if values.is_empty() {
            return refuse(lua, "bad argument #0 to 'pack' (MessagePack pack needs input.)");
        }
        let (mut out, bytes_max) = (Vec::new(), shared.bytes_max.get());
        let mut pace = Pace { lua, shared: &shared, steps: 0 };
        for value in values.iter() {
            write(value, 1, bytes_max, &mut out, &mut pace)?;
        }
        if out.len() > bytes_max {
            return refuse(lua, "not enough memory");
        }
        Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(&out)?)]))
    };
    let unpack = |lua: &Lua, text: mlua::LuaString| read_some(lua, &text.as_bytes(), 0, 0, Ends::Whole);
    let unpack_one = |lua: &Lua, (text, offset): (mlua::LuaString, Option<i64>)| {
        read_some(lua, &text.as_bytes(), 1, offset.unwrap_or(0), Ends::Offset)
    };
    let unpack_limit = |lua: &Lua, (text, limit, offset): (mlua::LuaString, i64, Option<i64>)| {
        read_some(lua, &text.as_bytes(), limit, offset.unwrap_or(0), Ends::Offset)
    };
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("unpack_one", lua.create_function(unpack_one)?)?;
    library.raw_set("unpack_limit", lua.create_function(unpack_limit)?)?;
    Ok(library)
}

fn write(value: &Value, depth: u32, bytes_max: usize, out: &mut Vec<u8>, pace: &mut Pace<'_>) -> Result<()> {
    pace.step()?;
    if out.len() > bytes_max {
        // The caller sees that it is too long.
        return Ok(());
    }
    match value {
        Value::Boolean(is) => out.push(0xc2 + u8::from(*is)),
        Value::Integer(number) => write_integer(*number, out),
        Value::Number(number) => write_number(*number, out),
        Value::String(text) => {
            pace.worked(text.as_bytes().len())?;
            write_string(&text.as_bytes(), out);
        }
        Value::Table(table) if depth < DEPTH_MAX + 1 => match list_len(table)? {
            Some(len) => {
                write_header(len, 0x90, 0xdc, out);
                for at in 1..=len {
                    write(&table.raw_get::<Value>(at)?, depth + 1, bytes_max, out, pace)?;
                }
            }
            None => {
                // One pair at a time: the interpreter has no room for all of them.
                let mut len = 0;
                for pair in table.pairs::<Value, Value>() {
                    pair?;
                    pace.step()?;
                    len += 1;
                }
                write_header(len, 0x80, 0xde, out);
                for pair in table.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    write(&key, depth + 1, bytes_max, out, pace)?;
                    write(&value, depth + 1, bytes_max, out, pace)?;
                }
            }
        },
        _ => out.push(0xc0),
    }
    Ok(())
}

/// The length of a table whose keys are 1, 2 … without a gap.
fn list_len(table: &Table) -> Result<Option<usize>> {
    let (mut most, mut count) = (0_usize, 0_usize);
    for pair in table.pairs::<Value, Value>() {
        let key = match pair?.0 {
            Value::Integer(key) => key,
            Value::Number(key) if key.floor() == key && key < 9e15 => key as i64,
            _ => return Ok(None),
        };
        let Ok(key @ 1..) = usize::try_from(key) else { return Ok(None) };
        most = most.max(key);
        count += 1;
    }
    Ok((most == count).then_some(count))
}

fn write_header(len: usize, short: u8, long: u8, out: &mut Vec<u8>) {
    match len {
        0..16 => out.push(short | len as u8),
        16..0x1_0000 => {
            out.push(long);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(long + 1);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
}

fn write_string(text: &[u8], out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len @ 32..0x100 => out.extend_from_slice(&[0xd9, len as u8]),
        len @ 0x100..0x1_0000 => {
            out.push(0xda);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(0xdb);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

fn write_number(number: f64, out: &mut Vec<u8>) {
    // What an integer of 64 bits holds is written as one.
    if number.floor() == number
        && (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number)
    {
        return write_integer(number as i64, out);
    }
    let short = number as f32;
    if f64::from(short) == number {
        out.push(0xca);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_integer(number: i64, out: &mut Vec<u8>) {
    match number {
        0..128 => out.push(number as u8),
        128..0x100 => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..0x1_0000 => {
            out.push(0xcd);
            out.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(0xce);
            out.extend_from_slice(&(number as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend_from_slice(&number.to_be_bytes());
        }
        -32..0 => out.push(number as i8 as u8),
        -128..-32 => out.extend_from_slice(&[0xd0, number as i8 as u8]),
        -0x8000..-128 => {
            out.push(0xd1);
            out.extend_from_slice(&(number as i16).to_be_bytes());
        }
        -0x8000_0000..-0x8000 => {
            out.push(0xd2);
            out.extend_from_slice(&(number as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend_from_slice(&number.to_be_bytes());
        }
    }
}

/// What stands before the values that are returned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// Nothing: all there is was asked for.
    Whole,
    /// Where the next value begins, -1 at the end.
    Offset,
}

/// Reads so many values (0: all) from an offset on.
fn read_some(lua: &Lua, text: &[u8], limit: i64, offset: i64, ends: Ends) -> Result<MultiValue> {
    if offset < 0 || limit < 0 {
        let wrong = format!("Invalid request to unpack with offset of {offset} and limit of {}.", text.len());
        return refuse(lua, &wrong);
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)) else {
        return refuse(lua, &format!("Start offset {offset} greater than input length {}.", text.len()));
    };
    let all = ends == Ends::Whole;
    let mut reader = PackReader { lua, rest };
    let mut values = Vec::new();
    while !reader.rest.is_empty() && (all || i64::try_from(values.len()).is_ok_and(|len| len < limit)) {
        if values.len() >= VALUES_MAX {
            return refuse(lua, "too many results to unpack");
        }
        match reader.value(0)? {
            Ok(value) => values.push(value),
            Err(Wrong::Missing) => return refuse(lua, "Missing bytes in input."),
            Err(Wrong::Format) => return refuse(lua, "Bad data format in input."),
        }
    }
    if ends == Ends::Offset {
        let next = if reader.rest.is_empty() { -1.0 } else { (text.len() - reader.rest.len()) as f64 };
        values.insert(0, Value::Number(next));
    }
    Ok(MultiValue::from_vec(values))
}

/// As many as fit Lua's stack beside what is there.
const VALUES_MAX: usize = 7_900;

enum Wrong {
    Missing,
    Format,
}

struct PackReader<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

type Read<T> = Result<std::result::Result<T, Wrong>>;

macro_rules! attempt {
    ($read:expr) => {
        match $read {
            Ok(read) => read,
            Err(wrong) => return Ok(Err(wrong)),
        }
    };
}

impl PackReader<'_> {
    fn value(&mut self, depth: u32) -> Read<Value> {
        let [kind] = attempt!(self.fixed());
        let number = |number: f64| Ok(Ok(Value::Number(number)));
        match kind {
            0..0x80 => number(f64::from(kind)),
            0x80..0x90 => self.map(usize::from(kind & 15), depth),
            0x90..0xa0 => self.list(usize::from(kind & 15), depth),
            0xa0..0xc0 => self.string(usize::from(kind & 31)),
            0xc0 => Ok(Ok(Value::Nil)),
            0xc2 => Ok(Ok(Value::Boolean(false))),
            0xc3 => Ok(Ok(Value::Boolean(true))),
            0xca => number(f64::from(f32::from_be_bytes(attempt!(self.fixed())))),
            0xcb => number(f64::from_be_bytes(attempt!(self.fixed()))),
            0xcc => number(f64::from(u8::from_be_bytes(attempt!(self.fixed())))),
            0xcd => number(f64::from(u16::from_be_bytes(attempt!(self.fixed())))),
            0xce => number(f64::from(u32::from_be_bytes(attempt!(self.fixed())))),
            // The library reads it so: what is above an integer of 64 bits comes out negative.
            0xcf => number(i64::from_be_bytes(attempt!(self.fixed())) as f64),
            0xd0 => number(f64::from(i8::from_be_bytes(attempt!(self.fixed())))),
            0xd1 => number(f64::from(i16::from_be_bytes(attempt!(self.fixed())))),
            0xd2 => number(f64::from(i32::from_be_bytes(attempt!(self.fixed())))),
            0xd3 => number(i64::from_be_bytes(attempt!(self.fixed())) as f64),
            0xc4 | 0xd9 => {
                let len = usize::from(u8::from_be_bytes(attempt!(self.fixed())));
                self.string(len)
            }
            0xc5 | 0xda => {
                let len = usize::from(u16::from_be_bytes(attempt!(self.fixed())));
                self.string(len)
            }
            0xc6 | 0xdb => {
                let len = u32::from_be_bytes(attempt!(self.fixed())) as usize;
                self.string(len)
            }
            0xdc => {
                let len = usize::from(u16::from_be_bytes(attempt!(self.fixed())));
                self.list(len, depth)
            }
            0xdd => {
                let len = u32::from_be_bytes(attempt!(self.fixed())) as usize;
                self.list(len, depth)
            }
            0xde => {
                let len = usize::from(u16::from_be_bytes(attempt!(self.fixed())));
                self.map(len, depth)
            }
            0xdf => {
                let len = u32::from_be_bytes(attempt!(self.fixed())) as usize;
                self.map(len, depth)
            }
            0xe0.. => number(f64::from(kind.cast_signed())),
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => Ok(Err(Wrong::Format)),
        }
    }

    fn fixed<const N: usize>(&mut self) -> std::result::Result<[u8; N], Wrong> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Wrong::Missing)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn string(&mut self, len: usize) -> Read<Value> {
        let Some((text, rest)) = self.rest.split_at_checked(len) else { return Ok(Err(Wrong::Missing)) };
        self.rest = rest;
        Ok(Ok(Value::String(self.lua.create_string(text)?)))
    }

    fn list(&mut self, len: usize, depth: u32) -> Read<Value> {
        if depth >= READ_DEPTH_MAX {
            return Ok(Err(Wrong::Format));
        }
        let table = self.lua.create_table()?;
        for at in 1..=len {
            let value = attempt!(self.value(depth + 1)?);
            table.raw_set(at, value)?;
        }
        Ok(Ok(Value::Table(table)))
    }

    fn map(&mut self, len: usize, depth: u32) -> Read<Value> {
        if depth >= READ_DEPTH_MAX {
            return Ok(Err(Wrong::Format));
        }
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let key = attempt!(self.value(depth + 1)?);
            let value = attempt!(self.value(depth + 1)?);
            // What cannot be a key is the interpreter's error, as there.
            table.raw_set(key, value)?;
        }
        Ok(Ok(Value::Table(table)))
    }
}
