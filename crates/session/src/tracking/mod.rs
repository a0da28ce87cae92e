//! `CLIENT TRACKING`: clients that keep what they have read, and are told when it is no longer so (docs/adr/0044).
//!
//! ```text
//!  a read ──► TrackingTable: key, and who has read it ◄── what is written: Notice for each of them, and the key is forgotten
//!  CLIENT TRACKING ──► Tracking (the session's own) ──► Job::Listen ──► TrackingTable (of all clients)
//! ```
//! *Invariant:* a client that has read a key, and has it tracked, is sent a [`Notice`] of it, or of everything, before anybody is
//! told of what came in its place; the table forgets no key in any other way.
//! *Invariant:* the table has a bound: what is beyond it is forgotten, and its readers are told.

mod commands;
mod notice;
mod table;

pub use notice::{Form, Keys, Notice, broken_redirect, form};
pub use table::{TrackingCounts, TrackingTable};

use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;

/// What one client has tracked.
#[derive(Clone, Debug)]
pub struct Tracking {
    mode: Mode,
    /// Is it told also of what it has written itself?
    own: Own,
    /// The client that is told in its place; 0 is nobody else.
    redirect: u64,
    /// Of `BCAST`.
    prefixes: BTreeSet<Rc<[u8]>>,
    /// The client that was to be told is gone. The table finds out.
    broken: Rc<Cell<bool>>,
}

/// Which keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Those that it reads.
    Read,
    /// Those that it reads by the command after `CLIENT CACHING YES`.
    OptIn,
    /// Those that it reads, but for the command after `CLIENT CACHING NO`.
    OptOut,
    /// All that begin with one of its prefixes.
    Broadcast,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Told,
    /// `NOLOOP`.
    NotTold,
}

/// `CLIENT CACHING`, for the command after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Caching {
    #[default]
    NotSaid,
    Said,
}

/// As `CLIENT LIST` shows it.
#[derive(Clone, Debug)]
pub struct ShownTracking {
    pub redirect: u64,
    pub is_broadcast: bool,
    broken: Rc<Cell<bool>>,
}

impl ShownTracking {
    pub fn is_broken(&self) -> bool {
        self.broken.get()
    }
}

impl Tracking {
    pub fn shown(&self) -> ShownTracking {
        let broken = Rc::clone(&self.broken);
        ShownTracking { redirect: self.redirect, is_broadcast: self.mode == Mode::Broadcast, broken }
    }
}
