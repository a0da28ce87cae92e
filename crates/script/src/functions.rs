//! Libraries of functions, with the interpreter that they run in: apart from scripts, so that neither has the other's memory.
//!
//! ```text
//!   Functions::load(code) ──► Library: what it has registered ──► Functions::start(library, which, …) ──► Running
//! ```
//! A library is loaded by executing it, which sees nothing but `redis.register_function` and `redis.log`: there is neither
//! time nor chance nor data in it, so what can be loaded once can be loaded wherever there is as much memory.
//!
//! *Invariant:* loading ends: its caller is asked each thousandth instruction, and by no more than so much memory of its own a
//! library makes none of them long.
//! *Invariant:* a library that fails leaves nothing behind but garbage.

use crate::host::compile_error;
use crate::interpreter::{Interpreter, NoScript, Of, Progress, Running, Setup, Subject, text_of};
use crate::library::{self, BadLibrary};
use crate::registry::{Declared, Registering};
use crate::shared::FUNCTION_CHUNK;
use crate::step::{Answer, Step};
use ironcache_resp::Protocol;
use mlua::{Function, Table};

/// What a library may take of the interpreter while it is loaded: far more than its code does, and so little that a
/// thousand instructions on all of it are done in less than a second.
const LIBRARY_BYTES_MAX: usize = 8 << 20;

/// A library that was loaded.
pub struct Library {
    pub name: String,
    pub functions: Vec<Declared>,
    /// In the same order, from 1.
    callbacks: Table,
}

pub struct Functions {
    interpreter: Interpreter,
    bytes_max: usize,
}

impl Functions {
    /// # Errors
    /// The machine has not the memory, or the bound is too small for the interpreter itself.
    pub fn new(setup: Setup<'_>) -> Result<Self, NoScript> {
        let interpreter = Interpreter::new(setup, Of::Functions)?;
        Ok(Self { interpreter, bytes_max: setup.memory_bytes_max })
    }

    /// What the interpreter takes, with all that it keeps.
    pub fn used_bytes(&self) -> usize {
        self.interpreter.lua.used_memory()
    }

    pub fn set_memory_bytes_max(&mut self, bytes: usize) {
        self.bytes_max = bytes;
        self.interpreter.set_memory_bytes_max(bytes);
    }

    /// Have libraries more than half of the memory? Functions that are called need some.
    pub fn is_crowded(&self) -> bool {
        let most = self.bytes_max / 2;
        if self.used_bytes() > most {
            // Perhaps of libraries that went.
            let _ = self.interpreter.lua.gc_collect();
        }
        self.used_bytes() > most
    }

    /// Executes a library. It stops as scripts do, and `ask` says how it goes on: it calls nothing.
    ///
    /// # Errors
    /// It is none.
    pub fn load(&mut self, code: &[u8], mut ask: impl FnMut(&Step) -> Answer) -> Result<Library, BadLibrary> {
        match self.load_once(code, &mut ask) {
            Err(BadLibrary::Memory) => {
                // Without the garbage of what ran before.
                let _ = self.interpreter.lua.gc_collect();
                self.load_once(code, &mut ask)
            }
            loaded => loaded,
        }
    }

    fn load_once(&self, code: &[u8], ask: &mut impl FnMut(&Step) -> Answer) -> Result<Library, BadLibrary> {
        let interpreter = &self.interpreter;
        if interpreter.shared.running.get() {
            return Err(BadLibrary::Busy);
        }
        let (text, name) = library::read(code)?;
        let bound = self.bytes_max.min(self.used_bytes() + LIBRARY_BYTES_MAX);
        interpreter.set_memory_bytes_max(bound);
        let loaded = self.execute(text, ask);
        interpreter.set_memory_bytes_max(self.bytes_max);
        let Registering { declared, callbacks, .. } = loaded?;
        if declared.is_empty() {
            return Err(BadLibrary::Empty);
        }
        Ok(Library { name, functions: declared, callbacks })
    }

    fn execute(&self, text: &[u8], ask: &mut impl FnMut(&Step) -> Answer) -> Result<Registering, BadLibrary> {
        let Interpreter { lua, shared, show, run, .. } = &self.interpreter;
        let function = self.interpreter.compile(text, FUNCTION_CHUNK).map_err(|error| match error {
            mlua::Error::MemoryError(_) => BadLibrary::Memory,
            error => BadLibrary::Syntax { message: compile_error(&error) },
        })?;
        let subject = Subject { name: String::new(), function, args: None };
        *shared.registering.borrow_mut() = Some(Registering::new(lua).map_err(|_| BadLibrary::Memory)?);
        let shown = show.call::<()>(true).map_err(|_| BadLibrary::Memory);
        let (run, mine) = (run.clone(), shared.clone());
        let running = shown.and_then(|()| {
            let body = move || {
                let wrong = match subject.run_by(&run) {
                    Ok((true, _)) => String::new(),
                    Ok((false, error)) => text_of(&error),
                    Err(error) => format!("ERR {}", compile_error(&error)),
                };
                let ending = mine.ending.borrow().as_ref().map(|(ending, _)| ending.to_string());
                ending.unwrap_or(wrong).into_bytes()
            };
            self.interpreter.fiber(body).map_err(|error| BadLibrary::Interpreter { why: error.to_string() })
        });
        let wrong = running.map(|running| run_through(running, ask));
        let registered = shared.registering.take();
        // It only sets a field that is there.
        let _ = show.call::<()>(false);
        match (wrong?.as_str(), registered) {
            ("", Some(registered)) => Ok(registered),
            ("ERR not enough memory", _) => Err(BadLibrary::Memory),
            (error, _) => Err(BadLibrary::Registering { error: error.to_owned() }),
        }
    }

    /// A run of a function, which begins when it is resumed. Its client is answered in the protocol `client`, in at most
    /// `reply_bytes_max`.
    ///
    /// # Errors
    /// Something runs already, its arguments do not fit the memory, or the library has no such function.
    pub fn start(
        &mut self,
        library: &Library,
        which: usize,
        keys: &[&[u8]],
        args: &[&[u8]],
        client: Protocol,
        reply_bytes_max: usize,
    ) -> Result<Running, NoScript> {
        let interpreter = &self.interpreter;
        if interpreter.shared.running.get() {
            return Err(NoScript::Busy);
        }
        let prepare = || {
            let function = library.callbacks.raw_get::<Function>(which + 1)?;
            Ok((function, [interpreter.words(keys)?, interpreter.words(args)?]))
        };
        let (function, words) = interpreter.with_room(prepare).map_err(|_| NoScript::Memory)?;
        let name = library.functions.get(which).map_or(String::new(), |declared| declared.name.clone());
        let subject = Subject { name, function, args: Some(words) };
        interpreter.start(subject, client, reply_bytes_max)
    }
}

/// To its end; what it left.
fn run_through(mut running: Running, ask: &mut impl FnMut(&Step) -> Answer) -> String {
    let mut answer = Answer::GoOn;
    loop {
        match running.resume(answer) {
            Progress::Done(wrong) => return String::from_utf8_lossy(&wrong).into_owned(),
            Progress::Asks(step) => answer = ask(&step),
        }
    }
}
