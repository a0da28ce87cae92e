//! The library `struct`, as Redis has it (Roberto Ierusalimschy's `struct` 0.2 of Redis' making): numbers and strings as C
//! lays them out.
//!
//! Formats: `>` `<` `=` and `!n` choose byte order and alignment; `b B h H l L T` and `i I` with a size are integers, `f` and
//! `d` floats, `s` a string that a 0 ends, `c` with a size characters, `x` a byte of 0, a blank nothing.

use crate::number::number_of;
use crate::outcome::refuse;
use mlua::{Lua, MultiValue, Result, Table, Value, Variadic};

/// As the library (`MAXINTSIZE`).
const INTEGER_MAX: usize = 32;
/// Of `!` without a number: that of the machines that this runs on.
const ALIGNMENT: usize = 8;

/// The library's functions, by name; each returns its results, or the mark of [`refuse`] and what is wrong.
pub(crate) fn library(lua: &Lua, bytes_max: usize) -> Result<Table> {
    let pack = move |lua: &Lua, (format, values): (mlua::LuaString, Variadic<Value>)| match pack(
        &format.as_bytes(),
        &values,
        bytes_max,
    ) {
        Ok(out) => Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(&out)?)])),
        Err(wrong) => refuse(lua, &wrong),
    };
    let unpack =
        |lua: &Lua, (format, text, position): (mlua::LuaString, mlua::LuaString, Option<i64>)| match unpack(
            lua,
            &format.as_bytes(),
            &text.as_bytes(),
            position.unwrap_or(1),
        ) {
            Ok(values) => Ok(MultiValue::from_vec(values?)),
            Err(wrong) => refuse(lua, &wrong),
        };
    let size = |lua: &Lua, format: mlua::LuaString| match size(&format.as_bytes()) {
        Ok(size) => Ok(MultiValue::from_vec(vec![Value::Number(size as f64)])),
        Err(wrong) => refuse(lua, &wrong),
    };
    let library = lua.create_table()?;
    library.raw_set("pack", lua.create_function(pack)?)?;
    library.raw_set("unpack", lua.create_function(unpack)?)?;
    library.raw_set("size", lua.create_function(size)?)?;
    Ok(library)
}

type Checked<T> = std::result::Result<T, String>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

#[derive(Clone, Copy)]
enum Item {
    Signed(usize),
    Unsigned(usize),
    Float,
    Double,
    /// `None`: as many as the text has.
    Characters(Option<usize>),
    Terminated,
    Padding,
    Nothing,
}

