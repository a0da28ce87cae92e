//! Writing a value.

use super::{VERSION, crc64, kind, stream};
use ironcache_keyspace::Value;
use ironcache_keyspace::progress::ticking;
use ironcache_resp::parse_integer;

/// The whole payload of `DUMP`.
pub(crate) fn write(value: Value<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Value::String(text) => {
            out.push(kind::STRING);
            put_string(&mut out, text);
        }
        Value::List(list) => {
            out.push(kind::LIST);
            put_length(&mut out, list.items().len());
            ticking(list.items()).for_each(|item| put_string(&mut out, item));
        }
        Value::Set(set) => {
            out.push(kind::SET);
            put_length(&mut out, set.len());
            ticking(set).for_each(|member| put_string(&mut out, member));
        }
        Value::Hash(hash) => {
            out.push(kind::HASH);
            put_length(&mut out, hash.len());
            for (name, value) in ticking(hash) {
                put_string(&mut out, name);
                put_string(&mut out, value);
            }
        }
        Value::Zset(zset) => {
            out.push(kind::ZSET);
            put_length(&mut out, zset.len());
            // From the highest, so that whoever reads inserts at the front.
            for scored in ticking(zset.descending(zset.len())) {
                put_string(&mut out, scored.member);
                out.extend(scored.score.to_le_bytes());
            }
        }
        Value::Stream(stream) => {
            out.push(kind::STREAM_2);
            stream::write(stream, &mut out);
        }
    }
    seal(out)
}

/// With its footer.
pub(super) fn seal(mut out: Vec<u8>) -> Vec<u8> {
    out.extend(VERSION.to_le_bytes());
    let checksum = crc64(&out);
    out.extend(checksum.to_le_bytes());
    out
}

pub(super) fn put_length(out: &mut Vec<u8>, len: usize) {
    match len {
        0..0x40 => out.push(len as u8),
        0x40..0x4000 => out.extend((0x4000 | len as u16).to_be_bytes()),
        0x4000..=0xffff_ffff => {
            out.push(0x80);
            out.extend((len as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend((len as u64).to_be_bytes());
        }
    }
}

/// A short text that is an integer of 32 bits is one.
pub(super) fn put_string(out: &mut Vec<u8>, text: &[u8]) {
    const INTEGER_BYTES_MAX: usize = 11;
    let number = if text.len() <= INTEGER_BYTES_MAX { parse_integer(text) } else { None };
    match number.and_then(|number| i32::try_from(number).ok()) {
        Some(number) if i8::try_from(number).is_ok() => out.extend([0xc0, number as u8]),
        Some(number) if i16::try_from(number).is_ok() => {
            out.push(0xc1);
            out.extend((number as i16).to_le_bytes());
        }
        Some(number) => {
            out.push(0xc2);
            out.extend(number.to_le_bytes());
        }
        None => {
            put_length(out, text.len());
            out.extend(text);
        }
    }
}
