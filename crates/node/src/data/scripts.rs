//! Scripts on the data thread: one at a time, over the same commands, their effects in one frame.
//!
//! ```text
//!   Job::Script ──► run ──► Script ──resume──► Call   executed here, as any command is
//!                             ▲      ├───────► Tick   go on; end it; or, if it has written nothing and has run for
//!                             │      │                busy-reply-threshold: Stop::Slow
//!                             │      └───────► Done   reply, and one frame of all that it wrote
//!                             └── go_on ◄── the connection, between other clients' turns, who are told BUSY
//! ```
//! A function of a library is a script that was there before.
//!
//! *Invariant:* others run only while a script has written nothing: what nobody has in a frame yet, nobody sees, and nothing
//! that looks at the dataset (a full sync, a checkpoint, a handover, expiry) meets half a script.
//! *Invariant:* a script that has written runs to its end, or to `script-ms-max`: then it ends, and what it wrote is one frame,
//! as after any error of a script. Nothing of it is undone, and nothing of it is told in two parts.
//! *Invariant:* one that has written nothing ends without a trace, whenever somebody wishes: its shard has another primary, the
//! node stops, its client has gone, `SCRIPT KILL`.
//! *Invariant:* a script reads one dataset: while it waits no key expires or is evicted, and a replica's, whose dataset goes on,
//! ends.

mod calls;
mod commands;
mod functions;
mod libraries;
mod orders;
mod running;

pub(super) use calls::Touched;
pub(super) use commands::run as command;
pub(super) use functions::run as functions;
pub(super) use orders::{LibraryError, order};
pub(super) use running::{Began, Script, begin, go_on};

use super::client::Client;
use super::plane::Plane;
use super::server_commands::REDIS_VERSION;
use crate::config::Config;
use ironcache_resp::Writer;
use ironcache_script::{Engine, Functions, NoScript, Setup};
use ironcache_session::Busy;
use libraries::Libraries;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// What a node has for scripts. The interpreter is made when the first one comes: many nodes never see any.
#[derive(Default)]
pub(crate) struct Scripts {
    engine: Option<Engine>,
    pub libraries: Libraries,
    slow: Rc<SlowScript>,
}

/// What is kept of scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Of the interpreter with all that is in it.
    pub interpreter_bytes: usize,
    pub scripts: usize,
    pub text_bytes: usize,
}

/// The same of libraries of functions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptFunctions {
    pub interpreter_bytes: usize,
    pub libraries: usize,
    pub functions: usize,
    pub code_bytes: usize,
}

/// Is there a script that others are seen to beside?
#[derive(Default)]
struct SlowScript {
    state: Cell<Slow>,
    /// While there is one.
    about: RefCell<Option<About>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slow {
    #[default]
    None,
    Running(Busy),
    /// `SCRIPT KILL` or `FUNCTION KILL` was said.
    Killed(Busy),
}

/// What is told of it.
struct About {
    /// Of the function, or what stands there in an `EVAL`.
    name: Vec<u8>,
    args: Vec<Vec<u8>>,
    began: Instant,
}

impl Scripts {
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.slow.state.get() != Slow::None
    }

    #[inline]
    pub(crate) fn busy(&self) -> Option<Busy> {
        match self.slow.state.get() {
            Slow::None => None,
            Slow::Running(busy) | Slow::Killed(busy) => Some(busy),
        }
    }

    pub(crate) fn kept(&self) -> Kept {
        self.engine.as_ref().map_or(Kept::default(), |engine| Kept {
            interpreter_bytes: engine.used_bytes(),
            scripts: engine.scripts(),
            text_bytes: engine.script_bytes(),
        })
    }

    pub(crate) fn kept_functions(&self) -> KeptFunctions {
        let libraries = &self.libraries;
        KeptFunctions {
            interpreter_bytes: libraries.interpreter.as_ref().map_or(0, Functions::used_bytes),
            libraries: libraries.code.len(),
            functions: libraries.functions(|_| false),
            code_bytes: libraries.code.values().map(Vec::len).sum(),
        }
    }

    /// `seed` is only for a new one.
    fn engine(&mut self, config: &Config, seed: u64) -> Result<&mut Engine, NoScript> {
        let memory_bytes_max = usize::try_from(config.script_memory_bytes).unwrap_or(usize::MAX);
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => {
                let seed = (seed >> 32) as u32;
                Engine::new(Setup { memory_bytes_max, redis_version: REDIS_VERSION, seed })?
            }
        };
        let engine = self.engine.insert(engine);
        engine.set_memory_bytes_max(memory_bytes_max);
        Ok(engine)
    }
}

impl Plane {
    /// The applied libraries are those that hold from here on. What takes long of it, [`Plane::load_libraries`] goes on with.
    pub(super) fn take_libraries(&mut self) {
        let state = Arc::clone(&self.view.state);
        self.scripts.libraries.take(&state.libraries);
        self.load_libraries();
    }

    /// Executes libraries for a turn; true if that were the last ones.
    pub(super) fn load_libraries(&mut self) -> bool {
        if !self.scripts.libraries.is_loading() {
            return false;
        }
        let (config, seed) = (Arc::clone(&self.config), self.random());
        self.scripts.libraries.load(&config, seed);
        !self.scripts.libraries.is_loading()
    }
}

/// `SCRIPT KILL` or `FUNCTION KILL`.
fn kill(plane: &mut Plane, client: &mut Client, what: Busy, out: &mut Vec<u8>) {
    match plane.scripts.busy() {
        None => client.session.fail(&"NOTBUSY No scripts in execution right now.", out),
        Some(busy) if busy != what => client.session.fail(&busy, out),
        Some(busy) => {
            plane.scripts.slow.state.set(Slow::Killed(busy));
            Writer::new(out, client.session.protocol()).ok();
        }
    }
}

/// Others are told BUSY for as long as it lives.
struct Hold(Rc<SlowScript>);

impl Hold {
    fn new(slow: &Rc<SlowScript>, busy: Busy, about: About) -> Self {
        slow.state.set(Slow::Running(busy));
        *slow.about.borrow_mut() = Some(about);
        Self(Rc::clone(slow))
    }

    fn is_killed(&self) -> bool {
        matches!(self.0.state.get(), Slow::Killed(_))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.state.set(Slow::None);
        *self.0.about.borrow_mut() = None;
    }
}
