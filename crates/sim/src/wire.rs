//! Connections between nodes: each way a queue, in order, late.
//!
//! *Invariant:* as with TCP, nothing is lost or doubled within a connection. While a way is lost its words wait; a process
//! that ends is told of by its machine, once the way is there again.

use crate::rng::Rng;
use crate::stream::Write;
use ironcache_replication::{Ack, Fence, Hello, Position, Promoted, Source, SyncBegin, SyncEnd};
use ironcache_types::{Epoch, Member, Offset, ShardId};
use std::collections::VecDeque;

/// The longest a word takes, in ms: a few ticks.
const LATE_MS: u64 = 25;
/// A socket that the other end does not read takes so many words.
const ROOM: usize = 48;

/// What is said on a link: the product's messages, those of a checkpoint and of liveness aside.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    Hello(Hello),
    Accept,
    Refuse(String),
    Begin(SyncBegin),
    /// A frame that begins at this offset.
    Frame(Offset, Write),
    /// The whole keyspace, of one slot after the other.
    Keyspace(Vec<Write>),
    End(SyncEnd),
    Fence(Fence),
    Promoted(Promoted),
    Ping {
        applied_index: u64,
    },
    Ack(Ack),
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Pipe {
    words: VecDeque<(u64, Word)>,
    closed: bool,
}

impl Pipe {
    pub(crate) fn say(&mut self, word: Word, now_ms: u64, rng: &mut Rng) {
        if self.closed {
            return;
        }
        self.closed = matches!(word, Word::Closed);
        let last_ms = self.words.back().map_or(0, |(due_ms, _)| *due_ms);
        let late_ms = if rng.chance(1, 4) { rng.below(LATE_MS) } else { 0 };
        self.words.push_back((last_ms.max(now_ms + 1 + late_ms), word));
    }

    /// The next word that has arrived, left where it is.
    pub(crate) fn arrived(&self, now_ms: u64) -> Option<&Word> {
        self.words.front().filter(|(due_ms, _)| *due_ms <= now_ms).map(|(_, word)| word)
    }

    pub(crate) fn take(&mut self) -> Option<Word> {
        self.words.pop_front().map(|(_, word)| word)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.words.len() < ROOM
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub dialer: Member,
    pub acceptor: Member,
    pub shard: ShardId,
    /// From the dialer, and to it.
    pub up: Pipe,
    pub down: Pipe,
    pub near: Near,
    pub far: Far,
}

/// The end that dialled.
#[derive(Debug)]
pub(crate) enum Near {
    Replica(Receiving),
    Keeper(Receiving),
    Gone,
}

#[derive(Debug)]
pub(crate) struct Receiving {
    /// What the hello said of what is held.
    pub said: Option<Position>,
    pub accepted: bool,
    pub source: Option<Source>,
    pub acked: Option<Ack>,
    pub heard_ms: u64,
    /// Since when a word waits for the view.
    pub waits_since_ms: Option<u64>,
}

/// The end that was dialled.
#[derive(Debug)]
pub(crate) enum Far {
    /// What was asked for has not been looked at, or waits for the view.
    Asked {
        hello: Option<Hello>,
        serial: Option<u64>,
        since_ms: u64,
    },
    Standing {
        serial: u64,
    },
    Sending(Sending),
    /// By a keeper, off its file.
    Serving {
        epoch: Epoch,
        cursor: Offset,
        fenced: Option<Epoch>,
        pinged_ms: u64,
    },
    Gone,
}

#[derive(Debug)]
pub(crate) struct Sending {
    pub serial: u64,
    pub source: Source,
    pub cursor: Offset,
    /// A full sync ends then.
    pub sync_until_ms: Option<u64>,
    pub told_index: u64,
    pub pinged_ms: u64,
}

impl Link {
    pub(crate) fn open(
        hello: Hello,
        to: Member,
        near: fn(Receiving) -> Near,
        now_ms: u64,
        rng: &mut Rng,
    ) -> Self {
        let receiving = Receiving {
            said: hello.position,
            accepted: false,
            source: None,
            acked: None,
            heard_ms: now_ms,
            waits_since_ms: None,
        };
        let mut link = Link {
            dialer: hello.member,
            acceptor: to,
            shard: hello.shard,
            up: Pipe::default(),
            down: Pipe::default(),
            near: near(receiving),
            far: Far::Asked { hello: None, serial: None, since_ms: now_ms },
        };
        link.up.say(Word::Hello(hello), now_ms, rng);
        link
    }

    pub(crate) fn hang_up(&mut self, now_ms: u64, rng: &mut Rng) {
        self.near = Near::Gone;
        self.up.say(Word::Closed, now_ms, rng);
    }

    pub(crate) fn turn_away(&mut self, now_ms: u64, rng: &mut Rng) {
        self.far = Far::Gone;
        self.down.say(Word::Closed, now_ms, rng);
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!((&self.near, &self.far), (Near::Gone, Far::Gone))
    }
}
