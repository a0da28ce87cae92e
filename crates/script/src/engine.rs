//! The scripts that a node knows, with the interpreter that they run in.
//!
//! *Invariant:* what is kept of scripts is bounded: those that nobody asked for for longest go.

use crate::host::compile_error;
use crate::interpreter::{Interpreter, NoScript, Of, Running, Setup, Subject};
use crate::sha1::sha1_hex;
use crate::shared::CHUNK;
use crate::shebang::{self, Flags};
use ironcache_resp::Protocol;
use mlua::Function;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is kept of scripts: their number and their text. Clients load anew what was dropped, as after a restart.
pub const SCRIPTS_MAX: usize = 4_096;
pub const SCRIPT_BYTES_MAX: usize = 32 << 20;
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
    interpreter: Interpreter,
    scripts: BTreeMap<String, Rc<Script>>,
    bytes: usize,
    uses: u64,
}

impl Engine {
    /// # Errors
    /// The machine has not the memory, or the bound is too small for the interpreter itself.
    pub fn new(setup: Setup<'_>) -> Result<Self, NoScript> {
        let interpreter = Interpreter::new(setup, Of::Scripts)?;
        Ok(Self { interpreter, scripts: BTreeMap::new(), bytes: 0, uses: 0 })
    }

    /// What the interpreter takes, with all that it keeps.
    pub fn used_bytes(&self) -> usize {
        self.interpreter.lua.used_memory()
    }

    pub fn set_memory_bytes_max(&mut self, bytes: usize) {
        self.interpreter.set_memory_bytes_max(bytes);
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
        let function = self.interpreter.compile(text, CHUNK).map_err(|error| match error {
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
        let _ = self.interpreter.lua.gc_collect();
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
        let interpreter = &self.interpreter;
        if interpreter.shared.running.get() {
            return Err(NoScript::Busy);
        }
        for (name, words) in [("KEYS", keys), ("ARGV", args)] {
            let set = || interpreter.globals.raw_set(name, interpreter.words(words)?);
            interpreter.with_room(set).map_err(|_| NoScript::Memory)?;
        }
        let subject = Subject { name: script.sha.clone(), function: script.function.clone(), args: None };
        interpreter.start(subject, client, reply_bytes_max)
    }
}
