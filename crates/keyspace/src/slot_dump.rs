//! One slot as effects, in pieces, while commands go on between them.
//!
//! ```text
//!  entries   0 1 2 3 … | … n      from the last one down: an entry only ever moves to a lower position, so that each
//!            to come   | sent     one that is not touched meanwhile is met
//!  changed   keys that were touched since the dump began: sent again, whole, at the end
//! ```
//!
//! A small slot is one piece, in the order of its entries. Of a large one each piece holds some of the entries, or of one
//! large value some of the elements or bytes. What commands do to the slot meanwhile is not sent, but noted: the keys that
//! were touched are sent again when all others are through, as they are then, and those that were touched during that
//! again, and so on. The last of these rounds is one piece, so that nothing comes in between: then the receiver holds the
//! slot as it is, and follows it from there on.
//!
//! *Invariant:* a key is as it was at one moment: one that is touched while it is half sent is sent anew.
//! *Invariant:* it ends. A round that is small is the last one, and so is the fourth, whatever its size: a large
//! value that never rests is then sent in one go, and its primary is busy with nothing else for as long.

use crate::dump::{Done, dump_part};
use crate::effect::{Effect, EffectError};
use crate::entry::Entry;
use crate::keyspace::Keyspace;
use ironcache_types::{Level, Slot, key_slot};
use std::collections::BTreeSet;

/// Each round is as long as the one before took to be written, so that a few make it small unless what is written is
/// about as much as what is sent. More: keys that never rest are sent more often for nothing.
const ROUNDS_MAX: u32 = 4;

/// Where the dump of one slot is.
#[derive(Clone, Debug)]
pub struct SlotDump {
    slot: Slot,
    piece_bytes: usize,
    begun: bool,
    /// Entries at positions below it are to come.
    below: usize,
    /// The key that is half sent, and how much of it is.
    half: Option<(Box<[u8]>, Done)>,
    /// Of this round.
    again: Vec<Box<[u8]>>,
    changed: BTreeSet<Box<[u8]>>,
    rounds: u32,
}

/// What a piece was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Dumped {
    /// More follow.
    Piece,
    /// The last one: with it the receiver holds the slot as it is now.
    Whole,
}

impl SlotDump {
    /// Of pieces of about so many bytes; an element of a collection is never cut.
    pub fn new(slot: Slot, piece_bytes: usize) -> Self {
        SlotDump {
            slot,
            piece_bytes,
            begun: false,
            below: 0,
            half: None,
            again: Vec::new(),
            changed: BTreeSet::new(),
            rounds: 0,
        }
    }

    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// These effects were executed since the last piece, and are not sent.
    ///
    /// # Errors
    /// They are no effects of this level.
    pub fn note(&mut self, effects: &[u8], level: Level) -> Result<(), EffectError> {
        let mut rest = effects;
        while !rest.is_empty() {
            let (effect, after) = Effect::decode(rest, level)?;
            rest = after;
            if effect == Effect::Clear {
                // Whatever is there afterwards is noted as well.
                (self.below, self.half) = (0, None);
            }
            let to = if let Effect::Rename { key: _, to } = effect { Some(to) } else { None };
            for key in effect.key().into_iter().chain(to).filter(|key| key_slot(key) == self.slot) {
                if !self.changed.contains(key) {
                    self.changed.insert(key.into());
                }
            }
        }
        Ok(())
    }

    /// Appends the next piece, as of now: effects of `level`. Everything that was executed before was noted.
    ///
    /// # Panics
    /// As [`Keyspace::dump_slot`].
    pub fn next_piece(&mut self, keyspace: &Keyspace, level: Level, out: &mut Vec<u8>) -> Dumped {
        if !self.begun {
            self.begun = true;
            self.below = keyspace.slot_len(self.slot);
            if is_small(keyspace.slot_entries(self.slot).iter(), self.piece_bytes) {
                keyspace.dump_slot(self.slot, level, out);
                return Dumped::Whole;
            }
        }
        let begin = out.len();
        while out.len() - begin < self.piece_bytes {
            let left = self.piece_bytes - (out.len() - begin);
            match self.next_key(keyspace) {
                Some((key, done)) if !self.changed.contains(&key) => {
                    let more = dump_key(keyspace, &key, &done, left, level, out);
                    self.half = more.map(|done| (key, done));
                }
                // It is sent when the others are through.
                Some(_) => {}
                None if self.is_last_round(keyspace) => {
                    for key in std::mem::take(&mut self.changed) {
                        let mut done = Some(Done::default());
                        while let Some(from) = done {
                            done = dump_key(keyspace, &key, &from, self.piece_bytes, level, out);
                        }
                    }
                    return Dumped::Whole;
                }
                None => {
                    self.rounds += 1;
                    self.again = std::mem::take(&mut self.changed).into_iter().collect();
                }
            }
        }
        Dumped::Piece
    }

