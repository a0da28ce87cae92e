//! A stack of its own for a script, so that it can stop in the middle of a call and wait for its caller: the interpreter
//! itself has no way to stop within a hook, nor within a function of ours that it calls.
//!
//! ```text
//!   Running::resume(Answer) ──► script … redis.call … hook ──► Port::ask(Step) ──► resume returns the Step
//! ```
//! *Invariant:* a stack that was begun is run to its end: whoever drops a script has it ended, and its frames (of Rust, of C
//! and of Lua) return in order. Nothing unwinds across the interpreter.

use crate::step::{Answer, Step};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::Cell;
use std::io;
use std::ptr;

/// Lua nests at most 200 calls of C, of which the largest (a function of ours that calls back) takes some KiB, and our
/// libraries at most a few thousand levels of some hundred bytes: less overflows in a build for debugging. Only what is
/// touched takes memory.
const STACK_BYTES: usize = 8 << 20;

/// Where a script asks from: what runs on a fiber's stack reaches its caller through this.
#[derive(Default)]
pub(crate) struct Port {
    /// Of the fiber that runs, from its first instruction to its last; null between.
    yielder: Cell<*const Yielder<Answer, Step>>,
}

impl Port {
    /// Stops the script until it is resumed with an answer; `None` if nothing runs that could be stopped.
    pub(crate) fn ask(&self, step: Step) -> Option<Answer> {
        let yielder = self.yielder.get();
        if yielder.is_null() {
            return None;
        }
        // SAFETY: `Fiber::new` sets the pointer to the yielder that its stack was given, which lives on that stack until the
        // closure there returns, and takes it away before that. It is only ever asked from functions that Lua calls, which
        // run on that stack: nothing else runs Lua while a fiber has begun (`Engine::start` refuses).
        Some(unsafe { &*yielder }.suspend(step))
    }
}

pub(crate) struct Fiber {
    coroutine: Coroutine<Answer, Step, Vec<u8>>,
}

pub(crate) enum Resumed {
    Asks(Step),
    Done(Vec<u8>),
}

impl Fiber {
    pub(crate) fn stack() -> io::Result<DefaultStack> {
        DefaultStack::new(STACK_BYTES)
    }

    /// `body` may ask through `port` while it runs.
    pub(crate) fn new(
        stack: DefaultStack,
        port: std::rc::Rc<Port>,
        body: impl FnOnce() -> Vec<u8> + 'static,
    ) -> Self {
        let coroutine = Coroutine::with_stack(stack, move |yielder, _begin| {
            port.yielder.set(ptr::from_ref(yielder));
            let reply = body();
            port.yielder.set(ptr::null());
            reply
        });
        Self { coroutine }
    }

    pub(crate) fn resume(&mut self, answer: Answer) -> Resumed {
        match self.coroutine.resume(answer) {
            CoroutineResult::Yield(step) => Resumed::Asks(step),
            CoroutineResult::Return(reply) => Resumed::Done(reply),
        }
    }

    /// Begun, and not at its end?
    pub(crate) fn is_under_way(&self) -> bool {
        self.coroutine.started() && !self.coroutine.done()
    }

    /// The stack of one that is at its end, to be used again.
    pub(crate) fn into_stack(self) -> Option<DefaultStack> {
        self.coroutine.done().then(|| self.coroutine.into_stack())
    }
}
