//! One command's effects, cut into frames of bounded size, and put together again.
//!
//! ```text
//!  effects of one command or EXEC   ████████████████████████████
//!  frames                           [part][part][part][the last]      the last is an ordinary frame: the only one of most
//! ```
//!
//! A command may write more than it was sent: `SPOP` names what it removed. The cut is between bytes, wherever it falls:
//! an element may be larger than a part. So whoever receives puts the bytes together before anything of them is applied.
//!
//! *Invariant:* a group is applied whole and acknowledged whole: the offset of a dataset never lies inside one. One that
//! is not complete when its link ends is forgotten, and asked for again.
//! *Invariant:* frames are kept as they came, and cutting the same bytes gives the same frames.

use crate::frame::{EFFECTS_OVERHEAD_BYTES, encode_effects, encode_effects_part};
use crate::message::{Effects, Scope};
use ironcache_types::{Epoch, Level, Offset};

/// Effects of one frame at most. Larger: a reader holds more before it can check any of it, and what else the link has to
/// say waits for longer. Smaller: more frames for large values.
pub const PART_BYTES_MAX: usize = 8 << 20;

/// Cuts effects into frames that follow each other from `start` on, and hands them over in order; gives the end of the
/// last one. `frame` is scratch memory.
pub fn encode_group(
    frame: &mut Vec<u8>,
    level: Level,
    epoch: Epoch,
    start: Offset,
    scope: Scope,
    effects: &[u8],
    mut each: impl FnMut(&[u8]),
) -> Offset {
    let (mut rest, mut at) = (effects, start);
    loop {
        frame.clear();
        let (part, after) = rest.split_at(rest.len().min(PART_BYTES_MAX));
        let write = |out: &mut Vec<u8>| out.extend_from_slice(part);
        let encoded = if after.is_empty() {
            encode_effects(frame, level, epoch, at, scope, write)
        } else {
            encode_effects_part(frame, level, epoch, at, scope, write)
        };
        at.0 += encoded.expect("a part is smaller than what a frame holds") as u64;
        each(frame);
        if after.is_empty() {
            return at;
        }
        rest = after;
    }
}

/// The parts of a group that have arrived on one link, until the last one does.
#[derive(Clone, Debug, Default)]
pub struct Group {
    effects: Vec<u8>,
    /// What precedes the effects in each frame, and where its part of them ends.
    heads: Vec<([u8; EFFECTS_OVERHEAD_BYTES], usize)>,
    of: Option<(Level, Epoch, Scope)>,
    start: Offset,
}

/// The parts of a group do not belong together. Close the link that they came on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a part of level {level}, epoch {epoch} and scope {scope:?} follows one that differs")]
pub struct NotOfOneGroup {
    pub level: Level,
    pub epoch: Epoch,
    pub scope: Scope,
}

impl Group {
    /// Has a part arrived, and not the last one?
    pub fn is_open(&self) -> bool {
        self.of.is_some()
    }

    /// Takes a part, with the frame that it came in.
    ///
    /// # Errors
    /// It is not of the group that the parts before it are of.
    pub fn take(&mut self, part: &Effects<'_>, frame: &[u8]) -> Result<(), NotOfOneGroup> {
        let Effects { level, epoch, start, scope, bytes } = *part;
        if self.of.is_none() {
            self.start = start;
        }
        if *self.of.get_or_insert((level, epoch, scope)) != (level, epoch, scope) {
            return Err(NotOfOneGroup { level, epoch, scope });
        }
        let mut head = [0; EFFECTS_OVERHEAD_BYTES];
        head.copy_from_slice(&frame[..EFFECTS_OVERHEAD_BYTES]);
        self.effects.extend_from_slice(bytes);
        self.heads.push((head, self.effects.len()));
        Ok(())
    }

    /// The offset of its first frame.
    pub fn start(&self) -> Offset {
        self.start
    }

    /// The whole group's effects, once the last part was taken.
    pub fn effects(&self) -> &[u8] {
        &self.effects
    }

    /// Hands over its frames as they came, piece by piece, and forgets them.
    pub fn into_frames(self, mut each: impl FnMut(&[u8])) {
        let (mut begin, mut frame) = (0, Vec::new());
        for (head, end) in self.heads {
            frame.clear();
            frame.extend_from_slice(&head);
            frame.extend_from_slice(&self.effects[begin..end]);
            each(&frame);
            begin = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LINK_VERSIONS, Message, decode};

    fn group(effects: &[u8]) -> (Vec<Vec<u8>>, Offset) {
        let (mut frames, mut scratch) = (Vec::new(), Vec::new());
        let each = |frame: &[u8]| frames.push(frame.to_vec());
        let end = encode_group(&mut scratch, Level(1), Epoch(2), Offset(100), Scope::All, effects, each);
        (frames, end)
    }

    #[test]
    fn what_is_small_is_one_ordinary_frame() {
        let (frames, end) = group(b"SET k v");
        assert_eq!(end, Offset(100 + frames[0].len() as u64));
        let (message, _) = decode(&frames[0], LINK_VERSIONS.max).unwrap().unwrap();
        assert!(matches!(message, Message::Effects(Effects { bytes: b"SET k v", .. })), "{message:?}");
        assert_eq!(frames.len(), 1);
        assert_eq!(group(b"").0.len(), 1);
    }

    #[test]
    fn what_is_large_is_cut_and_comes_together_as_it_was() {
        let effects: Vec<u8> = (0..2 * PART_BYTES_MAX + 5).map(|i| (i % 251) as u8).collect();
        let (frames, end) = group(&effects);
        assert_eq!(frames.len(), 3);
        let (mut at, mut group) = (Offset(100), Group::default());
        for (i, frame) in frames.iter().enumerate() {
            assert!(frame.len() <= PART_BYTES_MAX + EFFECTS_OVERHEAD_BYTES);
            let part = match decode(frame, LINK_VERSIONS.max).unwrap().unwrap().0 {
                Message::EffectsPart(part) if i < 2 => part,
                Message::Effects(last) if i == 2 => last,
                other => panic!("{other:?}"),
            };
            assert_eq!(part.start, at);
            at = part.end();
            group.take(&part, frame).unwrap();
            assert!(group.is_open());
        }
        assert_eq!(at, end);
        assert!(group.effects() == effects);
        let mut again = Vec::new();
        group.into_frames(|frame| again.push(frame.to_vec()));
        assert!(again == frames, "as they came");
    }

    #[test]
    fn parts_of_two_groups_do_not_mix() {
        let part =
            Effects { level: Level(1), epoch: Epoch(2), start: Offset(0), scope: Scope::All, bytes: b"x" };
        let frame = [0; EFFECTS_OVERHEAD_BYTES + 1];
        let mut group = Group::default();
        group.take(&part, &frame).unwrap();
        assert!(group.take(&Effects { epoch: Epoch(3), ..part }, &frame).is_err());
        assert!(
            group.take(&Effects { scope: Scope::Slot(ironcache_types::Slot(1)), ..part }, &frame).is_err()
        );
        group.take(&part, &frame).unwrap();
    }
}