    /// What comes next in this round, and how much of it was sent.
    fn next_key(&mut self, keyspace: &Keyspace) -> Option<(Box<[u8]>, Done)> {
        if let Some(half) = self.half.take() {
            return Some(half);
        }
        self.below = self.below.min(keyspace.slot_len(self.slot));
        if let Some(at) = self.below.checked_sub(1) {
            self.below = at;
            return Some((keyspace.slot_entries(self.slot)[at].key().into(), Done::default()));
        }
        self.again.pop().map(|key| (key, Done::default()))
    }

    fn is_last_round(&self, keyspace: &Keyspace) -> bool {
        let changed = self.changed.iter().filter_map(|key| keyspace.get(key));
        self.rounds >= ROUNDS_MAX || is_small(changed, self.piece_bytes)
    }
}

fn is_small<'a>(entries: impl Iterator<Item = &'a Entry>, bytes_max: usize) -> bool {
    let mut bytes = 0usize;
    for entry in entries {
        bytes += entry.used_bytes();
        if bytes > bytes_max {
            return false;
        }
    }
    true
}

fn dump_key(
    keyspace: &Keyspace,
    key: &[u8],
    done: &Done,
    bytes_max: usize,
    level: Level,
    out: &mut Vec<u8>,
) -> Option<Done> {
    let mut write = |effect: Effect<'_>| {
        effect.encode(level, out).expect("what a dataset holds was written at this level or below");
    };
    match keyspace.get(key) {
        Some(entry) => dump_part(entry, done, bytes_max, &mut write),
        None => {
            write(Effect::Delete { key });
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effect::{SetExpiry, Side};
    use crate::items::Items;
    use crate::{apply_effects, effects::Effects};
    use proptest::prelude::*;

    const L1: Level = Level::FIRST;

    fn slot() -> Slot {
        key_slot(b"{t}")
    }

    /// Executes one effect of a handful of keys, of a kind that the key has or gets.
    fn execute(keyspace: &mut Keyspace, effects: &mut Effects, (kind, key, value): (u8, u8, u8)) {
        let name = |n: u8| format!("{{t}}{n}").into_bytes();
        let (key, to) = (name(key), name(value));
        let text = [b'a' + value % 7; 9];
        let item: &[u8] = &text[..usize::from(value % 9)];
        let (items, pairs, scored) = ([item, b"same"], [[item, b"field"]], [(f64::from(value), item)]);
        let effect = match kind % 12 {
            0 => Effect::SetString { key: &key, value: item, expiry: SetExpiry::At(u64::from(value) + 1) },
            1 => Effect::SetRange { key: &key, offset: u64::from(value), value: b"xyz" },
            2 => Effect::Delete { key: &key },
            3 => Effect::Rename { key: &key, to: &to },
            4 => Effect::HashSet { key: &key, fields: Items::new(&pairs) },
            5 => Effect::SetAdd { key: &key, members: Items::new(&items) },
            6 => Effect::SetRemove { key: &key, members: Items::new(&items) },
            7 => Effect::ListPush { key: &key, side: Side::Head, values: Items::new(&items) },
            8 => Effect::ListPop { key: &key, side: Side::Tail, count: u64::from(value % 3) },
            9 => Effect::ZsetAdd { key: &key, members: Items::new(&scored) },
            10 => Effect::ListSet { key: &key, index: 0, value: item },
            _ => Effect::Persist { key: &key },
        };
        // Of another kind than the key is: a command would have been refused.
        if keyspace.apply(&effect).is_ok() {
            effects.append(&effect);
        }
    }

    fn steps(len: usize) -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
        prop::collection::vec((0u8..12, 0u8..9, 0u8..9), 0..len)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn with_the_last_piece_the_receiver_holds_the_slot_as_it_is(
            before in steps(80),
            between in prop::collection::vec((steps(5), prop::bool::weighted(0.02)), 0..40),
            piece_bytes in 1usize..400,
            after in steps(20),
        ) {
            let (mut primary, mut replica) = (Keyspace::new(), Keyspace::new());
            let mut effects = Effects::at(L1);
            before.iter().for_each(|step| execute(&mut primary, &mut effects, *step));
            let mut dump = SlotDump::new(slot(), piece_bytes);
            let mut between = between.into_iter();
            let mut pieces = 0;
            loop {
                let mut out = Vec::new();
                let dumped = dump.next_piece(&primary, L1, &mut out);
                apply_effects(&mut replica, &out, L1).expect("a piece applies");
                pieces += 1;
                if dumped == Dumped::Whole {
                    break;
                }
                prop_assert!(pieces < 10_000, "it does not end");
                effects.clear();
                let (commands, flushed) = between.next().unwrap_or_default();
                if flushed {
                    // Forwarded, as all that touches every slot is.
                    primary.clear();
                    replica.clear();
                    effects.append(&Effect::Clear);
                }
                commands.iter().for_each(|step| execute(&mut primary, &mut effects, *step));
                dump.note(&effects.bytes, L1).expect("they were just written");
            }
            prop_assert_eq!(replica.fingerprint(), primary.fingerprint());
            effects.clear();
            after.iter().for_each(|step| execute(&mut primary, &mut effects, *step));
            apply_effects(&mut replica, &effects.bytes, L1).expect("what follows applies");
            prop_assert_eq!(replica.fingerprint(), primary.fingerprint());
        }
    }

    fn large(keyspace: &mut Keyspace, key: &[u8], items: usize) {
        let item = [b'x'; 1000];
        let values = vec![&item[..]; items];
        let side = Side::Tail;
        keyspace.apply(&Effect::ListPush { key, side, values: Items::new(&values) }).expect("it is new");
    }

    #[test]
    fn a_large_slot_comes_in_bounded_pieces() {
        const PIECE: usize = 50_000;
        let mut keyspace = Keyspace::new();
        large(&mut keyspace, b"{t}list", 3_000);
        let text = vec![b'y'; 2_000_000];
        let string = Effect::SetString { key: b"{t}string", value: &text, expiry: SetExpiry::At(7) };
        keyspace.apply(&string).expect("it is new");
        for n in 0..3_000 {
            let key = format!("{{t}}small{n}");
            let set = Effect::SetString { key: key.as_bytes(), value: b"v", expiry: SetExpiry::Never };
            keyspace.apply(&set).expect("it is new");
        }
        let (mut dump, mut copy, mut pieces) = (SlotDump::new(slot(), PIECE), Keyspace::new(), 0);
        loop {
            let mut out = Vec::new();
            let dumped = dump.next_piece(&keyspace, L1, &mut out);
            assert!(out.len() < PIECE + 2_000, "{} bytes", out.len());
            apply_effects(&mut copy, &out, L1).expect("a piece applies");
            pieces += 1;
            if dumped == Dumped::Whole {
                break;
            }
        }
        assert!(pieces > 100, "{pieces}");
        assert_eq!(copy.fingerprint(), keyspace.fingerprint());
    }

    #[test]
    fn a_large_value_that_never_rests_ends_all_the_same() {
        let (mut keyspace, mut copy) = (Keyspace::new(), Keyspace::new());
        large(&mut keyspace, b"{t}list", 3_000);
        let mut dump = SlotDump::new(slot(), 10_000);
        let mut pieces = 0;
        loop {
            let mut out = Vec::new();
            let dumped = dump.next_piece(&keyspace, L1, &mut out);
            apply_effects(&mut copy, &out, L1).expect("a piece applies");
            pieces += 1;
            if dumped == Dumped::Whole {
                break;
            }
            let mut effects = Effects::at(L1);
            effects.record(&mut keyspace, &Effect::ListPop { key: b"{t}list", side: Side::Head, count: 1 });
            dump.note(&effects.bytes, L1).expect("just written");
        }
        assert!(pieces < 20, "{pieces}");
        assert_eq!(copy.fingerprint(), keyspace.fingerprint());
    }
}
