//! The interpreter of a node, the scripts that it knows, and one of them as it runs.
//!
//! *Invariant:* one script at a time; [`Engine::start`] refuses a second one.
//! *Invariant:* what the interpreter takes is bounded: beyond that a script fails, and nothing else does.

use crate::fiber::{Fiber, Resumed};
use crate::host::{self, compile_error};
use crate::reply::from_lua;
use crate::sha1::sha1_hex;
use crate::shared::{CHUNK, LIBRARY, Pace, Place, Shared};
use crate::shebang::{self, BadShebang, Flags};
use crate::step::{Answer, Ending, Step};
use corosensei::stack::DefaultStack;
use ironcache_resp::{Protocol, Writer};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is kept of scripts: their number and their text. Clients load anew what was dropped, as after a restart.
pub const SCRIPTS_MAX: usize = 4_096;
pub const SCRIPT_BYTES_MAX: usize = 32 << 20;
/// Garbage of this size is collected at the end of a script: smaller is left to the interpreter's own pace, larger would stay.
const LEFT_BYTES_MAX: usize = 16 << 20;

/// What an interpreter is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// Of the interpreter with all scripts, and of what a script makes outside of it in one go.
    pub memory_bytes_max: usize,
    /// As `redis.REDIS_VERSION` tells it.
    pub redis_version: &'a str,
    /// Of `math.random`.
    pub seed: u32,
}

/// Why there is no script, or no interpreter. `Display` is the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoScript {
    #[error(transparent)]
    Shebang(#[from] BadShebang),
    #[error("ERR Error compiling script (new function): {message}")]
    Syntax { message: String },
    #[error("ERR not enough memory for the script")]
    Memory,
    #[error("ERR no interpreter: {why}")]
    Interpreter { why: String },
    /// One runs already.
    #[error("BUSY Redis is busy running a script.")]
    Busy,
}

/// A script that was compiled.
pub struct Script {
    pub sha: String,
    pub flags: Flags,
    function: Function,
    bytes: usize,
    /// When it was asked for last, in loads and runs.
    used: Cell<u64>,
}

pub struct Engine {
    lua: Lua,
    shared: Rc<Shared>,
    /// What scripts see, which is empty, and what it shows.
    seen: Table,
    globals: Table,
    run: Function,
    scripts: BTreeMap<String, Rc<Script>>,
    bytes: usize,
    uses: u64,
    /// Of a script that has ended, for the next one.
    stack: Rc<Cell<Option<DefaultStack>>>,
}

