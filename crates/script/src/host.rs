//! The functions of the prelude's `host`: `redis.call`, and what else the interpreter cannot do itself.

use crate::number::general;
use crate::outcome::mark;
use crate::reply::to_lua;
use crate::sha1::sha1_hex;
use crate::shared::{Shared, place};
use crate::step::{LogLevel, Step};
use crate::{bit, json, msgpack, pack, registry, relay, text};
use ironcache_resp::{Protocol, parse_value};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, MultiValue, Result, Table, Value};
use std::cell::RefCell;
use std::rc::Rc;

/// Makes the table. `seen` will hold the globals that compiled text sees, once the prelude has made them.
pub(crate) fn table(
    lua: &Lua,
    shared: &Rc<Shared>,
    seen: &Rc<RefCell<Option<Table>>>,
    redis_version: &str,
) -> Result<Table> {
    let host = lua.create_table()?;
    host.raw_set("wrong", mark())?;
    host.raw_set("redis_version", redis_version)?;
    host.raw_set("redis_version_num", version_number(redis_version))?;
    let mine = Rc::clone(shared);
    host.raw_set("call", lua.create_function(move |lua, args: MultiValue| call(lua, &mine, &args))?)?;
    let mine = Rc::clone(shared);
    host.raw_set("may_call", lua.create_function(move |lua, args: MultiValue| may_call(lua, &mine, &args))?)?;
    let mine = Rc::clone(shared);
    let log = move |lua: &Lua, (level, text): (i64, mlua::LuaString)| {
        let level = match level {
            0 => LogLevel::Debug,
            1 => LogLevel::Verbose,
            2 => LogLevel::Notice,
            _ => LogLevel::Warning,
        };
        mine.ask(lua, Step::Log { level, text: text.to_string_lossy() }).map(|_| ())
    };
    host.raw_set("log", lua.create_function(log)?)?;
    let mine = Rc::clone(shared);
    let setresp = move |_: &Lua, version: i64| {
        mine.protocol.set(if version == 3 { Protocol::Resp3 } else { Protocol::Resp2 });
        Ok(())
    };
    host.raw_set("setresp", lua.create_function(setresp)?)?;
    let mine = Rc::clone(shared);
    let random = move |_: &Lua, ()| {
        const MOST: u32 = i32::MAX.cast_unsigned();
        Ok(f64::from(mine.next_random() % MOST) / f64::from(MOST))
    };
    host.raw_set("random", lua.create_function(random)?)?;
    let mine = Rc::clone(shared);
    let seed = move |_: &Lua, seed: f64| {
        mine.seed((seed as i64) as u32);
        Ok(())
    };
    host.raw_set("randomseed", lua.create_function(seed)?)?;
    let mine = Rc::clone(shared);
    let digest = move |lua: &Lua, text: mlua::LuaString| {
        // Ten times as slow as what only walks bytes.
        mine.worked(lua, text.as_bytes().len().saturating_mul(10))?;
        Ok(sha1_hex(&text.as_bytes()))
    };
    host.raw_set("sha1hex", lua.create_function(digest)?)?;
    host.raw_set("place", lua.create_function(|lua, ()| Ok(place(lua).unzip()))?)?;
    host.raw_set("text", lua.create_function(|_, value: Value| Ok(error_text(&value)))?)?;
    let seen = Rc::clone(seen);
    let compile = move |lua: &Lua, (text, name): (mlua::LuaString, mlua::LuaString)| {
        let chunk = lua.load(text.as_bytes().to_vec()).set_mode(ChunkMode::Text);
        // A name with a 0 in it is none in C.
        let chunk = chunk.set_name(name.to_string_lossy().replace('\0', " "));
        let environment = seen.borrow().clone();
        let chunk = match environment {
            Some(environment) => chunk.set_environment(environment),
            None => return Err(mlua::Error::runtime("the globals are made before any script")),
        };
        match chunk.into_function() {
            Ok(function) => Ok((Value::Function(function), None)),
            Err(error) => Ok((Value::Nil, Some(compile_error(&error)))),
        }
    };
    host.raw_set("compile", lua.create_function(compile)?)?;
    let mine = Rc::clone(shared);
    host.raw_set("json", lua.create_function(move |lua, ()| json::library(lua, &mine))?)?;
    host.raw_set("msgpack", msgpack::library(lua, shared)?)?;
    host.raw_set("struct", pack::library(lua, shared.bytes_max.get())?)?;
    host.raw_set("bit", bit::library(lua)?)?;
    host.raw_set("c", lua.create_function(|lua, inner: Function| relay::of(lua, inner))?)?;
    text::functions(lua, &host, shared)?;
    registry::functions(lua, &host, shared)?;
    Ok(host)
}

