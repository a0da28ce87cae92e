//! Replies as clients see them: for tools, tests and the command line.
//!
//! *Invariant:* nesting is bounded, so hostile bytes cannot exhaust the stack.
//! *Invariant:* an aggregate reserves room for its elements only as they arrive.

use crate::error::ReplyError;
use crate::integer::parse_integer;
use crate::write::Writer;

/// Levels of nesting that are accepted. Redis' deepest replies (`COMMAND DOCS`) have fewer than ten; each level costs
/// one stack frame.
const DEPTH_MAX: usize = 64;
/// The longest line of a simple string, error or number. Only a peer that is no RESP server sends longer ones.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// The longest string, in bytes: Redis' own `proto-max-bulk-len`.
const BULK_BYTES_MAX: i64 = 512 * 1024 * 1024;
/// The most elements of one aggregate (`KEYS` on a large shard); they are only reserved as they arrive.
const ELEMENTS_MAX: i64 = 1 << 31;

/// One reply. RESP2's and RESP3's absent values are both [`Value::Null`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Simple(String),
    /// The text includes its code (`ERR …`).
    Error(String),
    Int(i64),
    Bulk(Vec<u8>),
    Null,
    Array(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Set(Vec<Value>),
    Double(f64),
    Boolean(bool),
    /// `format` is three characters, as `txt`.
    Verbatim {
        format: String,
        text: Vec<u8>,
    },
    BigNumber(String),
    /// A message that answers no command.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a string of any kind; `None` for other replies.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(text) | Self::BigNumber(text) => Some(text.as_bytes()),
            Self::Bulk(bytes) | Self::Verbatim { format: _, text: bytes } => Some(bytes),
            Self::Error(_)
            | Self::Int(_)
            | Self::Null
            | Self::Array(_)
            | Self::Map(_)
            | Self::Set(_)
            | Self::Double(_)
            | Self::Boolean(_)
            | Self::Push(_) => None,
        }
    }

    /// Appends the reply as `writer`'s protocol has it.
    pub fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Simple(text) => writer.simple(text),
            Self::Error(text) => writer.error(text),
            Self::Int(value) => writer.int(*value),
            Self::Bulk(bytes) => writer.bulk(bytes),
            Self::Null => writer.null(),
            Self::Array(elements) => {
                writer.array(elements.len());
                elements.iter().for_each(|element| element.write(writer));
            }
            Self::Map(pairs) => {
                writer.map(pairs.len());
                for (key, value) in pairs {
                    key.write(writer);
                    value.write(writer);
                }
            }
            Self::Set(elements) => {
                writer.set(elements.len());
                elements.iter().for_each(|element| element.write(writer));
            }
            Self::Double(value) => writer.double(*value),
            Self::Boolean(value) => writer.boolean(*value),
            Self::Verbatim { format, text } => writer.verbatim(format, text),
            Self::BigNumber(digits) => writer.big_number(digits),
            Self::Push(elements) => {
                writer.push(elements.len());
                elements.iter().for_each(|element| element.write(writer));
            }
        }
    }
}

/// Parses the reply at the start of `buf`, of either protocol. Returns it and the bytes it takes; `None` if it goes on
/// after the buffer's end. Attributes (`|`) before a reply are skipped; an error in a blob (`!`) is a [`Value::Error`].
///
/// Every call starts at the beginning, so read in growing steps when a reply may be large.
pub fn parse_value(buf: &[u8]) -> Result<Option<(Value, usize)>, ReplyError> {
    let mut reader = Reader { buf, position: 0 };
    Ok(reader.value(0)?.map(|value| (value, reader.position)))
}

