//! An interpreter with what its scripts see, and one of them as it runs.
//!
//! *Invariant:* one script at a time: a second one is refused.
//! *Invariant:* what the interpreter takes is bounded: beyond that a script fails, and nothing else does.

use crate::fiber::{Fiber, Resumed};
use crate::host::{self, compile_error};
use crate::reply::from_lua;
use crate::shared::{LIBRARY, Pace, Place, Shared};
use crate::shebang::BadShebang;
use crate::step::{Answer, Ending, Step};
use corosensei::stack::DefaultStack;
use ironcache_resp::{Protocol, Writer};
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

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

/// Of what an interpreter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Scripts,
    Functions,
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

pub(crate) struct Interpreter {
    pub lua: Lua,
    pub shared: Rc<Shared>,
    /// What scripts see, which is empty, and what it shows.
    seen: Table,
    pub globals: Table,
    /// Shows a library that is loaded what it may see then (`true`), or a function what it may.
    pub show: Function,
    pub run: Function,
    /// Of a script that has ended, for the next one.
    stack: Rc<Cell<Option<DefaultStack>>>,
}

impl Interpreter {
    /// # Errors
    /// The machine has not the memory, or the bound is too small for the interpreter itself.
    pub(crate) fn new(setup: Setup<'_>, of: Of) -> Result<Self, NoScript> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let made = (|| {
            let lua = Lua::new_with(libraries, LuaOptions::new())?;
            lua.set_memory_limit(setup.memory_bytes_max)?;
            let shared = Shared::new(setup.memory_bytes_max, setup.seed);
            let compiled_see = Rc::new(RefCell::new(None));
            let host = host::table(&lua, &shared, &compiled_see, setup.redis_version)?;
            host.raw_set("of_functions", of == Of::Functions)?;
            let prelude = lua.load(include_str!("prelude.lua")).set_name(LIBRARY).set_mode(ChunkMode::Text);
            let (seen, globals, run, show) = prelude.call::<(Table, Table, Function, Function)>(host)?;
            *compiled_see.borrow_mut() = Some(seen.clone());
            shared.set_hook(&lua)?;
            Ok::<_, mlua::Error>(Self { lua, shared, seen, globals, show, run, stack: Rc::default() })
        })();
        made.map_err(|error| NoScript::Interpreter { why: error.to_string() })
    }

    pub(crate) fn set_memory_bytes_max(&self, bytes: usize) {
        self.shared.bytes_max.set(bytes);
        // It is our own allocator: there is one to be told.
        let _ = self.lua.set_memory_limit(bytes);
    }

    /// What is compiled under this name.
    pub(crate) fn compile(&self, text: &[u8], name: &str) -> mlua::Result<Function> {
        self.with_room(|| {
            let chunk = self.lua.load(text).set_name(name).set_mode(ChunkMode::Text);
            chunk.set_environment(self.seen.clone()).into_function()
        })
    }

    /// What fails for want of memory is tried again without the garbage of earlier scripts.
    pub(crate) fn with_room<T>(&self, make: impl Fn() -> mlua::Result<T>) -> mlua::Result<T> {
        match make() {
            Err(mlua::Error::MemoryError(_)) => {
                self.lua.gc_collect()?;
                make()
            }
            made => made,
        }
    }

    pub(crate) fn words(&self, words: &[&[u8]]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(words.len(), 0)?;
        for (at, word) in words.iter().enumerate() {
            table.raw_set(at + 1, self.lua.create_string(word)?)?;
        }
        Ok(table)
    }

    /// A run of it, which begins when it is resumed. Its client is answered in the protocol `client`, in at most
    /// `reply_bytes_max`.
    ///
    /// # Errors
    /// The machine has no memory for its stack.
    pub(crate) fn start(
        &self,
        subject: Subject,
        client: Protocol,
        reply_bytes_max: usize,
    ) -> Result<Running, NoScript> {
        let (lua, run, shared) = (self.lua.clone(), self.run.clone(), Rc::clone(&self.shared));
        self.fiber(move || reply_of(&lua, &run, &subject, &shared, client, reply_bytes_max))
    }

    /// The same of whatever leaves an answer.
    pub(crate) fn fiber(&self, body: impl FnOnce() -> Vec<u8> + 'static) -> Result<Running, NoScript> {
        let stack = match self.stack.take() {
            Some(stack) => stack,
            None => Fiber::stack().map_err(|error| NoScript::Interpreter { why: error.to_string() })?,
        };
        self.shared.begin();
        let fiber = Fiber::new(stack, Rc::clone(&self.shared.port), body);
        Ok(Running {
            fiber: Some(fiber),
            lua: self.lua.clone(),
            shared: Rc::clone(&self.shared),
            stack: Rc::clone(&self.stack),
        })
    }
}

/// What runs.
pub(crate) struct Subject {
    /// The digest of a script, or the name of a function.
    pub name: String,
    pub function: Function,
    /// What a function is called with: its keys, and its other arguments. A script finds them in its globals.
    pub args: Option<[Table; 2]>,
}

impl Subject {
    /// Whether it went well, and what it came to.
    pub(crate) fn run_by(&self, run: &Function) -> mlua::Result<(bool, Value)> {
        match &self.args {
            None => run.call(&self.function),
            Some([keys, args]) => run.call((&self.function, keys, args)),
        }
    }
}

/// What went wrong while `run` ran it.
pub(crate) fn text_of(error: &Value) -> String {
    match error {
        Value::Table(error) => match error.raw_get::<mlua::LuaString>("err") {
            Ok(text) => text.to_string_lossy(),
            Err(_) => "ERR not enough memory".to_owned(),
        },
        // The interpreter had no memory, or no stack, for the table.
        error => format!("ERR {}", error.to_string().unwrap_or_else(|_| "not enough memory".to_owned())),
    }
}

/// Runs a script to its end, on the fiber's stack.
fn reply_of(
    lua: &Lua,
    run: &Function,
    subject: &Subject,
    shared: &Rc<Shared>,
    client: Protocol,
    bytes_max: usize,
) -> Vec<u8> {
    let mut out = Vec::new();
    let outcome = subject.run_by(run);
    let failed = match outcome {
        Ok((true, result)) => {
            let pace = Pace { lua, shared, steps: 0 };
            let chosen = shared.protocol.get();
            match from_lua(&result, chosen, bytes_max, &mut out, client, pace) {
                Ok(()) => return out,
                Err(error) => Failed { text: format!("ERR {}", compile_error(&error)), place: None },
            }
        }
        Ok((false, error)) => {
            let place = error
                .as_table()
                .and_then(|error| error.raw_get("source").ok().zip(error.raw_get("line").ok()));
            Failed { text: text_of(&error), place }
        }
        Err(error) => Failed { text: format!("ERR {}", compile_error(&error)), place: None },
    };
    let failed = match &*shared.ending.borrow() {
        Some((ending, place)) => Failed { text: ending.to_string(), place: place.clone() },
        None => failed,
    };
    out.clear();
    let name = &subject.name;
    let place = failed.place.map_or(String::new(), |(source, line)| format!(", on {source}:{line}"));
    Writer::new(&mut out, client).error(&format!("{} script: {name}{place}.", failed.text));
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