impl Engine {
    /// # Errors
    /// The machine has not the memory, or the bound is too small for the interpreter itself.
    pub fn new(setup: Setup<'_>) -> Result<Self, NoScript> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let made = (|| {
            let lua = Lua::new_with(libraries, LuaOptions::new())?;
            lua.set_memory_limit(setup.memory_bytes_max)?;
            let shared = Shared::new(setup.memory_bytes_max, setup.seed);
            let compiled_see = Rc::new(RefCell::new(None));
            let host = host::table(&lua, &shared, &compiled_see, setup.redis_version)?;
            let prelude = lua.load(include_str!("prelude.lua")).set_name(LIBRARY).set_mode(ChunkMode::Text);
            let (seen, globals, run) = prelude.call::<(Table, Table, Function)>(host)?;
            *compiled_see.borrow_mut() = Some(seen.clone());
            shared.set_hook(&lua)?;
            Ok::<_, mlua::Error>((lua, shared, seen, globals, run))
        })();
        let (lua, shared, seen, globals, run) =
            made.map_err(|error| NoScript::Interpreter { why: error.to_string() })?;
        let (scripts, stack) = (BTreeMap::new(), Rc::default());
        Ok(Self { lua, shared, seen, globals, run, scripts, bytes: 0, uses: 0, stack })
    }

    /// What the interpreter takes, with all that it keeps.
    pub fn used_bytes(&self) -> usize {
        self.lua.used_memory()
    }

    pub fn set_memory_bytes_max(&mut self, bytes: usize) {
        self.shared.bytes_max.set(bytes);
        // It is our own allocator: there is one to be told.
        let _ = self.lua.set_memory_limit(bytes);
    }

    pub fn scripts(&self) -> usize {
        self.scripts.len()
    }

    pub fn script_bytes(&self) -> usize {
        self.bytes
    }

    /// The script of this text; it is known from here on.
    ///
    /// # Errors
    /// It is none.
    pub fn load(&mut self, body: &[u8]) -> Result<Rc<Script>, NoScript> {
        let sha = sha1_hex(body);
        if let Some(script) = self.get(sha.as_bytes()) {
            return Ok(script);
        }
        let (flags, text) = shebang::read(body)?;
        let compile = || {
            let chunk = self.lua.load(text).set_name(CHUNK).set_mode(ChunkMode::Text);
            chunk.set_environment(self.seen.clone()).into_function()
        };
        let function = self.with_room(compile);
        let function = function.map_err(|error| match error {
            mlua::Error::MemoryError(_) => NoScript::Memory,
            error => NoScript::Syntax { message: compile_error(&error) },
        })?;
        self.make_room(body.len());
        self.uses += 1;
        let used = Cell::new(self.uses);
        let script = Rc::new(Script { sha: sha.clone(), flags, function, bytes: body.len(), used });
        self.bytes += body.len();
        self.scripts.insert(sha, Rc::clone(&script));
        Ok(script)
    }

    /// What fails for want of memory is tried again without the garbage of earlier scripts.
    fn with_room<T>(&self, make: impl Fn() -> mlua::Result<T>) -> mlua::Result<T> {
        match make() {
            Err(mlua::Error::MemoryError(_)) => {
                self.lua.gc_collect()?;
                make()
            }
            made => made,
        }
    }

    /// Drops those that nobody asked for for longest.
    fn make_room(&mut self, bytes: usize) {
        while self.scripts.len() >= SCRIPTS_MAX || (self.bytes + bytes > SCRIPT_BYTES_MAX && self.bytes > 0) {
            let oldest = self.scripts.values().min_by_key(|script| script.used.get());
            let Some(oldest) = oldest.map(|script| script.sha.clone()) else { return };
            if let Some(script) = self.scripts.remove(&oldest) {
                self.bytes -= script.bytes;
            }
        }
    }

    /// The script of this digest, whose letters may be capital ones.
    pub fn get(&mut self, sha: &[u8]) -> Option<Rc<Script>> {
        let sha = std::str::from_utf8(sha).ok()?.to_ascii_lowercase();
        let script = self.scripts.get(&sha)?;
        self.uses += 1;
        script.used.set(self.uses);
        Some(Rc::clone(script))
    }

    pub fn exists(&self, sha: &[u8]) -> bool {
        std::str::from_utf8(sha).is_ok_and(|sha| self.scripts.contains_key(&sha.to_ascii_lowercase()))
    }

    /// Forgets all of them.
    pub fn flush(&mut self) {
        self.scripts.clear();
        self.bytes = 0;
        // Whatever is not collected now will be.
        let _ = self.lua.gc_collect();
    }

    /// A run of a script, which begins when it is resumed. Its client is answered in the protocol `client`, in at most
    /// `reply_bytes_max`.
    ///
    /// # Errors
    /// One runs already, or its arguments do not fit the memory.
    pub fn start(
        &mut self,
        script: &Rc<Script>,
        keys: &[&[u8]],
        args: &[&[u8]],
        client: Protocol,
        reply_bytes_max: usize,
    ) -> Result<Running, NoScript> {
        if self.shared.running.get() {
            return Err(NoScript::Busy);
        }
        let named = [("KEYS", keys), ("ARGV", args)];
        for (name, words) in named {
            let set = || {
                let table = self.lua.create_table_with_capacity(words.len(), 0)?;
                for (at, word) in words.iter().enumerate() {
                    table.raw_set(at + 1, self.lua.create_string(word)?)?;
                }
                self.globals.raw_set(name, table)
            };
            self.with_room(set).map_err(|_| NoScript::Memory)?;
        }
        let stack = match self.stack.take() {
            Some(stack) => stack,
            None => Fiber::stack().map_err(|error| NoScript::Interpreter { why: error.to_string() })?,
        };
        self.shared.begin();
        let (lua, run, shared) = (self.lua.clone(), self.run.clone(), Rc::clone(&self.shared));
        let script = Rc::clone(script);
        let port = Rc::clone(&self.shared.port);
        let fiber =
            Fiber::new(stack, port, move || reply_of(&lua, &run, &script, &shared, client, reply_bytes_max));
        Ok(Running {
            fiber: Some(fiber),
            lua: self.lua.clone(),
            shared: Rc::clone(&self.shared),
            stack: Rc::clone(&self.stack),
        })
    }
}

