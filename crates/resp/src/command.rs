//! Parses what clients send: RESP arrays of bulk strings ("multibulk") and inline commands.
//!
//! ```text
//! *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n      a multibulk command
//! SET k "v"\r\n                                  the same, inline
//! ```
//!
//! The parser remembers how far it came, so a command in pieces is never scanned twice: after
//! [`Parsed::Incomplete`] call [`CommandParser::parse`] again with the same start and more bytes.
//!
//! *Invariant:* `position` is 0 or the start of an argument's header; what lies before it is in `ranges` for good.
//! *Invariant:* a length is compared with its limit when its header is read, before a byte of it is waited for.
//! *Invariant:* memory grows with the bytes that arrived, never with a count or length that a header claims.

use std::ops::Range;

use crate::args::{Args, OwnedArgs};
use crate::error::ProtocolError;
use crate::inline::split_line;
use crate::integer::parse_integer;

/// The smallest argument on the wire: `$0\r\n\r\n`.
const ARG_BYTES_MIN: usize = 6;

/// Scratch that is kept from one command to the next, in arguments (16 bytes each). If larger, a connection goes on
/// holding what its largest command once needed; if smaller, ordinary `MSET`s allocate.
pub(crate) const SCRATCH_ARGS_KEPT: usize = 1024;

/// Digits that the quick path reads: nine cannot overflow, and hold every length that the default limits accept.
const QUICK_DIGITS: usize = 9;

/// What a client may claim. The bytes of one whole command are bounded by the reader of the connection, not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest argument, in bytes (`proto-max-bulk-len`).
    pub bulk_bytes_max: usize,
    /// The most arguments of one command. By default sixteen times a million: fewer, and who sends a large `MSET` or `SADD`
    /// that Redis takes is closed; more, and the shortest arguments take gigabytes beside their bytes, 32 for each.
    pub args_max: usize,
    /// The longest inline command, and the longest line of a header, in bytes.
    pub inline_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bulk_bytes_max: 512 * 1024 * 1024, args_max: 16 << 20, inline_bytes_max: 64 * 1024 }
    }
}

/// How much a client is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Trust {
    /// The client has to authenticate first: its commands are held to what `AUTH` and `HELLO` take, so that a stranger
    /// cannot make the server buffer much (CVE-2021-32675).
    Unauthenticated,
    #[default]
    Authenticated,
}

/// What an unauthenticated client may send, as in Redis.
const UNAUTHENTICATED_ARGS_MAX: usize = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX: usize = 16384;

/// How far [`CommandParser::parse`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The command goes on after the buffer's end, for at least so many more bytes. That number is the client's
    /// claim: bound what you reserve for it.
    Incomplete { needed_bytes_at_least: usize },
    /// The command is the buffer's first `consumed` bytes; [`CommandParser::args`] shows its arguments.
    Complete { consumed: usize },
}

/// Where the arguments of the last command lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// In the caller's buffer, at `ranges`.
    Buffer,
    /// In `line`, because quotes had to be resolved.
    Inline,
}

/// Parses the commands of one connection, one at a time.
#[derive(Debug)]
pub struct CommandParser {
    limits: Limits,
    trust: Trust,
    source: Source,
    ranges: Vec<Range<usize>>,
    line: OwnedArgs,
    /// The next argument's header, counted from the command's start. 0: no command is under way.
    position: usize,
    /// Arguments still to come.
    remaining: usize,
    /// No line end lies between the current line's start and here.
    searched: usize,
}

