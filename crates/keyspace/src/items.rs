//! The elements of one effect: borrowed from a command's arguments, or still in their encoding.

use crate::effect::EffectError;
use crate::wire::{Reader, put_number, put_string};
use std::fmt;

/// An effect of more elements, or bytes, is recorded as several. Larger: who applies one shows no progress for longer than a
/// millisecond or two. Smaller: the key is looked up more often.
pub(crate) const PART_ITEMS: u64 = 1024;
pub(crate) const PART_BYTES: usize = 1 << 20;

/// One element: a string, a (field, value) pair, or a (score, member) pair.
pub trait Item<'a>: Copy + PartialEq + fmt::Debug + sealed::Coded<'a> {}

pub(crate) mod sealed {
    use super::*;
    pub trait Coded<'a>: Sized {
        fn bytes(&self) -> usize;
        fn encode(&self, out: &mut Vec<u8>);
        fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError>;
    }
}
use sealed::Coded;

impl<'a> Item<'a> for &'a [u8] {}
impl<'a> Coded<'a> for &'a [u8] {
    fn bytes(&self) -> usize {
        self.len()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self);
    }
    fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError> {
        reader.string()
    }
}

impl<'a> Item<'a> for [&'a [u8]; 2] {}
impl<'a> Coded<'a> for [&'a [u8]; 2] {
    fn bytes(&self) -> usize {
        self[0].len() + self[1].len()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self[0]);
        put_string(out, self[1]);
    }
    fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError> {
        Ok([reader.string()?, reader.string()?])
    }
}

impl<'a> Item<'a> for (f64, &'a [u8]) {}
impl<'a> Coded<'a> for (f64, &'a [u8]) {
    fn bytes(&self) -> usize {
        self.1.len()
    }
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
        put_string(out, self.1);
    }
    fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError> {
        let score = reader.double()?;
        if score.is_nan() {
            return Err(EffectError::ScoreIsNan);
        }
        Ok((score, reader.string()?))
    }
}

/// Elements, however they are stored. Equal when they have equal elements.
#[derive(Clone, Copy)]
pub struct Items<'a, T>(Store<'a, T>);

#[derive(Clone, Copy)]
enum Store<'a, T> {
    Slice(&'a [T]),
    /// Checked when it was decoded: `bytes` begins with `count` well-formed items.
    Encoded {
        count: u64,
        bytes: &'a [u8],
    },
}

impl<'a, T: Item<'a>> Items<'a, T> {
    pub fn new(items: &'a [T]) -> Self {
        Items(Store::Slice(items))
    }

    pub fn len(&self) -> u64 {
        match self.0 {
            Store::Slice(items) => items.len() as u64,
            Store::Encoded { count, .. } => count,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        let (slice, mut left, mut reader) = match self.0 {
            Store::Slice(items) => (items, 0, Reader { bytes: &[] }),
            Store::Encoded { count, bytes } => (&[][..], count, Reader { bytes }),
        };
        let encoded = std::iter::from_fn(move || {
            left = left.checked_sub(1)?;
            Some(T::decode(&mut reader).expect("checked when it was decoded"))
        });
        slice.iter().copied().chain(encoded)
    }

    /// Hands the elements over in parts of at most [`PART_ITEMS`] and about [`PART_BYTES`], in order; mostly that is one. An
    /// element is never cut.
    pub(crate) fn parts(&self, mut each: impl FnMut(Items<'_, T>)) {
        let is_large =
            |len: u64| len > PART_ITEMS || self.iter().map(|i| i.bytes()).sum::<usize>() > PART_BYTES;
        if self.len() < 2 || !is_large(self.len()) {
            return each(*self);
        }
        let (mut part, mut bytes) = (Vec::new(), 0);
        for item in self.iter() {
            if !part.is_empty() && (part.len() as u64 == PART_ITEMS || bytes + item.bytes() > PART_BYTES) {
                each(Items(Store::Slice(&part)));
                part.clear();
                bytes = 0;
            }
            bytes += item.bytes();
            part.push(item);
        }
        each(Items(Store::Slice(&part)));
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_number(out, self.len());
        self.iter().for_each(|item| item.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, EffectError> {
        let count = reader.number()?;
        let bytes = reader.bytes;
        for _ in 0..count {
            T::decode(reader)?;
        }
        Ok(Items(Store::Encoded { count, bytes }))
    }
}

impl<'a, T: Item<'a>> PartialEq for Items<'a, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Item<'a>> fmt::Debug for Items<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