/// Runs a script to its end, on the fiber's stack.
fn reply_of(
    lua: &Lua,
    run: &Function,
    script: &Script,
    shared: &Rc<Shared>,
    client: Protocol,
    bytes_max: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    let outcome = run.call::<(bool, Value)>(&script.function);
    let failed = match outcome {
        Ok((true, result)) => {
            let pace = Pace { lua, shared, steps: 0 };
            let chosen = shared.protocol.get();
            match from_lua(&result, chosen, bytes_max, &mut out, client, pace) {
                Ok(()) => return out,
                Err(error) => Failed { text: format!("ERR {}", compile_error(&error)), place: None },
            }
        }
        Ok((false, Value::Table(error))) => Failed {
            text: match error.raw_get::<mlua::LuaString>("err") {
                Ok(text) => text.to_string_lossy(),
                Err(_) => "ERR not enough memory".to_owned(),
            },
            place: error.raw_get("source").ok().zip(error.raw_get("line").ok()),
        },
        // The interpreter had no memory, or no stack, for the table.
        Ok((false, error)) => {
            let text = error.to_string().unwrap_or_else(|_| "not enough memory".to_owned());
            Failed { text: format!("ERR {text}"), place: None }
        }
        Err(error) => Failed { text: format!("ERR {}", compile_error(&error)), place: None },
    };
    let failed = match &*shared.ending.borrow() {
        Some((ending, place)) => Failed { text: ending.to_string(), place: place.clone() },
        None => failed,
    };
    out.clear();
    let sha = &script.sha;
    let place = failed.place.map_or(String::new(), |(source, line)| format!(", on {source}:{line}"));
    Writer::new(&mut out, client).error(&format!("{} script: {sha}{place}.", failed.text));
    out
}

struct Failed {
    text: String,
    place: Option<Place>,
}

/// A script that runs, or is about to.
pub struct Running {
    /// `None` once it is at its end.
    fiber: Option<Fiber>,
    lua: Lua,
    shared: Rc<Shared>,
    stack: Rc<Cell<Option<DefaultStack>>>,
}

/// What became of it when it was resumed.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Asks(Step),
    /// It has ended; what its client is answered.
    Done(Vec<u8>),
}

impl Running {
    /// Goes on, at first with [`Answer::GoOn`], until it asks something or ends. One that has ended stays so.
    pub fn resume(&mut self, answer: Answer) -> Progress {
        let Some(fiber) = &mut self.fiber else { return Progress::Done(Vec::new()) };
        match fiber.resume(answer) {
            Resumed::Asks(step) => Progress::Asks(step),
            Resumed::Done(reply) => {
                self.finish();
                Progress::Done(reply)
            }
        }
    }

    fn finish(&mut self) {
        if let Some(stack) = self.fiber.take().and_then(Fiber::into_stack) {
            self.stack.set(Some(stack));
        }
        self.shared.running.set(false);
        if self.shared.ending.take().is_some() {
            // Hooks that end whatever runs are those of the script that was ended.
            let _ = self.shared.set_hook(&self.lua);
        }
        // Of a small bound a part: the next script has room to begin.
        if self.lua.used_memory() > LEFT_BYTES_MAX.min(self.shared.bytes_max.get() / 4) {
            let _ = self.lua.gc_collect();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its frames return: whatever it asks is answered by its end.
        while self.fiber.as_ref().is_some_and(Fiber::is_under_way) {
            self.resume(Answer::End(Ending::Dropped));
        }
        if self.fiber.is_some() {
            self.finish();
        }
    }
}
