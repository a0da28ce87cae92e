//! The library `bit`: operations on 32 bits, as LuaJIT's (bitop.luajit.org) and so Redis' are.

use crate::number::number_of;
use crate::outcome::refuse;
use mlua::{Lua, MultiValue, Result, Table, Value};

/// The library's functions, by name; each returns its result, or the mark of [`refuse`] and what is wrong.
pub(crate) fn library(lua: &Lua) -> Result<Table> {
    let bit = lua.create_table()?;
    let one = |name: &'static str, op: fn(i32) -> i32| {
        add(lua, &bit, name, 1, move |numbers| f64::from(op(bits(numbers[0]))))
    };
    one("tobit", |x| x)?;
    one("bnot", |x| !x)?;
    one("bswap", i32::swap_bytes)?;
    let many = |name: &'static str, op: fn(i32, i32) -> i32| {
        add(lua, &bit, name, 1, move |numbers| {
            let (first, rest) = numbers.split_first().unwrap_or((&0.0, &[]));
            f64::from(rest.iter().fold(bits(*first), |all, next| op(all, bits(*next))))
        })
    };
    many("band", |a, b| a & b)?;
    many("bor", |a, b| a | b)?;
    many("bxor", |a, b| a ^ b)?;
    // Only the lowest five bits of a distance count.
    let shift = |name: &'static str, op: fn(i32, u32) -> i32| {
        add(lua, &bit, name, 2, move |numbers| {
            f64::from(op(bits(numbers[0]), bits(numbers[1]).cast_unsigned() & 31))
        })
    };
    shift("lshift", |x, by| x << by)?;
    shift("rshift", |x, by| (x.cast_unsigned() >> by).cast_signed())?;
    shift("arshift", |x, by| x >> by)?;
    shift("rol", i32::rotate_left)?;
    shift("ror", i32::rotate_right)?;
    let hex = |lua: &Lua, values: MultiValue| match numbers_of("tohex", &values, 1) {
        Ok(numbers) => {
            let text = hexadecimal(numbers[0], numbers.get(1).copied());
            Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(text)?)]))
        }
        Err(wrong) => refuse(lua, &wrong),
    };
    bit.raw_set("tohex", lua.create_function(hex)?)?;
    Ok(bit)
}

/// Adds a function of at least so many numbers.
fn add(
    lua: &Lua,
    bit: &Table,
    name: &'static str,
    least: usize,
    op: impl Fn(&[f64]) -> f64 + 'static,
) -> Result<()> {
    let function = move |lua: &Lua, values: MultiValue| match numbers_of(name, &values, least) {
        Ok(numbers) => Ok(MultiValue::from_vec(vec![Value::Number(op(&numbers))])),
        Err(wrong) => refuse(lua, &wrong),
    };
    bit.raw_set(name, lua.create_function(function)?)
}

fn numbers_of(name: &str, values: &MultiValue, least: usize) -> std::result::Result<Vec<f64>, String> {
    let mut numbers = Vec::with_capacity(values.len().max(least));
    for at in 0..values.len().max(least) {
        let value = values.get(at);
        match value.and_then(number_of) {
            Some(number) => numbers.push(number),
            None => {
                let got = value.map_or("no value", Value::type_name);
                return Err(format!("bad argument #{} to '{name}' (number expected, got {got})", at + 1));
            }
        }
    }
    Ok(numbers)
}

/// A number's value modulo 2^32, halves to even.
fn bits(x: f64) -> i32 {
    // What lies beyond the integers that a double holds exactly comes out as the library's own trick has it: any.
    let rounded = x.round_ties_even() % 4_294_967_296.0;
    if rounded.is_finite() { (rounded as i64) as i32 } else { 0 }
}

/// The last digits of it; a negative count asks for upper case.
fn hexadecimal(x: f64, digits: Option<f64>) -> String {
    let count = digits.map_or(8, bits);
    let shown = usize::try_from(count.unsigned_abs().min(8)).unwrap_or(8);
    let value = bits(x).cast_unsigned();
    let text = if count < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    text[8 - shown..].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_wrap_around_at_32_bits() {
        assert_eq!(bits(4_294_967_295.0), -1);
        assert_eq!(bits(2_147_483_648.0), i32::MIN);
        assert_eq!(bits(-1.0), -1);
        assert_eq!(bits(2.5), 2);
        assert_eq!(bits(3.5), 4);
        assert_eq!(bits(f64::NAN), 0);
        assert_eq!(hexadecimal(-1.0, Some(-4.0)), "FFFF");
        assert_eq!(hexadecimal(255.0, None), "000000ff");
    }
}
