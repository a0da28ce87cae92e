//! The functions on strings that the interpreter's own are replaced by: what they do takes a bounded time between two
//! questions whether to go on, and what they make has a bounded size.

use crate::outcome::refuse;
use crate::pattern::{Anchors, Capture, Failure, Found, Matcher};
use crate::shared::Shared;
use mlua::{Lua, MultiValue, Result, Table, Value};
use std::rc::Rc;

/// Sets them in the host's table.
pub(crate) fn functions(lua: &Lua, host: &Table, shared: &Rc<Shared>) -> Result<()> {
    let mine = Rc::clone(shared);
    let find =
        move |lua: &Lua, (text, pattern, init, plain): (mlua::LuaString, mlua::LuaString, f64, bool)| {
            let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
            let from = start_of(init, text.len());
            mine.worked(lua, text.len() - from)?;
            if plain || !pattern.iter().any(|byte| b"^$*+?.([%-".contains(byte)) {
                return Ok(match found_plain(&text[from..], &pattern) {
                    Some(at) => numbers(from + at + 1, from + at + pattern.len()),
                    None => MultiValue::from_vec(vec![Value::Nil]),
                });
            }
            answer(lua, &mine, &text, &pattern, from, Anchors::Heeded, |found| {
                let mut values = numbers(found.start + 1, found.end);
                values.extend(captures(lua, &text, &found.captures)?);
                Ok(values)
            })
        };
    host.raw_set("find", lua.create_function(find)?)?;
    let mine = Rc::clone(shared);
    let first = move |lua: &Lua, (text, pattern, init): (mlua::LuaString, mlua::LuaString, f64)| {
        let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
        let from = start_of(init, text.len());
        answer(lua, &mine, &text, &pattern, from, Anchors::Heeded, |found| {
            whole_or_captures(lua, &text, &found).map(MultiValue::from_vec)
        })
    };
    host.raw_set("match", lua.create_function(first)?)?;
    let mine = Rc::clone(shared);
    let from =
        move |lua: &Lua, (text, pattern, at, literal): (mlua::LuaString, mlua::LuaString, f64, bool)| {
            let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
            let from = at as usize - 1;
            let anchors = if literal { Anchors::Literal } else { Anchors::Heeded };
            answer(lua, &mine, &text, &pattern, from, anchors, |found| {
                let mut values = numbers(found.start + 1, found.end);
                values.extend(whole_or_captures(lua, &text, &found)?);
                Ok(values)
            })
        };
    host.raw_set("match_from", lua.create_function(from)?)?;
    let mine = Rc::clone(shared);
    let replaced =
        move |lua: &Lua,
              (text, pattern, by, most): (mlua::LuaString, mlua::LuaString, mlua::LuaString, f64)| {
            let (text, pattern, by) = (text.as_bytes(), pattern.as_bytes(), by.as_bytes());
            let most = if most < 0.0 { usize::MAX } else { most as usize };
            replace(lua, &mine, &text, &pattern, &by, most)
        };
    host.raw_set("replaced", lua.create_function(replaced)?)?;
    let mine = Rc::clone(shared);
    let rep = move |lua: &Lua, (text, times): (mlua::LuaString, f64)| {
        let text = text.as_bytes();
        let times = if times > 0.0 { times as usize } else { 0 };
        match text.len().checked_mul(times) {
            Some(bytes) if bytes <= mine.bytes_max.get() => {
                mine.worked(lua, bytes)?;
                let times = if text.is_empty() { 0 } else { times };
                Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(text.repeat(times))?)]))
            }
            _ => refuse(lua, "not enough memory"),
        }
    };
    host.raw_set("rep", lua.create_function(rep)?)
}

/// Lua's position as one from 0, within the text.
fn start_of(init: f64, len: usize) -> usize {
    let init = init as i64;
    let from_end = i64::try_from(len).unwrap_or(i64::MAX).saturating_add(init).saturating_add(1);
    let position = if init < 0 { from_end } else { init };
    usize::try_from(position - 1).unwrap_or(0).min(len)
}

fn found_plain(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let Some((first, rest)) = wanted.split_first() else { return Some(0) };
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| byte == first)?;
        if text[at + 1..].starts_with(rest) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn numbers(start: usize, end: usize) -> MultiValue {
    MultiValue::from_vec(vec![Value::Number(start as f64), Value::Number(end as f64)])
}