impl CommandParser {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            trust: Trust::default(),
            source: Source::Buffer,
            ranges: Vec::new(),
            line: OwnedArgs::default(),
            position: 0,
            remaining: 0,
            searched: 0,
        }
    }

    /// Replaces the limits, from the next header on (`CONFIG SET proto-max-bulk-len`).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Says how much the client is believed, from the next header on. A new parser takes it for authenticated.
    pub fn set_trust(&mut self, trust: Trust) {
        self.trust = trust;
    }

    /// Parses the command at the start of `buf`.
    ///
    /// After [`Parsed::Incomplete`] the next call must see the same bytes again, and more after them; they may have
    /// moved. After [`Parsed::Complete`] the next call starts the next command, so pass what follows `consumed`.
    /// After an error no command boundary is known: answer it and close.
    #[inline]
    pub fn parse(&mut self, buf: &[u8]) -> Result<Parsed, ProtocolError> {
        let parsed = self.advance(buf);
        if parsed.is_err() {
            self.reset();
        }
        parsed
    }

    /// The arguments of the command that [`Self::parse`] completed last; `buf` is what it was completed from.
    #[inline]
    pub fn args<'a>(&'a self, buf: &'a [u8]) -> Args<'a> {
        match self.source {
            Source::Buffer => Args::new(buf, &self.ranges),
            Source::Inline => self.line.args(),
        }
    }

    /// Argument `index` of that command, 0 being its name.
    #[inline]
    pub fn arg<'a>(&'a self, buf: &'a [u8], index: usize) -> Option<&'a [u8]> {
        self.args(buf).get(index)
    }

    /// Forgets a command that is under way: the next call starts at a new one.
    pub fn reset(&mut self) {
        self.ranges.clear();
        self.line.clear(SCRATCH_ARGS_KEPT);
        self.source = Source::Buffer;
        self.position = 0;
        self.remaining = 0;
        self.searched = 0;
    }

    #[inline]
    fn advance(&mut self, buf: &[u8]) -> Result<Parsed, ProtocolError> {
        if self.position == 0 {
            match buf.first() {
                None => return Ok(Parsed::Incomplete { needed_bytes_at_least: 1 }),
                Some(b'*') => {}
                Some(_) => return self.inline(buf),
            }
            self.source = Source::Buffer;
            self.ranges.clear();
            let Some((count, next)) = self.length_at(buf, 1).map_err(LineError::of_multibulk)? else {
                return Ok(Parsed::Incomplete { needed_bytes_at_least: 1 });
            };
            // A negative count is an empty command, as in Redis.
            let count = usize::try_from(count).unwrap_or(0);
            self.check_count(count)?;
            self.remaining = count;
            if self.ranges.capacity() > SCRATCH_ARGS_KEPT {
                self.ranges.shrink_to(SCRATCH_ARGS_KEPT);
            }
            self.position = next;
        }
        self.bulks(buf)
    }

    /// Reads the arguments that are still to come.
    #[inline]
    fn bulks(&mut self, buf: &[u8]) -> Result<Parsed, ProtocolError> {
        while self.remaining > 0 {
            self.short_bulks(buf);
            if self.remaining == 0 {
                break;
            }
            match buf.get(self.position) {
                None => return Ok(Self::incomplete(buf, self.position, self.remaining)),
                Some(b'$') => {}
                Some(&got) => return Err(ProtocolError::ExpectedBulk { got }),
            }
            let Some((length, start)) = self.length_at(buf, self.position + 1).map_err(LineError::of_bulk)?
            else {
                return Ok(Parsed::Incomplete { needed_bytes_at_least: 1 });
            };
            let length = usize::try_from(length).map_err(|_| ProtocolError::InvalidBulkLength)?;
            self.check_length(length)?;
            let end = start.saturating_add(length);
            match buf.get(end..) {
                Some([b'\r', b'\n', ..]) => {}
                None | Some([] | [b'\r']) => {
                    return Ok(Self::incomplete(buf, end.saturating_add(2), self.remaining - 1));
                }
                Some(_) => return Err(ProtocolError::ExpectedBulkEnd),
            }
            self.ranges.push(start..end);
            self.position = end + 2;
            self.remaining -= 1;
        }
        let consumed = self.position;
        self.position = 0;
        self.searched = 0;
        Ok(Parsed::Complete { consumed })
    }

    /// Takes the arguments from here on for as long as each is a [`short_bulk`].
    #[inline]
    fn short_bulks(&mut self, buf: &[u8]) {
        let (mut position, mut remaining) = (self.position, self.remaining);
        while remaining > 0
            && let Some(range) = short_bulk(buf, position)
            && self.check_length(range.len()).is_ok()
        {
            position = range.end + 2;
            remaining -= 1;
            self.ranges.push(range);
        }
        (self.position, self.remaining) = (position, remaining);
    }

    #[inline]
    fn check_count(&self, count: usize) -> Result<(), ProtocolError> {
        if count > self.limits.args_max {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        match self.trust {
            Trust::Unauthenticated if count > UNAUTHENTICATED_ARGS_MAX => {
                Err(ProtocolError::UnauthenticatedMultibulkLength)
            }
            Trust::Unauthenticated | Trust::Authenticated => Ok(()),
        }
    }

    #[inline]
    fn check_length(&self, length: usize) -> Result<(), ProtocolError> {
        if length > self.limits.bulk_bytes_max {
            return Err(ProtocolError::InvalidBulkLength);
        }
        match self.trust {
            Trust::Unauthenticated if length > UNAUTHENTICATED_BULK_BYTES_MAX => {
                Err(ProtocolError::UnauthenticatedBulkLength)
            }
            Trust::Unauthenticated | Trust::Authenticated => Ok(()),
        }
    }

    /// What is under way ends at `end`, beyond the buffer, and `others` arguments follow it.
    #[cold]
    fn incomplete(buf: &[u8], end: usize, others: usize) -> Parsed {
        let total_bytes = end.saturating_add(others.saturating_mul(ARG_BYTES_MIN));
        Parsed::Incomplete { needed_bytes_at_least: total_bytes.saturating_sub(buf.len()).max(1) }
    }

    /// Reads the number at `at` (after `*` or `$`) and its line end. Returns it and where the next byte is; `None`
    /// if the line is not complete.
    #[inline]
    fn length_at(&mut self, buf: &[u8], at: usize) -> Result<Option<(i64, usize)>, LineError> {
        let mut value: i64 = 0;
        let mut digits = 0;
        let text = buf.get(at..).unwrap_or_default();
        for &byte in text.iter().take(QUICK_DIGITS) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value * 10 + i64::from(digit);
            digits += 1;
        }
        match text.get(digits..) {
            Some([b'\r', b'\n', ..]) if digits == 1 || (digits > 1 && text[0] != b'0') => {
                Ok(Some((value, at + digits + 2)))
            }
            _ => self.unusual_length_at(buf, at),
        }
    }

    /// As [`Self::length_at`], for lines that are incomplete, wrong, negative or long.
    #[cold]
    fn unusual_length_at(&mut self, buf: &[u8], at: usize) -> Result<Option<(i64, usize)>, LineError> {
        let from = at.max(self.searched).min(buf.len());
        let found = memchr::memchr(b'\r', &buf[from..]).map(|offset| from + offset);
        let line_bytes = found.unwrap_or(buf.len()).saturating_sub(at - 1);
        if line_bytes > self.limits.inline_bytes_max {
            return Err(LineError::TooBig);
        }
        let Some(end) = found else {
            self.searched = buf.len();
            return Ok(None);
        };
        match buf.get(end + 1) {
            None => Ok(None),
            Some(b'\n') => match parse_integer(&buf[at..end]) {
                Some(value) => Ok(Some((value, end + 2))),
                None => Err(LineError::Invalid),
            },
            Some(_) => Err(LineError::Invalid),
        }
    }

    /// Parses the inline command at the start of `buf`. Its arguments are copied, so that quotes can be resolved.
    #[cold]
    fn inline(&mut self, buf: &[u8]) -> Result<Parsed, ProtocolError> {
        let from = self.searched.min(buf.len());
        let found = memchr::memchr(b'\n', &buf[from..]).map(|offset| from + offset);
        if found.unwrap_or(buf.len()) > self.limits.inline_bytes_max {
            return Err(ProtocolError::TooBigInline);
        }
        let Some(newline) = found else {
            self.searched = buf.len();
            return Ok(Parsed::Incomplete { needed_bytes_at_least: 1 });
        };
        let line = &buf[..newline];
        split_line(line.strip_suffix(b"\r").unwrap_or(line), &mut self.line)?;
        self.source = Source::Inline;
        self.searched = 0;
        Ok(Parsed::Complete { consumed: newline + 1 })
    }
}

