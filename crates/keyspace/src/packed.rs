//! A key and what it holds in one block, if that is short: a string, or the run of strings of a small hash, set or
//! sorted set.
//!
//! ```text
//!   [ access | deadline | kind | key length | slack | key … | content … | slack ]     16 to 1024 bytes: as many as the
//!       3         6        1         1          1                                      allocator would give for less
//! ```
//! One block costs one cache miss, and the allocator rounds up once. What it would have rounded up to is asked for, so that a
//! value may change its length a little where it is.
//!
//! *Invariant:* key, content and slack are all of the block behind its head; a content that needs another size of block gets
//! another block.

use crate::block::block_bytes;
use std::cell::Cell;
use std::ops::Range;

/// A moment from here on has no place in a block: the year 10,889.
const EXPIRE_AT_MS_MAX: u64 = (1 << 48) - 1;
/// Stands for a key that does not expire.
const NEVER: [u8; 6] = [u8::MAX; 6];
const HEAD_BYTES: usize = size_of::<Packed<[u8; 0]>>();

/// What the content of a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// The string.
    String,
    /// A run of names and values: see the module `run`.
    Hash,
    /// A run of members.
    Set,
    /// A run of members with their scores, in order.
    Zset,
}

/// `T` is always `[u8]`: an array is what one is made as.
pub(crate) struct Packed<T: ?Sized = [u8]> {
    /// When or how often it is used, 24 bits: see the module `access`.
    access: Cell<[u8; 3]>,
    expire_at_ms: [u8; 6],
    kept: Kept,
    key_len: u8,
    slack: u8,
    /// The key, the content, and the slack.
    bytes: T,
}

impl Packed {
    /// A key that does not expire. `None` if the two are too long: whatever is longer is worth blocks of its own.
    pub(crate) fn new(key: &[u8], kept: Kept, content: &[u8], access: u32) -> Option<Box<Self>> {
        let len = key.len() + content.len();
        let key_len = u8::try_from(key.len()).ok()?;
        let mut packed = sized(block_bytes(HEAD_BYTES + len))?;
        packed.kept = kept;
        packed.key_len = key_len;
        packed.set_slack_behind(len);
        packed.bytes[..key.len()].copy_from_slice(key);
        packed.bytes[key.len()..len].copy_from_slice(content);
        packed.set_access(access);
        Some(packed)
    }

