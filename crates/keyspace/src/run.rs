//! Short strings one behind the other, in a few bytes each: what a small collection is packed as.
//!
//! ```text
//!   [ elements, 1 ][ length, 1 or 3 | bytes ][ length | bytes ] …
//! ```
//! An element is one string, or as many as its collection says; all of them have as many.
//!
//! *Invariant:* in memory only: what is stored and sent is effects.

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
        let [low, high] = u16::try_from(text.len()).ok()?.to_le_bytes();
        Some(match text.len() < usize::from(LONG) {
            true => Length { bytes: [low, 0, 0], len: 1 },
            false => Length { bytes: [LONG, low, high], len: 3 },
        })
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
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
    fn an_empty_run_has_nothing() {
        assert_eq!((Run(EMPTY).elements(), Run(EMPTY).pieces().count()), (0, 0));
    }
}
