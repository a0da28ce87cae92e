//! Writes replies, in the protocol of the connection, and commands.
//!
//! *Invariant:* every method appends one whole RESP element, or the header of an aggregate whose elements follow.
//! *Invariant:* text that must stay on one line (simple strings, errors) never carries a CR or LF of its own.

use crate::double::format_double;
use crate::protocol::Protocol;

const CRLF: &[u8] = b"\r\n";

/// Appends replies to a buffer. Types that RESP2 lacks are written as Redis writes them there.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol of what follows (`HELLO` answers in the protocol that it chose).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// The bytes in the buffer, those of earlier replies included.
    pub fn len_bytes(&self) -> usize {
        self.out.len()
    }

    /// A simple string: `+text`.
    #[inline]
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text);
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.out.extend_from_slice(b"+OK\r\n");
    }

    /// An error: `-text`, where `text` starts with its code (`ERR …`, `MOVED …`).
    pub fn error(&mut self, text: &str) {
        self.line(b'-', text);
    }

    #[inline]
    pub fn int(&mut self, value: i64) {
        self.header(b':', value);
    }

    /// A length or count as an integer; above `i64::MAX`, which nothing in memory reaches, it saturates.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        write_bulk(bytes, self.out);
    }

    /// An integer as a bulk string.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value).as_bytes());
    }

    /// The absent value: `$-1` in RESP2, `_` in RESP3.
    #[inline]
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The absent array: `*-1` in RESP2, `_` in RESP3.
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The header of an array; `len` elements follow.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.aggregate(b'*', len);
    }

    /// The header of a map; `pairs` times a key and a value follow. In RESP2 an array of both.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => self.aggregate(b'*', pairs.saturating_mul(2)),
            Protocol::Resp3 => self.aggregate(b'%', pairs),
        }
    }

    /// The header of a set; `len` elements follow. In RESP2 an array.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.aggregate(b'*', len),
            Protocol::Resp3 => self.aggregate(b'~', len),
        }
    }

    /// The header of a message that answers no command; `len` elements follow. In RESP2 an array.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp2 => self.aggregate(b'*', len),
            Protocol::Resp3 => self.aggregate(b'>', len),
        }
    }

    /// A double; in RESP2 a bulk string of the same text.
    pub fn double(&mut self, value: f64) {
        let text = format_double(value);
        match self.protocol {
            Protocol::Resp2 => self.bulk(text.as_bytes()),
            Protocol::Resp3 => self.line(b',', &text),
        }
    }

    /// `#t` or `#f`; in RESP2 the integer 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.out.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
        });
    }

    /// Text for people, in a `format` of three characters (`txt`, `mkd`); in RESP2 a bulk string. As in Redis, a
    /// shorter format is filled with spaces, and of a longer one the first three bytes count.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                self.aggregate(b'=', text.len().saturating_add(4));
                self.out.extend(format.bytes().chain(*b"   ").take(3));
                self.out.push(b':');
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(CRLF);
            }
        }
    }

    /// An integer of any size, given as its digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(digits.as_bytes()),
            Protocol::Resp3 => self.line(b'(', digits),
        }
    }

    /// Bytes that are already RESP, of this writer's protocol.
    pub fn raw(&mut self, resp: &[u8]) {
        self.out.extend_from_slice(resp);
    }

    #[inline]
    fn line(&mut self, kind: u8, text: &str) {
        self.out.push(kind);
        let start = self.out.len();
        self.out.extend_from_slice(text.as_bytes());
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.extend_from_slice(CRLF);
    }

    #[inline]
    fn header(&mut self, kind: u8, value: i64) {
        self.out.push(kind);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self.out.extend_from_slice(CRLF);
    }

    #[inline]
    fn aggregate(&mut self, kind: u8, len: usize) {
        write_length(kind, len, self.out);
    }
}

/// Appends the command `args`, name first, as clients and replication links send it.
pub fn encode_command<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    write_length(b'*', args.len(), out);
    for arg in args {
        write_bulk(arg.as_ref(), out);
    }
}

#[inline]
fn write_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 16);
    write_length(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(CRLF);
}

#[inline]
fn write_length(kind: u8, length: usize, out: &mut Vec<u8>) {
    out.push(kind);
    if length < 10 {
        // The length fits one digit, so it fits an u8.
        out.extend_from_slice(&[b'0' + length as u8, b'\r', b'\n']);
    } else {
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.extend_from_slice(CRLF);
    }
}
