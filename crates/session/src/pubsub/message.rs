//! One message as it is sent, and what confirms a subscription.

use super::Kind;
use ironcache_resp::{Protocol, Writer};

/// In RESP2; one byte is another in RESP3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// To who listens to the channel by its name.
    pub(super) fn on(kind: Kind, channel: &[u8], payload: &[u8]) -> Message {
        let word: &[u8] = if kind == Kind::Shard { b"smessage" } else { b"message" };
        Message::of(&[word, channel, payload])
    }

    /// To who listens to a pattern that the channel matches.
    pub(super) fn matching(pattern: &[u8], channel: &[u8], payload: &[u8]) -> Message {
        Message::of(&[b"pmessage", pattern, channel, payload])
    }

    /// It does not listen to a channel of its shard any more, and did not ask for that; `left` such remain.
    pub fn moved(channel: &[u8], left: usize) -> Message {
        let mut bytes = Vec::new();
        left_one(Kind::Shard, Some(channel), left, &mut Writer::new(&mut bytes, Protocol::Resp2));
        Message(bytes)
    }

    fn of(parts: &[&[u8]]) -> Message {
        let mut bytes = Vec::with_capacity(32 + parts.iter().map(|part| part.len() + 16).sum::<usize>());
        let mut writer = Writer::new(&mut bytes, Protocol::Resp2);
        writer.push(parts.len());
        parts.iter().for_each(|part| writer.bulk(part));
        Message(bytes)
    }

    /// Appends it.
    pub fn write(&self, protocol: Protocol, to: &mut Vec<u8>) {
        let at = to.len();
        to.extend_from_slice(&self.0);
        if protocol == Protocol::Resp3 {
            to[at] = b'>';
        }
    }

    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// Confirms that it listens to `channel` now; to `count` in all.
pub(super) fn joined_one(kind: Kind, channel: &[u8], count: usize, to: &mut Writer<'_>) {
    to.push(3);
    to.bulk(kind.joined().as_bytes());
    to.bulk(channel);
    to.count(count);
}

/// The same for one that it listens to no more; `None` if there was none.
pub(super) fn left_one(kind: Kind, channel: Option<&[u8]>, count: usize, to: &mut Writer<'_>) {
    to.push(3);
    to.bulk(kind.left().as_bytes());
    match channel {
        Some(channel) => to.bulk(channel),
        None => to.null(),
    }
    to.count(count);
}
