//! The arguments of one command, borrowed from where they lie or owned for later.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::{Index, Range};
use std::slice;

/// The arguments of one command, name first: slices of one buffer.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    bytes: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Args<'a> {
    /// Views `ranges` of `bytes` as a command.
    pub fn new(bytes: &'a [u8], ranges: &'a [Range<usize>]) -> Self {
        Self { bytes, ranges }
    }

    /// How many arguments there are, the command's name included. 0 is an empty line or `*0`: skip it.
    #[inline]
    pub fn len(self) -> usize {
        self.ranges.len()
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.ranges.is_empty()
    }

    /// Argument `index`, 0 being the command's name.
    #[inline]
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.ranges.get(index).and_then(|range| self.bytes.get(range.clone()))
    }

    /// All arguments in order, the command's name first.
    #[inline]
    pub fn iter(self) -> ArgsIter<'a> {
        ArgsIter { bytes: self.bytes, ranges: self.ranges.iter() }
    }

    /// The same command without its first `count` arguments; empty if it has fewer.
    #[inline]
    pub fn skip(self, count: usize) -> Self {
        Self { bytes: self.bytes, ranges: self.ranges.get(count..).unwrap_or_default() }
    }

    /// Copies the command, to be kept after its buffer is gone (a queued or parked command).
    pub fn to_owned(self) -> OwnedArgs {
        self.iter().collect()
    }
}

impl Index<usize> for Args<'_> {
    type Output = [u8];

    /// Panics beyond the last argument, as a slice does: check the arity first.
    #[inline]
    fn index(&self, index: usize) -> &[u8] {
        &self.bytes[self.ranges[index].clone()]
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgsIter<'a>;

    fn into_iter(self) -> ArgsIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|arg| arg.escape_ascii().to_string())).finish()
    }
}

/// Iterates over the arguments of [`Args`].
#[derive(Clone)]
pub struct ArgsIter<'a> {
    bytes: &'a [u8],
    ranges: slice::Iter<'a, Range<usize>>,
}

impl<'a> Iterator for ArgsIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.ranges.next().map(|range| &self.bytes[range.clone()])
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranges.size_hint()
    }
}

impl DoubleEndedIterator for ArgsIter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        self.ranges.next_back().map(|range| &self.bytes[range.clone()])
    }
}

impl ExactSizeIterator for ArgsIter<'_> {}
impl FusedIterator for ArgsIter<'_> {}

/// A command that owns its bytes: one buffer for all arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
}

impl OwnedArgs {
    /// The command as the parser would show it.
    #[inline]
    pub fn args(&self) -> Args<'_> {
        Args { bytes: &self.bytes, ranges: &self.ranges }
    }

    /// The bytes that the arguments take together, for bounding a queue of commands.
    pub fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn push(&mut self, arg: &[u8]) {
        let start = self.open();
        self.bytes.extend_from_slice(arg);
        self.close(start);
    }

    /// Starts an argument that [`Self::push_byte`] fills and [`Self::close`] ends; returns where it starts.
    pub(crate) fn open(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn push_byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn close(&mut self, start: usize) {
        self.ranges.push(start..self.bytes.len());
    }

    /// Forgets the arguments, and keeps room for `args_kept` of them and as many 16 bytes of text.
    pub(crate) fn clear(&mut self, args_kept: usize) {
        self.bytes.clear();
        self.bytes.shrink_to(args_kept * size_of::<Range<usize>>());
        self.ranges.clear();
        self.ranges.shrink_to(args_kept);
    }
}

impl<A: AsRef<[u8]>> FromIterator<A> for OwnedArgs {
    fn from_iter<I: IntoIterator<Item = A>>(args: I) -> Self {
        let mut owned = Self::default();
        for arg in args {
            owned.push(arg.as_ref());
        }
        owned
    }
}
