//! Entries as replies.

use super::error::StreamError;
use super::{Outcome, id};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Element, Stream, StreamEntry, StreamId};
use ironcache_resp::Writer;

pub(crate) fn xlen(call: &mut Call<'_>) -> Outcome {
    let len = call.db.read::<Stream>(call.args[1])?.map_or(0, Stream::len);
    call.reply.count(len as usize);
    Ok(())
}

pub(crate) fn xrange(call: &mut Call<'_>) -> Outcome {
    range(call, call.args[2], call.args[3], Order::Up)
}

pub(crate) fn xrevrange(call: &mut Call<'_>) -> Outcome {
    range(call, call.args[3], call.args[2], Order::Down)
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    Up,
    Down,
}

fn range(call: &mut Call<'_>, first: &[u8], last: &[u8], order: Order) -> Outcome {
    let (first, last) = (id::interval_start(first)?, id::interval_end(last)?);
    let count = count(&call.args[4..])?;
    let Some(stream) = call.db.read::<Stream>(call.args[1])? else {
        call.reply.array(0);
        return Ok(());
    };
    let most = match count {
        Some(0) => {
            call.reply.null_array();
            return Ok(());
        }
        Some(count) => count,
        None => usize::MAX,
    };
    let found: Vec<StreamEntry<'_>> = match order {
        Order::Up => ticking(stream.range(first, last)).take(most).collect(),
        Order::Down => ticking(stream.range_back(first, last)).take(most).collect(),
    };
    entries(&mut call.reply, &found);
    Ok(())
}

/// The option `COUNT`, as often as it is given; what is negative is 0.
fn count(mut options: &[&[u8]]) -> Result<Option<usize>, CommandError> {
    let mut count = None;
    while let [option, rest @ ..] = options {
        let [value, rest @ ..] = rest else { return Err(CommandError::Syntax) };
        if !arg::is(option, "count") {
            return Err(CommandError::Syntax);
        }
        count = Some(natural(value)?);
        options = rest;
    }
    Ok(count)
}

/// An integer, of which a negative one is 0.
pub(super) fn natural(arg: &[u8]) -> Result<usize, CommandError> {
    Ok(usize::try_from(arg::integer(arg)?).unwrap_or(0))
}

pub(super) fn entries(reply: &mut Writer<'_>, entries: &[StreamEntry<'_>]) {
    reply.array(entries.len());
    ticking(entries).for_each(|it| entry(reply, it));
}

pub(super) fn entry(reply: &mut Writer<'_>, entry: &StreamEntry<'_>) {
    reply.array(2);
    stream_id(reply, entry.id());
    let fields = entry.fields();
    reply.array(2 * fields.left() as usize);
    fields.flatten().for_each(|part| match part {
        Element::Text(text) => reply.bulk(text),
        Element::Number(number) => reply.bulk_int(number),
    });
}

pub(super) fn stream_id(reply: &mut Writer<'_>, id: StreamId) {
    /// Of two numbers of twenty digits.
    const BYTES_MAX: usize = 41;
    let (mut text, mut len) = ([0; BYTES_MAX], 0);
    let mut put = |bytes: &[u8]| {
        text[len..len + bytes.len()].copy_from_slice(bytes);
        len += bytes.len();
    };
    let StreamId { ms, seq } = id;
    put(itoa::Buffer::new().format(ms).as_bytes());
    put(b"-");
    put(itoa::Buffer::new().format(seq).as_bytes());
    reply.bulk(&text[..len]);
}

/// Elements of a gigabyte: a block must be able to say how long it is.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// The fields that an entry is to have.
pub(super) fn pairs<'a>(args: &[&'a [u8]]) -> Result<Vec<[&'a [u8]; 2]>, StreamError> {
    let bytes: usize = args.iter().map(|arg| arg.len()).sum();
    if bytes > ENTRY_BYTES_MAX {
        return Err(StreamError::TooLarge);
    }
    Ok(args.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
}
