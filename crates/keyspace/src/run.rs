//! Short strings one behind the other, in a few bytes each: what a small collection is packed as.
//!
//! ```text
//!   [ elements, 1 ][ length, 1 or 3 | bytes ][ length | bytes ] …
//! ```
//! An element is one string, or as many as its collection says; all of them have as many. A scored one is one string: the
//! member, the score, and in the last byte how many bytes the score takes; a whole number takes as few as hold it.
//!
//! *Invariant:* in memory only: what is stored and sent is effects.

use crate::zset::Ranked;
use std::ops::Range;

/// One more of them would be searched for longer than an index costs.
pub(crate) const ELEMENTS_MAX: usize = 128;
/// Without elements.
pub(crate) const EMPTY: &[u8] = &[0];
/// A length of two bytes follows.
const LONG: u8 = u8::MAX;

#[derive(Clone, Copy)]
pub(crate) struct Run<'a>(pub(crate) &'a [u8]);

/// A string in a run.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) text: &'a [u8],
    /// Where its length begins.
    start: usize,
    /// Where the next string's begins.
    pub(crate) end: usize,
}

impl Piece<'_> {
    /// What it takes of the run.
    pub(crate) fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

impl<'a> Run<'a> {
    pub(crate) fn elements(self) -> usize {
        self.0.first().map_or(0, |&elements| usize::from(elements))
    }

    #[inline]
    pub(crate) fn pieces(self) -> Pieces<'a> {
        Pieces { bytes: self.0, at: 1 }
    }
}

#[derive(Clone)]
pub(crate) struct Pieces<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        let (start, bytes) = (self.at, self.bytes);
        let (begin, len) = match *bytes.get(start)? {
            LONG => (start + 3, usize::from(u16::from_le_bytes([bytes[start + 1], bytes[start + 2]]))),
            len => (start + 1, usize::from(len)),
        };
        self.at = begin + len;
        Some(Piece { text: &bytes[begin..self.at], start, end: self.at })
    }
}

/// A length as it stands before its string.
#[derive(Clone, Copy)]
pub(crate) struct Length {
    bytes: [u8; 3],
    len: usize,
}

impl Length {
    /// `None`: no run is so long.
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        Self::of_bytes(text.len())
    }

    pub(crate) fn of_bytes(bytes: usize) -> Option<Self> {
        let [low, high] = u16::try_from(bytes).ok()?.to_le_bytes();
        Some(match bytes < usize::from(LONG) {
            true => Length { bytes: [low, 0, 0], len: 1 },
            false => Length { bytes: [LONG, low, high], len: 3 },
        })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A score as it stands behind its member.
#[derive(Clone, Copy)]
pub(crate) struct Score {
    bytes: [u8; 9],
    len: usize,
}

impl Score {
    pub(crate) fn of(score: f64) -> Self {
        let whole = score as i32;
        let mut bytes = [0; 9];
        // Not -0, which is another score.
        let len = if f64::from(whole).to_bits() != score.to_bits() {
            bytes[..8].copy_from_slice(&score.to_le_bytes());
            8
        } else {
            bytes[..4].copy_from_slice(&whole.to_le_bytes());
            if i8::try_from(whole).is_ok() {
                1
            } else if i16::try_from(whole).is_ok() {
                2
            } else {
                4
            }
        };
        bytes[len] = len as u8;
        Score { bytes, len: len + 1 }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The member and the score that one string is.
pub(crate) fn ranked(text: &[u8]) -> Ranked<'_> {
    let (len, text) = text.split_last().expect("behind a member is its score");
    let (member, score) = text.split_at(text.len() - usize::from(*len));
    let score = match *score {
        [a] => f64::from(a as i8),
        [a, b] => f64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => f64::from(i32::from_le_bytes([a, b, c, d])),
        _ => f64::from_le_bytes(score.try_into().expect("it is none of the shorter ones")),
    };
    Ranked { member, score }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn strings_are_read_as_they_were_written(lengths in prop::collection::vec(0usize..600, 0..20)) {
            let mut bytes = vec![lengths.len() as u8];
            let texts: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(i, len)| vec![i as u8; *len]).collect();
            for text in &texts {
                bytes.extend_from_slice(Length::of(text).expect("it is short").as_slice());
                bytes.extend_from_slice(text);
            }
            let run = Run(&bytes);
            prop_assert_eq!(run.elements(), texts.len());
            prop_assert!(run.pieces().map(|piece| piece.text).eq(texts.iter().map(Vec::as_slice)));
            let mut end = 1;
            for piece in run.pieces() {
                prop_assert_eq!(piece.range().start, end);
                end = piece.end;
            }
            prop_assert_eq!(end, bytes.len());
        }
    }

    #[test]
    fn every_score_is_read_as_it_was_written() {
        let near = |at: f64| [at - 1.0, at, at + 1.0, at + 0.5];
        let ends = [0.0, 127.0, -128.0, 32_767.0, -32_768.0, 2_147_483_647.0, -2_147_483_648.0];
        let other = [-0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 1e300];
        for score in ends.into_iter().flat_map(near).chain(other) {
            for member in [&b""[..], b"m", b"\x01\x08"] {
                let text = [member, Score::of(score).as_slice()].concat();
                let Ranked { member: read, score: same } = ranked(&text);
                assert_eq!((read, same.to_bits()), (member, score.to_bits()), "{score}");
            }
        }
        assert_eq!([1.0, 300.0, 70_000.0, 0.5].map(|score| Score::of(score).as_slice().len()), [2, 3, 5, 9]);
    }

    #[test]
    fn an_empty_run_has_nothing() {
        assert_eq!((Run(EMPTY).elements(), Run(EMPTY).pieces().count()), (0, 0));
    }
}
