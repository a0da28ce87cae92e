//! Scripts on the data thread: one at a time, over the same commands, their effects in one frame.
//!
//! ```text
//!   Job::Script ──► run ──► Script ──resume──► Call   executed here, as any command is
//!                             ▲      ├───────► Tick   go on; end it; or, if it has written nothing and has run for
//!                             │      │                busy-reply-threshold: Stop::Slow
//!                             │      └───────► Done   reply, and one frame of all that it wrote
//!                             └── go_on ◄── the connection, between other clients' turns, who are told BUSY
//! ```
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
mod running;

pub(super) use calls::Touched;
pub(super) use commands::run as command;
pub(super) use running::{Began, Script, begin, go_on};

use super::server_commands::REDIS_VERSION;
use crate::config::Config;
use ironcache_script::{Engine, NoScript, Setup};
use std::cell::Cell;
use std::rc::Rc;

/// What a node has for scripts. The interpreter is made when the first one comes: many nodes never see any.
#[derive(Default)]
pub(crate) struct Scripts {
    engine: Option<Engine>,
    slow: Rc<Cell<Slow>>,
}

/// What is kept of scripts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Of the interpreter with all that is in it.
    pub interpreter_bytes: usize,
    pub scripts: usize,
    pub text_bytes: usize,
}

/// Is there a script that others are seen to beside?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slow {
    #[default]
    None,
    Running,
    /// `SCRIPT KILL` was said.
    Killed,
}

impl Scripts {
    #[inline]
    pub(crate) fn is_busy(&self) -> bool {
        self.slow.get() != Slow::None
    }

    pub(crate) fn kept(&self) -> Kept {
        self.engine.as_ref().map_or(Kept::default(), |engine| Kept {
            interpreter_bytes: engine.used_bytes(),
            scripts: engine.scripts(),
            text_bytes: engine.script_bytes(),
        })
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

/// Others are told BUSY for as long as it lives.
struct Busy(Rc<Cell<Slow>>);

impl Busy {
    fn new(slow: &Rc<Cell<Slow>>) -> Self {
        slow.set(Slow::Running);
        Self(Rc::clone(slow))
    }

    fn is_killed(&self) -> bool {
        self.0.get() == Slow::Killed
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set(Slow::None);
    }
}