struct Format<'a> {
    /// The function that reads it: errors name it.
    of: &'static str,
    rest: &'a [u8],
    order: Order,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(of: &'static str, text: &'a [u8]) -> Self {
        Self { of, rest: text, order: Order::Little, align: 1 }
    }

    fn number(&mut self) -> Checked<Option<usize>> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Ok(None);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = number
            .iter()
            .try_fold(0_i32, |all, digit| all.checked_mul(10)?.checked_add(i32::from(digit - b'0')));
        number
            .and_then(|number| usize::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| "integral size overflow".to_owned())
    }

    fn integer_size(&mut self, default: usize) -> Checked<usize> {
        let size = self.number()?.unwrap_or(default);
        if size > INTEGER_MAX {
            return Err(format!("integral size {size} is larger than limit of {INTEGER_MAX}"));
        }
        Ok(size)
    }

    /// The next item; those that choose are taken as they come.
    fn next(&mut self) -> Checked<Option<Item>> {
        let Some((&option, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        let item = match option {
            b'b' => Item::Signed(1),
            b'B' => Item::Unsigned(1),
            b'h' => Item::Signed(2),
            b'H' => Item::Unsigned(2),
            b'l' => Item::Signed(8),
            b'L' | b'T' => Item::Unsigned(8),
            b'i' => Item::Signed(self.integer_size(4)?),
            b'I' => Item::Unsigned(self.integer_size(4)?),
            b'f' => Item::Float,
            b'd' | b'n' => Item::Double,
            b's' => Item::Terminated,
            b'c' => Item::Characters(match self.number()?.unwrap_or(1) {
                0 => None,
                count => Some(count),
            }),
            b'x' => Item::Padding,
            b' ' => Item::Nothing,
            b'>' => {
                self.order = Order::Big;
                Item::Nothing
            }
            b'<' | b'=' => {
                self.order = Order::Little;
                Item::Nothing
            }
            b'!' => {
                let align = self.number()?.unwrap_or(ALIGNMENT);
                if align == 0 || !align.is_power_of_two() {
                    return Err(format!("alignment {align} is not a power of 2"));
                }
                self.align = align;
                Item::Nothing
            }
            other => {
                let (of, other) = (self.of, char::from(other));
                return Err(format!("bad argument #1 to '{of}' (invalid format option '{other}')"));
            }
        };
        Ok(Some(item))
    }

    /// The bytes between what ends at `total` and an item.
    fn gap(&self, item: Item, total: usize) -> usize {
        let size = match item {
            Item::Signed(size) | Item::Unsigned(size) => size,
            Item::Float => 4,
            Item::Double => 8,
            Item::Characters(_) | Item::Terminated | Item::Padding | Item::Nothing => return 0,
        };
        let align = size.min(self.align);
        if align <= 1 { 0 } else { (align - (total & (align - 1))) & (align - 1) }
    }
}

fn pack(format: &[u8], values: &[Value], bytes_max: usize) -> Checked<Vec<u8>> {
    let mut format = Format::new("pack", format);
    let mut out = Vec::new();
    let mut values = values.iter().enumerate();
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.gap(item, out.len()), 0);
        let mut number = || {
            let (at, value) = values.next().map_or((0, &Value::Nil), |(at, value)| (at, value));
            value.as_number().or_else(|| number_of(value)).ok_or_else(|| expected(at, "number", value))
        };
        match item {
            Item::Signed(size) | Item::Unsigned(size) => {
                let number = number()?;
                let bits = if number < 0.0 { (number as i64).cast_unsigned() } else { number as u64 };
                let bytes = (0..size).map(|at| if at < 8 { (bits >> (8 * at)) as u8 } else { 0 });
                match format.order {
                    Order::Little => out.extend(bytes),
                    Order::Big => out.extend(bytes.rev()),
                }
            }
            Item::Float => match format.order {
                Order::Little => out.extend_from_slice(&(number()? as f32).to_le_bytes()),
                Order::Big => out.extend_from_slice(&(number()? as f32).to_be_bytes()),
            },
            Item::Double => match format.order {
                Order::Little => out.extend_from_slice(&number()?.to_le_bytes()),
                Order::Big => out.extend_from_slice(&number()?.to_be_bytes()),
            },
            Item::Characters(_) | Item::Terminated => {
                let (at, value) = values.next().map_or((0, &Value::Nil), |(at, value)| (at, value));
                let text = value.as_string().map(|text| text.as_bytes().to_vec());
                let text =
                    text.or_else(|| number_of(value).map(|n| crate::number::general(n, 14).into_bytes()));
                let text = text.ok_or_else(|| expected(at, "string", value))?;
                let count = match item {
                    Item::Characters(Some(count)) => count,
                    _ => text.len(),
                };
                let taken = text
                    .get(..count)
                    .ok_or_else(|| format!("bad argument #{} to 'pack' (string too short)", at + 3))?;
                out.extend_from_slice(taken);
                if matches!(item, Item::Terminated) {
                    out.push(0);
                }
            }
            Item::Padding => out.push(0),
            Item::Nothing => {}
        }
        if out.len() > bytes_max {
            return Err("not enough memory".to_owned());
        }
    }
    Ok(out)
}

fn expected(at: usize, kind: &str, value: &Value) -> String {
    format!("bad argument #{} to 'pack' ({kind} expected, got {})", at + 2, value.type_name())
}