/// 7.0.15 is 0x0007000f.
fn version_number(version: &str) -> u32 {
    version.split('.').fold(0, |all, part| all << 8 | part.parse::<u32>().unwrap_or(0))
}

/// What is wrong with a text that does not compile.
pub(crate) fn compile_error(error: &mlua::Error) -> String {
    match error {
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    }
}

/// The text of an error that a function of ours met, without the calls that led there.
fn error_text(value: &Value) -> String {
    let Value::Error(error) = value else {
        return value.to_string().unwrap_or_else(|_| value.type_name().to_owned());
    };
    let mut error: &mlua::Error = error;
    while let mlua::Error::CallbackError { cause, .. } = error {
        error = cause;
    }
    match error {
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// A value, or `nil` and the text of an error.
type OrError = (Value, Option<mlua::LuaString>);

fn refused(lua: &Lua, text: &str) -> Result<OrError> {
    Ok((Value::Nil, Some(lua.create_string(text)?)))
}

/// `redis.call`.
fn call(lua: &Lua, shared: &Rc<Shared>, args: &MultiValue) -> Result<OrError> {
    let args = match words(shared, args) {
        Ok(args) => args,
        Err(why) => return refused(lua, why),
    };
    let protocol = shared.protocol.get();
    let Some(reply) = shared.ask(lua, Step::Call { args, protocol })? else {
        return refused(lua, "ERR redis.call is for scripts that run");
    };
    match parse_value(&reply) {
        Ok(Some((reply, _))) => match to_lua(lua, reply, protocol)? {
            Ok(value) => Ok((value, None)),
            Err(text) => refused(lua, &text),
        },
        Ok(None) | Err(_) => refused(lua, "ERR the reply is none that a script can read"),
    }
}

/// `redis.acl_check_cmd`.
fn may_call(lua: &Lua, shared: &Rc<Shared>, args: &MultiValue) -> Result<OrError> {
    let args = match words(shared, args) {
        Ok(args) => args,
        Err(why) => return refused(lua, why),
    };
    match shared.ask(lua, Step::MayCall { args })?.as_deref() {
        Some(b":1\r\n") => Ok((Value::Boolean(true), None)),
        Some(b":0\r\n") => Ok((Value::Boolean(false), None)),
        Some(_) | None => refused(lua, "ERR Invalid command passed to redis.acl_check_cmd()"),
    }
}

/// A command as its caller is given it.
fn words(shared: &Shared, args: &MultiValue) -> std::result::Result<Vec<Vec<u8>>, &'static str> {
    if args.is_empty() {
        return Err("ERR Please specify at least one argument for this redis lib call");
    }
    let mut bytes = 0_usize;
    let mut words = Vec::with_capacity(args.len());
    for arg in args.iter() {
        let word = match arg {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Integer(number) if number.unsigned_abs() < 1 << 53 => number.to_string().into_bytes(),
            Value::Integer(number) => general(*number as f64, 17).into_bytes(),
            Value::Number(number) => general(*number, 17).into_bytes(),
            _ => return Err("ERR Lua redis lib command arguments must be strings or integers"),
        };
        bytes = bytes.saturating_add(word.len());
        if bytes > shared.bytes_max.get() {
            return Err("ERR not enough memory for the arguments of a command");
        }
        words.push(word);
    }
    Ok(words)
}