/// What the first match from a position on comes to.
fn answer(
    lua: &Lua,
    shared: &Rc<Shared>,
    text: &[u8],
    pattern: &[u8],
    from: usize,
    anchors: Anchors,
    values: impl FnOnce(Found) -> Result<MultiValue>,
) -> Result<MultiValue> {
    if from > text.len() {
        return Ok(MultiValue::from_vec(vec![Value::Nil]));
    }
    let mut go_on = || shared.tick(lua);
    match Matcher::new(text, pattern, &mut go_on).find(from, anchors) {
        Ok(Some(found)) if found.captures.contains(&Capture::Unfinished) => refuse(lua, UNFINISHED),
        Ok(Some(found)) => values(found),
        Ok(None) => Ok(MultiValue::from_vec(vec![Value::Nil])),
        Err(Failure::Malformed(wrong)) => refuse(lua, wrong),
        Err(Failure::Stopped(error)) => Err(error),
    }
}

const UNFINISHED: &str = "unfinished capture";

fn captures(lua: &Lua, text: &[u8], captures: &[Capture]) -> Result<Vec<Value>> {
    let value = |capture: &Capture| match *capture {
        Capture::Text { start, end } => lua.create_string(&text[start..end]).map(Value::String),
        Capture::Position(at) => Ok(Value::Number((at + 1) as f64)),
        Capture::Unfinished => Err(mlua::Error::runtime(UNFINISHED)),
    };
    captures.iter().map(value).collect()
}

fn whole_or_captures(lua: &Lua, text: &[u8], found: &Found) -> Result<Vec<Value>> {
    if found.captures.is_empty() {
        let Found { start, end, .. } = *found;
        return Ok(vec![Value::String(lua.create_string(&text[start..end])?)]);
    }
    captures(lua, text, &found.captures)
}

/// `gsub` by a text, in which `%1` stands for a capture.
fn replace(
    lua: &Lua,
    shared: &Rc<Shared>,
    text: &[u8],
    pattern: &[u8],
    by: &[u8],
    most: usize,
) -> Result<MultiValue> {
    let (mut out, mut at, mut done) = (Vec::new(), 0, 0_usize);
    let anchored = pattern.first() == Some(&b'^');
    while done < most && at <= text.len() {
        let mut go_on = || shared.tick(lua);
        let found = match Matcher::new(text, pattern, &mut go_on).find(at, Anchors::Heeded) {
            Ok(Some(found)) => found,
            Ok(None) => break,
            Err(Failure::Malformed(wrong)) => return refuse(lua, wrong),
            Err(Failure::Stopped(error)) => return Err(error),
        };
        done += 1;
        out.extend_from_slice(&text[at..found.start]);
        if let Err(wrong) = expand(text, by, &found, &mut out) {
            return refuse(lua, wrong);
        }
        at = found.end;
        if found.end == found.start {
            out.extend(text.get(at));
            at += 1;
        }
        if out.len() > shared.bytes_max.get() {
            return refuse(lua, "not enough memory");
        }
        if anchored {
            break;
        }
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    shared.worked(lua, out.len())?;
    Ok(MultiValue::from_vec(vec![Value::String(lua.create_string(&out)?), Value::Number(done as f64)]))
}

/// Appends what a match is replaced by, which may name a capture that there is not.
fn expand(text: &[u8], by: &[u8], found: &Found, out: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
    let mut bytes = by.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte);
            continue;
        }
        match bytes.next() {
            Some(b'0') => out.extend_from_slice(&text[found.start..found.end]),
            Some(digit @ b'1'..=b'9') => match found.captures.get(usize::from(digit - b'1')) {
                Some(Capture::Text { start, end }) => out.extend_from_slice(&text[*start..*end]),
                Some(Capture::Position(at)) => out.extend_from_slice((at + 1).to_string().as_bytes()),
                None if *digit == b'1' && found.captures.is_empty() => {
                    out.extend_from_slice(&text[found.start..found.end]);
                }
                Some(Capture::Unfinished) => return Err(UNFINISHED),
                None => return Err("invalid capture index"),
            },
            Some(other) => out.push(*other),
            None => {}
        }
    }
    Ok(())
}
