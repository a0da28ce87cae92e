//! Reading a value.

use super::packed::{Bytes, intset, listpack, lzf, ziplist};
use super::{FOOTER_BYTES, RestoreError, VERSION, crc64, kind, stream};
use crate::arg;
use crate::whole::Whole;
use ironcache_keyspace::MAX_STRING_BYTES;
use ironcache_keyspace::progress::ticking;
use std::collections::HashSet;

/// The value of a payload of `DUMP`.
///
/// # Errors
/// [`RestoreError`].
pub(crate) fn read(payload: &[u8]) -> Result<Whole, RestoreError> {
    let body = sound(payload)?;
    let mut reader = Reader(Bytes(body));
    let whole = reader.whole()?;
    if !reader.0.0.is_empty() || whole.is_empty_collection() {
        return Err(RestoreError::Value);
    }
    Ok(whole)
}

/// What stands before the footer, if that is in order.
pub(super) fn sound(payload: &[u8]) -> Result<&[u8], RestoreError> {
    let (body, footer) =
        payload.len().checked_sub(FOOTER_BYTES).map(|at| payload.split_at(at)).ok_or(RestoreError::Footer)?;
    let (version, checksum) = footer.split_at(2);
    let sound = crc64(&payload[..payload.len() - 8]).to_le_bytes() == *checksum;
    if u16::from_le_bytes([version[0], version[1]]) > VERSION || !sound {
        return Err(RestoreError::Footer);
    }
    Ok(body)
}

pub(super) struct Reader<'a>(pub Bytes<'a>);

/// A length, or a string that is no plain one.
enum Length {
    Plain(usize),
    Encoded(u8),
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<Whole, RestoreError> {
        let kind = self.0.byte()?;
        Ok(match kind {
            kind::STRING => Whole::String(self.string()?),
            kind::LIST => Whole::List(self.strings()?),
            kind::LIST_ZIPLIST => Whole::List(ziplist(&self.string()?)?),
            kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => Whole::List(self.quicklist(kind)?),
            kind::SET => Whole::Set(distinct(self.strings()?)?),
            kind::SET_INTSET => Whole::Set(distinct(intset(&self.string()?)?)?),
            kind::SET_LISTPACK => Whole::Set(distinct(listpack(&self.string()?)?)?),
            kind::HASH => {
                let count = self.length()?;
                let fields = ticking(0..count).map(|_| Ok([self.string()?, self.string()?]));
                hash(fields.collect::<Result<_, _>>()?)?
            }
            kind::HASH_ZIPLIST => hash(pairs(ziplist(&self.string()?)?)?)?,
            kind::HASH_LISTPACK => hash(pairs(listpack(&self.string()?)?)?)?,
            kind::ZSET | kind::ZSET_TEXT => {
                let count = self.length()?;
                let members = ticking(0..count).map(|_| {
                    let member = self.string()?;
                    let score = if kind == kind::ZSET { self.double()? } else { self.double_as_text()? };
                    Ok((score, member))
                });
                zset(members.collect::<Result<_, _>>()?)?
            }
            kind::ZSET_ZIPLIST => scored(ziplist(&self.string()?)?)?,
            kind::ZSET_LISTPACK => scored(listpack(&self.string()?)?)?,
            kind::STREAM | kind::STREAM_2 | kind::STREAM_3 => Whole::Stream(stream::read(self, kind)?),
            _ => return Err(RestoreError::Value),
        })
    }

    fn length_or_encoding(&mut self) -> Result<Length, RestoreError> {
        let first = self.0.byte()?;
        let len = match first >> 6 {
            0 => u64::from(first),
            1 => u64::from(first & 0x3f) << 8 | u64::from(self.0.byte()?),
            2 if first == 0x80 => self.0.big_endian(4)?,
            2 if first == 0x81 => self.0.big_endian(8)?,
            2 => return Err(RestoreError::Value),
            _ => return Ok(Length::Encoded(first & 0x3f)),
        };
        usize::try_from(len).map(Length::Plain).map_err(|_| RestoreError::Value)
    }