struct Reader<'a> {
    buf: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<Option<Value>, ReplyError> {
        if depth > DEPTH_MAX {
            return Err(ReplyError::TooDeep { limit: DEPTH_MAX });
        }
        loop {
            let Some(&kind) = self.buf.get(self.position) else { return Ok(None) };
            if !b"+-:$*_#,(=%~>!|".contains(&kind) {
                return Err(ReplyError::UnknownType { got: kind });
            }
            self.position += 1;
            let Some(line) = self.line()? else { return Ok(None) };
            if kind != b'|' {
                return self.value_of(kind, line, depth);
            }
            let Some(_attributes) = self.pairs(kind, line, depth)? else { return Ok(None) };
        }
    }

    /// The value whose first line is `kind` and `line`.
    fn value_of(&mut self, kind: u8, line: &[u8], depth: usize) -> Result<Option<Value>, ReplyError> {
        let malformed = ReplyError::MalformedLine { kind };
        let value = match kind {
            b'+' => Value::Simple(lossy(line)),
            b'-' => Value::Error(lossy(line)),
            b':' => Value::Int(parse_integer(line.strip_prefix(b"+").unwrap_or(line)).ok_or(malformed)?),
            b'_' if line.is_empty() => Value::Null,
            b'#' if line == b"t" => Value::Boolean(true),
            b'#' if line == b"f" => Value::Boolean(false),
            b',' => Value::Double(parse_double(line).ok_or(malformed)?),
            b'(' if is_big_number(line) => Value::BigNumber(lossy(line)),
            b'$' | b'*' if line == b"-1" => Value::Null,
            b'$' => return Ok(self.bulk(kind, line)?.map(|bytes| Value::Bulk(bytes.to_vec()))),
            b'!' => return Ok(self.bulk(kind, line)?.map(|bytes| Value::Error(lossy(bytes)))),
            b'=' => {
                let Some(bytes) = self.bulk(kind, line)? else { return Ok(None) };
                match bytes.split_at_checked(4) {
                    Some((format @ [.., b':'], text)) if format.is_ascii() => {
                        Value::Verbatim { format: lossy(&format[..3]), text: text.to_vec() }
                    }
                    _ => return Err(malformed),
                }
            }
            b'*' => return Ok(self.elements(kind, line, depth)?.map(Value::Array)),
            b'~' => return Ok(self.elements(kind, line, depth)?.map(Value::Set)),
            b'>' => return Ok(self.elements(kind, line, depth)?.map(Value::Push)),
            b'%' => return Ok(self.pairs(kind, line, depth)?.map(Value::Map)),
            _ => return Err(malformed),
        };
        Ok(Some(value))
    }

    fn elements(&mut self, kind: u8, line: &[u8], depth: usize) -> Result<Option<Vec<Value>>, ReplyError> {
        let count = length(kind, line, ELEMENTS_MAX)?;
        let mut elements = Vec::new();
        for _ in 0..count {
            let Some(element) = self.value(depth + 1)? else { return Ok(None) };
            elements.push(element);
        }
        Ok(Some(elements))
    }

    fn pairs(
        &mut self,
        kind: u8,
        line: &[u8],
        depth: usize,
    ) -> Result<Option<Vec<(Value, Value)>>, ReplyError> {
        let count = length(kind, line, ELEMENTS_MAX)?;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let Some(key) = self.value(depth + 1)? else { return Ok(None) };
            let Some(value) = self.value(depth + 1)? else { return Ok(None) };
            pairs.push((key, value));
        }
        Ok(Some(pairs))
    }

    /// The string of the length that `line` gives, and its line end.
    fn bulk(&mut self, kind: u8, line: &[u8]) -> Result<Option<&'a [u8]>, ReplyError> {
        let length_bytes = length(kind, line, BULK_BYTES_MAX)?;
        let Some((bytes, rest)) = self.buf[self.position..].split_at_checked(length_bytes) else {
            return Ok(None);
        };
        match rest {
            [b'\r', b'\n', ..] => {
                self.position += length_bytes + 2;
                Ok(Some(bytes))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(ReplyError::ExpectedEnd { length_bytes }),
        }
    }

    /// The rest of the line, without its CRLF.
    fn line(&mut self) -> Result<Option<&'a [u8]>, ReplyError> {
        let rest = &self.buf[self.position..];
        let end = memchr::memmem::find(rest, b"\r\n");
        if end.unwrap_or(rest.len()) > LINE_BYTES_MAX {
            return Err(ReplyError::TooBigLine { limit_bytes: LINE_BYTES_MAX });
        }
        Ok(end.map(|end| {
            self.position += end + 2;
            &rest[..end]
        }))
    }
}

fn length(kind: u8, line: &[u8], limit: i64) -> Result<usize, ReplyError> {
    let length = parse_integer(line).ok_or(ReplyError::MalformedLine { kind })?;
    match usize::try_from(length) {
        Ok(fits) if length <= limit => Ok(fits),
        _ => Err(ReplyError::InvalidLength { kind, length, limit }),
    }
}

fn parse_double(line: &[u8]) -> Option<f64> {
    // Rust reads the RESP3 forms "inf", "-inf" and "nan" as well.
    std::str::from_utf8(line).ok()?.parse().ok()
}

fn is_big_number(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").or_else(|| line.strip_prefix(b"+")).unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