impl Default for CommandParser {
    /// A parser with Redis' default limits.
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

/// The whole argument at `at`, if its length has at most three digits: nearly every one, and no question of limits,
/// signs or missing bytes. `None` says nothing.
#[inline]
pub(crate) fn short_bulk(buf: &[u8], at: usize) -> Option<Range<usize>> {
    let value = |digit: u8| usize::from(digit - b'0');
    let (length, start) = match *buf.get(at..)? {
        [b'$', a @ b'0'..=b'9', b'\r', b'\n', ..] => (value(a), at + 4),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => (10 * value(a) + value(b), at + 5),
        [b'$', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b'\r', b'\n', ..] => {
            (100 * value(a) + 10 * value(b) + value(c), at + 6)
        }
        _ => return None,
    };
    let end = start + length;
    matches!(buf.get(end..)?, [b'\r', b'\n', ..]).then_some(start..end)
}

/// What is wrong with the line of a header, before it is known whose header it is.
enum LineError {
    Invalid,
    TooBig,
}

impl LineError {
    fn of_multibulk(self) -> ProtocolError {
        match self {
            Self::Invalid => ProtocolError::InvalidMultibulkLength,
            Self::TooBig => ProtocolError::TooBigMultibulkCount,
        }
    }

    fn of_bulk(self) -> ProtocolError {
        match self {
            Self::Invalid => ProtocolError::InvalidBulkLength,
            Self::TooBig => ProtocolError::TooBigBulkCount,
        }
    }
}
