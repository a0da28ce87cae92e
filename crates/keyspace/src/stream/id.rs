//! What names an entry of a stream.

use crate::effect::EffectError;
use crate::items::{Item, sealed::Coded};
use crate::wire::{Reader, put_number};
use std::fmt;

/// The time at which an entry was added, in ms, and its number among those of that time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub ms: u64,
    pub seq: u64,
}

impl StreamId {
    /// No entry has it.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// The one after it; there is none after [`Self::MAX`].
    pub fn after(self) -> Option<Self> {
        let Self { ms, seq } = self;
        match seq.checked_add(1) {
            Some(seq) => Some(StreamId { ms, seq }),
            None => ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    /// The one before it; there is none before [`Self::MIN`].
    pub fn before(self) -> Option<Self> {
        let Self { ms, seq } = self;
        match seq.checked_sub(1) {
            Some(seq) => Some(StreamId { ms, seq }),
            None => ms.checked_sub(1).map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }

    pub(super) fn encode(self, out: &mut Vec<u8>) {
        put_number(out, self.ms);
        put_number(out, self.seq);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, EffectError> {
        Ok(StreamId { ms: reader.number()?, seq: reader.number()? })
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl Item<'_> for StreamId {}
impl<'a> Coded<'a> for StreamId {
    fn bytes(&self) -> usize {
        size_of::<StreamId>()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        StreamId::encode(*self, out);
    }
    fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError> {
        StreamId::decode(reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_each_other_across_the_end_of_a_number() {
        let last = StreamId { ms: 5, seq: u64::MAX };
        let next = StreamId { ms: 6, seq: 0 };
        assert_eq!((last.after(), next.before()), (Some(next), Some(last)));
        assert_eq!((StreamId::MAX.after(), StreamId::MIN.before()), (None, None));
        assert!(last < next);
    }
}