    #[inline]
    pub(crate) fn kept(&self) -> Kept {
        self.kept
    }

    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.bytes[..usize::from(self.key_len)]
    }

    #[inline]
    pub(crate) fn content(&self) -> &[u8] {
        &self.bytes[usize::from(self.key_len)..self.end()]
    }

    pub(crate) fn content_mut(&mut self) -> &mut [u8] {
        let end = self.end();
        &mut self.bytes[usize::from(self.key_len)..end]
    }

    fn end(&self) -> usize {
        self.bytes.len() - usize::from(self.slack)
    }

    fn set_slack_behind(&mut self, len: usize) {
        self.slack = u8::try_from(self.bytes.len() - len).expect("no two sizes are further apart");
    }

    /// Replaces the content by one of that kind. `false` if it is too long: nothing has changed.
    #[must_use]
    pub(crate) fn replace(packed: &mut Box<Self>, kept: Kept, content: &[u8]) -> bool {
        let all = 0..packed.content().len();
        if all.end == content.len() {
            packed.content_mut().copy_from_slice(content);
            packed.kept = kept;
            return true;
        }
        let fits = Self::splice(packed, all, &[content]);
        if fits {
            packed.kept = kept;
        }
        fits
    }

    /// Replaces a part of the content by several. `false` if that is too long: nothing has changed.
    #[must_use]
    pub(crate) fn splice(packed: &mut Box<Self>, part: Range<usize>, with: &[&[u8]]) -> bool {
        let key_len = usize::from(packed.key_len);
        let behind = key_len + part.end..packed.end();
        let (mut at, more) = (key_len + part.start, with.iter().map(|text| text.len()).sum::<usize>());
        let len = at + more + behind.len();
        let block = block_bytes(HEAD_BYTES + len);
        if block == packed.block_bytes() {
            packed.bytes.copy_within(behind, at + more);
        } else {
            let Some(mut other) = sized(block) else { return false };
            let Packed { access, expire_at_ms, kept, key_len, slack: _, bytes } = &**packed;
            other.access.set(access.get());
            (other.expire_at_ms, other.kept, other.key_len) = (*expire_at_ms, *kept, *key_len);
            other.bytes[..at].copy_from_slice(&bytes[..at]);
            other.bytes[at + more..len].copy_from_slice(&bytes[behind]);
            *packed = other;
        }
        packed.set_slack_behind(len);
        for text in with {
            packed.bytes[at..at + text.len()].copy_from_slice(text);
            at += text.len();
        }
        true
    }

    pub(crate) fn block_bytes(&self) -> usize {
        HEAD_BYTES + self.bytes.len()
    }

    #[inline]
    pub(crate) fn access(&self) -> u32 {
        let [a, b, c] = self.access.get();
        u32::from_le_bytes([a, b, c, 0])
    }

    #[inline]
    pub(crate) fn set_access(&self, access: u32) {
        let [a, b, c, _] = access.to_le_bytes();
        self.access.set([a, b, c]);
    }

    #[inline]
    pub(crate) fn expire_at_ms(&self) -> Option<u64> {
        let [a, b, c, d, e, f] = self.expire_at_ms;
        (self.expire_at_ms != NEVER).then(|| u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// Whether there is a place for it: if not, nothing has changed.
    #[must_use]
    pub(crate) fn set_expire_at_ms(&mut self, at_ms: Option<u64>) -> bool {
        self.expire_at_ms = match at_ms {
            None => NEVER,
            Some(at_ms) if at_ms >= EXPIRE_AT_MS_MAX => return false,
            Some(at_ms) => {
                let [a, b, c, d, e, f, _, _] = at_ms.to_le_bytes();
                [a, b, c, d, e, f]
            }
        };
        true
    }
}

/// One that takes a whole block of so many bytes. Only what is made as an array can be made without unsafe code.
fn sized(bytes: usize) -> Option<Box<Packed>> {
    macro_rules! blocks {
        ($($size:literal)*) => {
            match bytes {
                $($size => Some(Box::new(Packed {
                    access: Cell::default(),
                    expire_at_ms: NEVER,
                    kept: Kept::String,
                    key_len: 0,
                    slack: 0,
                    bytes: [0; $size - HEAD_BYTES],
                })),)*
                _ => None,
            }
        };
    }
    blocks!(16 32 48 64 80 96 112 128 160 192 224 256 320 384 448 512 640 768 896 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn string(key: &[u8], value: &[u8]) -> Option<Box<Packed>> {
        Packed::new(key, Kept::String, value, 7)
    }

    #[test]
    fn every_length_gets_the_block_that_the_allocator_would_give() {
        let text = [b'x'; 1024];
        for key_len in [0, 1, 16, 255] {
            for len in 0..=1024 - HEAD_BYTES - key_len {
                let packed = string(&text[..key_len], &text[..len]).expect("it fits");
                assert_eq!((packed.key().len(), packed.content().len()), (key_len, len));
                assert_eq!(packed.block_bytes(), block_bytes(HEAD_BYTES + key_len + len));
                assert_eq!(size_of_val(&*packed), packed.block_bytes());
            }
            assert!(string(&text[..key_len], &text[..1025 - HEAD_BYTES - key_len]).is_none());
        }
        assert!(string(&text[..256], b"").is_none());
    }

    proptest! {
        #[test]
        fn a_part_is_replaced_and_the_rest_is_as_it_was(
            key in prop::collection::vec(any::<u8>(), 0..40),
            steps in prop::collection::vec((0usize..400, 0usize..400, 0usize..300, any::<u8>()), 1..60),
        ) {
            let (mut packed, mut model) = (Packed::new(&key, Kept::Set, b"", 7).expect("it is short"), Vec::new());
            prop_assert!(packed.set_expire_at_ms(Some(99)));
            for (from, len, more, byte) in steps {
                let from = from.min(model.len());
                let part = from..(from + len).min(model.len());
                let (one, two) = (vec![byte; more / 2], vec![byte ^ 1; more - more / 2]);
                let fits = HEAD_BYTES + key.len() + model.len() - part.len() + more <= 1024;
                prop_assert_eq!(Packed::splice(&mut packed, part.clone(), &[&one, &two]), fits);
                if fits {
                    model.splice(part, [one, two].concat());
                }
                prop_assert_eq!((packed.key(), packed.content()), (&key[..], &model[..]));
                prop_assert_eq!((packed.kept(), packed.access(), packed.expire_at_ms()), (Kept::Set, 7, Some(99)));
                prop_assert_eq!(packed.block_bytes(), block_bytes(HEAD_BYTES + key.len() + model.len()));
            }
        }
    }

    #[test]
    fn moments_up_to_the_last_that_fits_are_kept_exactly() {
        let mut packed = Packed::new(b"", Kept::Hash, b"", 0xff_ffff).expect("it is short");
        assert_eq!((packed.expire_at_ms(), packed.access()), (None, 0xff_ffff));
        for at_ms in [0, 1, 1_700_000_000_000, EXPIRE_AT_MS_MAX - 1] {
            assert!(packed.set_expire_at_ms(Some(at_ms)));
            assert_eq!(packed.expire_at_ms(), Some(at_ms));
        }
        assert!(!packed.set_expire_at_ms(Some(EXPIRE_AT_MS_MAX)));
        assert_eq!(packed.expire_at_ms(), Some(EXPIRE_AT_MS_MAX - 1));
        assert!(packed.set_expire_at_ms(None));
        assert_eq!((packed.expire_at_ms(), packed.access()), (None, 0xff_ffff));
    }
}