fn unpack(lua: &Lua, format: &[u8], text: &[u8], position: i64) -> Checked<Result<Vec<Value>>> {
    let mut format = Format::new("unpack", format);
    let start = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
    let mut at = start.ok_or("bad argument #3 to 'unpack' (offset must be 1 or greater)")?;
    let mut values: Vec<Value> = Vec::new();
    while let Some(item) = format.next()? {
        at += format.gap(item, at);
        let short = || "bad argument #2 to 'unpack' (data string too short)".to_owned();
        let mut take = |size: usize| {
            let taken = at.checked_add(size).and_then(|end| text.get(at..end)).ok_or_else(short)?;
            at += size;
            Ok::<&[u8], String>(taken)
        };
        if values.len() >= VALUES_MAX {
            return Err("too many results to unpack".to_owned());
        }
        match item {
            Item::Signed(size) | Item::Unsigned(size) => {
                let bytes = take(size)?;
                let fold = |all: u64, byte: &u8| all << 8 | u64::from(*byte);
                let bits = match format.order {
                    Order::Little => bytes.iter().rev().fold(0, fold),
                    Order::Big => bytes.iter().fold(0, fold),
                };
                values.push(Value::Number(match item {
                    Item::Signed(size) if size < 8 && size > 0 => {
                        let unused = 64 - 8 * size;
                        ((bits << unused).cast_signed() >> unused) as f64
                    }
                    Item::Signed(_) => bits.cast_signed() as f64,
                    _ => bits as f64,
                }));
            }
            Item::Float => {
                let bytes: [u8; 4] = take(4)?.try_into().unwrap_or_default();
                values.push(Value::Number(f64::from(match format.order {
                    Order::Little => f32::from_le_bytes(bytes),
                    Order::Big => f32::from_be_bytes(bytes),
                })));
            }
            Item::Double => {
                let bytes: [u8; 8] = take(8)?.try_into().unwrap_or_default();
                values.push(Value::Number(match format.order {
                    Order::Little => f64::from_le_bytes(bytes),
                    Order::Big => f64::from_be_bytes(bytes),
                }));
            }
            Item::Characters(count) => {
                let count = match count {
                    Some(count) => count,
                    // The number before it says how many.
                    None => match values.pop() {
                        Some(Value::Number(count)) if count >= 0.0 => count as usize,
                        _ => return Err("format 'c0' needs a previous size".to_owned()),
                    },
                };
                match lua.create_string(take(count)?) {
                    Ok(text) => values.push(Value::String(text)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Item::Terminated => {
                let rest = text.get(at..).unwrap_or_default();
                let Some(len) = rest.iter().position(|byte| *byte == 0) else {
                    return Err("unfinished string in data".to_owned());
                };
                match lua.create_string(&rest[..len]) {
                    Ok(text) => values.push(Value::String(text)),
                    Err(error) => return Ok(Err(error)),
                }
                at += len + 1;
            }
            Item::Padding => {
                take(1)?;
            }
            Item::Nothing => {}
        }
    }
    values.push(Value::Number((at + 1) as f64));
    Ok(Ok(values))
}

/// As many as fit Lua's stack beside what is there.
const VALUES_MAX: usize = 7_900;

fn size(format: &[u8]) -> Checked<usize> {
    let mut format = Format::new("size", format);
    let mut total = 0_usize;
    while let Some(item) = format.next()? {
        total += format.gap(item, total);
        total += match item {
            Item::Signed(size) | Item::Unsigned(size) => size,
            Item::Float => 4,
            Item::Double => 8,
            Item::Characters(Some(count)) => count,
            Item::Characters(None) => {
                return Err("bad argument #1 to 'size' (option 'c0' has no fixed size)".to_owned());
            }
            Item::Terminated => {
                return Err("bad argument #1 to 'size' (option 's' has no fixed size)".to_owned());
            }
            Item::Padding => 1,
            Item::Nothing => 0,
        };
    }
    Ok(total)
}
