//! Lua scripts, as Redis 7.0 runs them: the interpreter, what scripts see in it, and how they are held in check.
//!
//! ```text
//!   Engine::load(text)    ──► Script  ──► Engine::start(keys, args)    ──┐
//!   Functions::load(code) ──► Library ──► Functions::start(keys, args) ──┴► Running
//!   Running::resume(Answer) ──► Asks(Call)  the caller executes a command, and resumes with its reply
//!                          ├──► Asks(Tick)  it has run for a while: go on, wait, or end it
//!                          └──► Done(reply)
//! ```
//! A script stops in the middle of whatever it does and waits for its caller, who has the data, the clock and the sockets. So
//! nothing here reads any of them, and a caller can see to others while a script waits (docs/adr/0041).
//!
//! *Invariant:* no clock, file, socket or randomness: `math.random` goes on from the seed that it is given.
//! *Invariant:* no script sees what another one left: globals and libraries cannot be written (the choices of `cjson` can, as in
//! Redis). A library of functions has what it keeps in its own locals, as there.
//! *Invariant:* whatever a script does, it asks again within a bounded number of instructions, takes a bounded memory and a
//! bounded stack; one that is ended catches nothing that lets it go on.
//! *Invariant:* text is compiled, bytecode never.

mod bit;
mod engine;
mod fiber;
mod functions;
mod host;
mod interpreter;
mod json;
mod library;
mod msgpack;
mod number;
mod outcome;
mod pack;
mod pattern;
mod registry;
mod relay;
mod reply;
mod sha1;
mod shared;
mod shebang;
mod step;
mod text;

pub use engine::{Engine, SCRIPT_BYTES_MAX, SCRIPTS_MAX, Script};
pub use functions::{Functions, Library};
pub use interpreter::{NoScript, Progress, Running, Setup};
pub use library::{BadLibrary, library_name};
pub use registry::Declared;
pub use shebang::{BadShebang, Flags};
pub use step::{Answer, Ending, LogLevel, Step};
