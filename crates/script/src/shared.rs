//! What the functions that scripts call share: where they ask, and what is so of the script that runs.

use crate::fiber::Port;
use crate::registry::Registering;
use crate::step::{Answer, Ending, Step};
use ironcache_resp::Protocol;
use mlua::{HookTriggers, Lua, Result, VmState};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Instructions between two questions whether to go on: some µs of work, if they are not about large strings. Fewer cost a
/// busy script more than a percent or two.
const TICK_INSTRUCTIONS: u32 = 1_000;
/// Bytes that functions of ours make or walk between two questions: a ms of work.
const TICK_BYTES: usize = 1 << 20;
/// As the name of a script stands in errors.
pub(crate) const CHUNK: &str = "@user_script";
pub(crate) const FUNCTION_CHUNK: &str = "@user_function";
/// As the name of what is ours in Lua.
pub(crate) const LIBRARY: &str = "=library";
/// Levels of calls that are searched for the script's own line.
const LEVELS_MAX: usize = 64;

/// The name of a text, and a line in it.
pub(crate) type Place = (String, usize);

pub(crate) struct Shared {
    pub port: Rc<Port>,
    /// Of what a script makes in one go outside of the interpreter's memory.
    pub bytes_max: Cell<usize>,
    /// `redis.setresp`.
    pub protocol: Cell<Protocol>,
    /// The state of `math.random`, and the one of a script that has chosen its own.
    random: Cell<u64>,
    seeded: Cell<Option<u64>>,
    /// Nothing more is executed of the script that runs, and this is why; with where it was.
    pub ending: RefCell<Option<(Ending, Option<Place>)>>,
    pub running: Cell<bool>,
    /// While a library is loaded.
    pub registering: RefCell<Option<Registering>>,
    worked_bytes: Cell<usize>,
}

impl Shared {
    pub(crate) fn new(bytes_max: usize, seed: u32) -> Rc<Self> {
        Rc::new(Self {
            port: Rc::default(),
            bytes_max: Cell::new(bytes_max),
            protocol: Cell::new(Protocol::Resp2),
            random: Cell::new(state_of(seed)),
            seeded: Cell::new(None),
            ending: RefCell::default(),
            running: Cell::new(false),
            registering: RefCell::default(),
            worked_bytes: Cell::new(0),
        })
    }

    /// What holds at the start of every script: none sees what another one left.
    pub(crate) fn begin(&self) {
        self.protocol.set(Protocol::Resp2);
        self.seeded.set(None);
        self.running.set(true);
    }

    /// Asks the caller; the answer to a call.
    pub(crate) fn ask(self: &Rc<Self>, lua: &Lua, step: Step) -> Result<Option<Vec<u8>>> {
        self.check(lua)?;
        match self.port.ask(step) {
            None | Some(Answer::GoOn) => Ok(None),
            Some(Answer::Reply(reply)) => Ok(Some(reply)),
            Some(Answer::End(ending)) => {
                *self.ending.borrow_mut() = Some((ending, place(lua)));
                self.check(lua).map(|()| None)
            }
        }
    }

    /// So many bytes were made or walked in one go, which the count of instructions does not see.
    pub(crate) fn worked(self: &Rc<Self>, lua: &Lua, bytes: usize) -> Result<()> {
        let worked = self.worked_bytes.get().saturating_add(bytes);
        if worked < TICK_BYTES {
            self.worked_bytes.set(worked);
            return Ok(());
        }
        self.worked_bytes.set(0);
        self.tick(lua)
    }

    pub(crate) fn tick(self: &Rc<Self>, lua: &Lua) -> Result<()> {
        self.ask(lua, Step::Tick).map(|_| ())
    }

    /// An error if the script is at its end: from here on every instruction is one, so that whoever catches it comes no
    /// further. A coroutine has a hook of its own, which is made so when it fires.
    fn check(self: &Rc<Self>, lua: &Lua) -> Result<()> {
        let Some((ending, _)) = &*self.ending.borrow() else { return Ok(()) };
        self.hook(lua, 1)?;
        Err(mlua::Error::runtime(ending))
    }

    pub(crate) fn set_hook(self: &Rc<Self>, lua: &Lua) -> Result<()> {
        self.hook(lua, TICK_INSTRUCTIONS)
    }

    fn hook(self: &Rc<Self>, lua: &Lua, instructions: u32) -> Result<()> {
        let mine = Rc::clone(self);
        let triggers = HookTriggers::new().every_nth_instruction(instructions);
        lua.set_global_hook(triggers, move |lua, _| mine.tick(lua).map(|()| VmState::Continue))
    }

    /// Until its end a script has numbers of its own choice.
    pub(crate) fn seed(&self, seed: u32) {
        self.seeded.set(Some(state_of(seed)));
    }

    /// As C's `lrand48`: 31 bits, the same on every machine.
    pub(crate) fn next_random(&self) -> u32 {
        let state = self.seeded.get().unwrap_or(self.random.get());
        let next = state.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
        match self.seeded.get() {
            Some(_) => self.seeded.set(Some(next)),
            None => self.random.set(next),
        }
        (next >> 17) as u32
    }
}

/// As C's `srand48`.
fn state_of(seed: u32) -> u64 {
    u64::from(seed) << 16 | 0x330e
}

/// Asks whether to go on, now and then, for what walks values in Rust.
pub(crate) struct Pace<'a> {
    pub lua: &'a Lua,
    pub shared: &'a Rc<Shared>,
    pub steps: u32,
}

impl Pace<'_> {
    /// Steps between two questions: a ms or so of work.
    const STEPS: u32 = 1 << 12;

    pub(crate) fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps < Self::STEPS {
            return Ok(());
        }
        self.steps = 0;
        self.shared.tick(self.lua)
    }

    /// As [`Shared::worked`].
    pub(crate) fn worked(&mut self, bytes: usize) -> Result<()> {
        self.shared.worked(self.lua, bytes)
    }
}

/// What is executed: the name of the text, and the line in it. What the library calls is the script's line.
pub(crate) fn place(lua: &Lua) -> Option<Place> {
    for level in 0..LEVELS_MAX {
        let place = lua.inspect_stack(level, |debug| {
            let source = debug.source().source?.into_owned();
            let is_text = source != LIBRARY && source != "=[C]" && source != "=(tail call)";
            debug.current_line().filter(|_| is_text).map(|line| (source, line))
        })?;
        if place.is_some() {
            return place;
        }
    }
    None
}