    pub(super) fn length(&mut self) -> Result<usize, RestoreError> {
        match self.length_or_encoding()? {
            Length::Plain(len) => Ok(len),
            Length::Encoded(_) => Err(RestoreError::Value),
        }
    }

    pub(super) fn string(&mut self) -> Result<Box<[u8]>, RestoreError> {
        let number = |number: i64| Ok(Box::from(itoa::Buffer::new().format(number).as_bytes()));
        match self.length_or_encoding()? {
            Length::Plain(len) => Ok(Box::from(self.0.take(len)?)),
            Length::Encoded(0) => number(self.0.integer(1)?),
            Length::Encoded(1) => number(self.0.integer(2)?),
            Length::Encoded(2) => number(self.0.integer(4)?),
            Length::Encoded(3) => {
                let (compressed, len) = (self.length()?, self.length()?);
                if len as u64 > MAX_STRING_BYTES {
                    return Err(RestoreError::Value);
                }
                Ok(lzf(self.0.take(compressed)?, len)?.into())
            }
            Length::Encoded(_) => Err(RestoreError::Value),
        }
    }

    fn strings(&mut self) -> Result<Vec<Box<[u8]>>, RestoreError> {
        let count = self.length()?;
        ticking(0..count).map(|_| self.string()).collect()
    }

    fn quicklist(&mut self, of: u8) -> Result<Vec<Box<[u8]>>, RestoreError> {
        const PLAIN: usize = 1;
        const PACKED: usize = 2;
        let nodes = self.length()?;
        let mut all = Vec::new();
        for _ in ticking(0..nodes) {
            let container = if of == kind::LIST_QUICKLIST { None } else { Some(self.length()?) };
            let node = self.string()?;
            match container {
                None => all.extend(ziplist(&node)?),
                Some(PLAIN) => all.push(node),
                Some(PACKED) => all.extend(listpack(&node)?),
                Some(_) => return Err(RestoreError::Value),
            }
        }
        Ok(all)
    }

    fn double(&mut self) -> Result<f64, RestoreError> {
        Ok(f64::from_bits(self.0.integer(8)? as u64))
    }

    fn double_as_text(&mut self) -> Result<f64, RestoreError> {
        match self.0.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Err(RestoreError::Value),
            len => {
                let text = self.0.take(len.into())?;
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(RestoreError::Value)
            }
        }
    }
}

fn distinct(members: Vec<Box<[u8]>>) -> Result<Vec<Box<[u8]>>, RestoreError> {
    check_distinct(members.iter())?;
    Ok(members)
}

fn check_distinct<'a>(mut names: impl Iterator<Item = &'a Box<[u8]>>) -> Result<(), RestoreError> {
    let mut seen = HashSet::new();
    if names.all(|name| seen.insert(name)) { Ok(()) } else { Err(RestoreError::Value) }
}

fn pairs(elements: Vec<Box<[u8]>>) -> Result<Vec<[Box<[u8]>; 2]>, RestoreError> {
    let (mut pairs, mut elements) = (Vec::new(), elements.into_iter());
    while let Some(first) = elements.next() {
        pairs.push([first, elements.next().ok_or(RestoreError::Value)?]);
    }
    Ok(pairs)
}

fn hash(fields: Vec<[Box<[u8]>; 2]>) -> Result<Whole, RestoreError> {
    check_distinct(fields.iter().map(|[name, _]| name))?;
    Ok(Whole::Hash(fields))
}

/// There is one zero, as everywhere.
fn zset(members: Vec<(f64, Box<[u8]>)>) -> Result<Whole, RestoreError> {
    check_distinct(members.iter().map(|(_, member)| member))?;
    if members.iter().any(|(score, _)| score.is_nan()) {
        return Err(RestoreError::Value);
    }
    Ok(Whole::Zset(members.into_iter().map(|(score, member)| (arg::one_zero(score), member)).collect()))
}

fn scored(elements: Vec<Box<[u8]>>) -> Result<Whole, RestoreError> {
    let score = |text: &[u8]| {
        std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(RestoreError::Value)
    };
    let members = pairs(elements)?.into_iter().map(|[member, text]| Ok((score(&text)?, member)));
    zset(members.collect::<Result<_, _>>()?)
}
