//! `XREAD` and `XREADGROUP`: at once, or of a key that became ready ([`serve`]).

use super::error::{StreamError, shown};
use super::lag::Counted;
use super::{Outcome, id, now_ms, show};
use crate::arg;
use crate::blocking::{Waits, Wanted};
use crate::call::{Call, Served};
use crate::error::CommandError;
use crate::spec::Spec;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Items, Pending, Stream, StreamChange, StreamEntry, StreamId};
use ironcache_resp::{Protocol, Writer, parse_integer};
use std::ops::Range;

/// As many entries who has waited is given at most, unless it said: an id that is far back is not to have it take everything.
const WAITED_COUNT: usize = 1_000;

/// A consumer that asks in the name of a group.
#[derive(Clone, Copy)]
struct Reader<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
}

struct Options<'a> {
    /// At most so many entries of each stream.
    count: usize,
    reader: Option<Reader<'a>>,
    no_ack: bool,
    /// Without the option it does not block.
    block_ms: Option<u64>,
    /// Where the keys are.
    keys_at: Range<usize>,
    keys: &'a [&'a [u8]],
    ids: &'a [&'a [u8]],
}

/// From where on a stream is read.
#[derive(Clone, Copy)]
enum Begin {
    After(StreamId),
    /// What the group has not been given.
    New,
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Anybody,
    Group,
}

pub(crate) fn xread(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call.args, Who::Anybody)?;
    let mut asked = Vec::new();
    for (key, from) in options.keys.iter().zip(options.ids) {
        let stream = call.db.read::<Stream>(key)?;
        let after = match *from {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.head().last_id),
            b">" => return Err(StreamError::NewOfNoGroup.into()),
            id => id::strict(id)?,
        };
        asked.push((*key, after));
    }
    // Looked up once more, as in Redis: that is counted.
    let mut wanted = Vec::new();
    for &(key, after) in &asked {
        let last = call.db.read::<Stream>(key)?.and_then(Stream::last_entry);
        if last.is_some_and(|last| last.id() > after) {
            wanted.push((key, after));
        }
    }
    if wanted.is_empty() {
        options.nothing(call, Wanted::After(asked.into_iter().map(|(_, after)| after).collect()));
        return Ok(());
    }
    begin(&mut call.reply, wanted.len());
    for (key, after) in wanted {
        show_beyond(call, key, after, options.count);
    }
    Ok(())
}

fn show_beyond(call: &mut Call<'_>, key: &[u8], after: StreamId, count: usize) {
    let Some(stream) = call.db.again::<Stream>(key) else { return };
    let found: Vec<StreamEntry<'_>> = ticking(beyond(stream, after)).take(count).collect();
    name(&mut call.reply, key);
    show::entries(&mut call.reply, &found);
}

/// Reads from a key that became ready: after an id, or else for a group. As in Redis, it is enough that entries were added since:
/// whatever is there of them by now is what is told.
pub(crate) fn serve(
    call: &mut Call<'_>,
    key: &[u8],
    after: Option<StreamId>,
) -> Result<Served, CommandError> {
    let who = if after.is_some() { Who::Anybody } else { Who::Group };
    let mut options = Options::parse(call.args, who)?;
    if options.count == usize::MAX {
        options.count = WAITED_COUNT;
    }
    let stream = call.db.read::<Stream>(key).ok().flatten();
    let last_id = stream.map(|stream| stream.head().last_id);
    let Some(reader) = options.reader else {
        let after = after.unwrap_or(StreamId::MAX);
        if last_id.is_none_or(|last_id| last_id <= after) {
            return Ok(Served::No);
        }
        begin(&mut call.reply, 1);
        show_beyond(call, key, after, options.count);
        return Ok(Served::Yes);
    };
    let group = stream.ok_or(StreamError::KeyGone)?.group(reader.group).ok_or(StreamError::GroupGone)?;
    if last_id.is_none_or(|last_id| last_id <= group.last_id()) {
        return Ok(Served::No);
    }
    let (mut body, protocol) = (Vec::new(), call.reply.protocol());
    give(call, key, reader, &options, &mut Writer::new(&mut body, protocol));
    begin(&mut call.reply, 1);
    call.reply.raw(&body);
    Ok(Served::Yes)
}

pub(crate) fn xreadgroup(call: &mut Call<'_>) -> Outcome {
    let options = Options::parse(call.args, Who::Group)?;
    let reader = options.reader.ok_or(StreamError::GroupMissing)?;
    let mut wanted = Vec::new();
    for (key, from) in options.keys.iter().zip(options.ids) {
        let group = call.db.read::<Stream>(key)?.and_then(|stream| stream.group(reader.group));
        if group.is_none() {
            let (key, group) = (shown(key), shown(reader.group));
            return Err(StreamError::NoGroupToRead { key, group }.into());
        }
        let from = match *from {
            b"$" => return Err(StreamError::LastOfGroup.into()),
            b">" => Begin::New,
            id => match id::strict(id)? {
                StreamId::MAX => Begin::New,
                id => Begin::After(id),
            },
        };
        wanted.push((*key, from));
    }
    let (mut body, protocol, mut served) = (Vec::new(), call.reply.protocol(), 0);
    for (key, from) in wanted {
        call.db.read::<Stream>(key)?;
        let mut reply = Writer::new(&mut body, protocol);
        let gave = match from {
            Begin::New => give_new(call, key, reader, &options, &mut reply),
            Begin::After(id) => {
                give_again(call, key, reader, id, options.count, &mut reply);
                true
            }
        };
        served += usize::from(gave);
    }
    call.db.was_read();
    if served == 0 {
        options.nothing(call, Wanted::OfGroup);
    } else {
        begin(&mut call.reply, served);
        call.reply.raw(&body);
    }
    Ok(())
}

/// Gives the consumer what its group has not been given; answers whether there was any.
fn give_new(
    call: &mut Call<'_>,
    key: &[u8],
    reader: Reader<'_>,
    options: &Options<'_>,
    reply: &mut Writer<'_>,
) -> bool {
    let Some(stream) = call.db.again::<Stream>(key) else { return false };
    let Some(group) = stream.group(reader.group) else { return false };
    if stream.last_entry().is_none_or(|last| last.id() <= group.last_id()) {
        return false;
    }
    give(call, key, reader, options, reply);
    true
}

/// The same, be there any or not.
fn give(call: &mut Call<'_>, key: &[u8], reader: Reader<'_>, options: &Options<'_>, reply: &mut Writer<'_>) {
    let now_ms = now_ms(call);
    let Some(stream) = call.db.again::<Stream>(key) else { return };
    let Some(group) = stream.group(reader.group) else { return };
    let after = group.last_id();
    let found: Vec<StreamEntry<'_>> = ticking(beyond(stream, after)).take(options.count).collect();
    name(reply, key);
    show::entries(reply, &found);
    let ids: Vec<StreamId> = found.iter().map(StreamEntry::id).collect();
    let counted = Counted::of(stream);
    let entries_read = ids.iter().fold(group.entries_read(), |read, id| counted.read(read, *id));
    let last_id = ids.last().copied().unwrap_or(after);
    let Reader { group, consumer } = reader;
    call.change(key, StreamChange::Consumer { group, name: consumer, seen_ms: now_ms });
    if ids.is_empty() {
        return;
    }
    call.change(key, StreamChange::Group { name: group, last_id, entries_read });
    if !options.no_ack {
        let pend = |id: &StreamId| Pending { id: *id, delivered_ms: now_ms, deliveries: 1 };
        let pending: Vec<Pending> = ids.iter().map(pend).collect();
        call.change(key, StreamChange::Pend { group, consumer, pending: Items::new(&pending) });
    }
}

/// Gives the consumer once more what is pending for it; what is deleted meanwhile is told by its id alone.
fn give_again(
    call: &mut Call<'_>,
    key: &[u8],
    reader: Reader<'_>,
    after: StreamId,
    count: usize,
    reply: &mut Writer<'_>,
) {
    let now_ms = now_ms(call);
    let Reader { group, consumer } = reader;
    call.change(key, StreamChange::Consumer { group, name: consumer, seen_ms: now_ms });
    let stream = call.db.again::<Stream>(key).expect("its group was just changed");
    let of = stream.group(group).expect("it was just changed");
    let from = after.after().unwrap_or(StreamId::MIN);
    let own = of.consumer(consumer).expect("it was just seen");
    let ids: Vec<StreamId> = ticking(own.pending(from)).take(count).collect();
    name(reply, key);
    reply.array(ids.len());
    let mut given = Vec::new();
    for id in ticking(ids) {
        match stream.get(id) {
            Some(entry) => {
                show::entry(reply, &entry);
                let deliveries = of.nack(id).map_or(0, |nack| nack.deliveries).wrapping_add(1);
                given.push(Pending { id, delivered_ms: now_ms, deliveries });
            }
            None => {
                reply.array(2);
                show::stream_id(reply, id);
                reply.null_array();
            }
        }
    }
    if !given.is_empty() {
        call.change(key, StreamChange::Pend { group, consumer, pending: Items::new(&given) });
    }
}

fn beyond(stream: &Stream, after: StreamId) -> impl Iterator<Item = StreamEntry<'_>> {
    after.after().into_iter().flat_map(|first| stream.range(first, StreamId::MAX))
}

fn begin(reply: &mut Writer<'_>, streams: usize) {
    match reply.protocol() {
        Protocol::Resp2 => reply.array(streams),
        Protocol::Resp3 => reply.map(streams),
    }
}

fn name(reply: &mut Writer<'_>, key: &[u8]) {
    if reply.protocol() == Protocol::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// Has a command the option to block? It counts up to the first mistake.
pub fn asks_to_block(spec: &Spec, args: &[&[u8]]) -> bool {
    let who = match spec.name {
        "xread" => Who::Anybody,
        "xreadgroup" => Who::Group,
        _ => return false,
    };
    let mut asks = false;
    // A mistake is told by whoever executes it.
    let _ = Options::read(args, who, &mut asks);
    asks
}

impl<'a> Options<'a> {
    fn parse(args: &'a [&'a [u8]], who: Who) -> Result<Self, CommandError> {
        Self::read(args, who, &mut false)
    }

    fn read(args: &'a [&'a [u8]], who: Who, blocks: &mut bool) -> Result<Self, CommandError> {
        let mut options = Options {
            count: usize::MAX,
            reader: None,
            no_ack: false,
            block_ms: None,
            keys_at: 0..0,
            keys: &[],
            ids: &[],
        };
        let args_len = args.len();
        let only_of_groups = |option| match who {
            Who::Group => Ok(()),
            Who::Anybody => Err(StreamError::OnlyOfGroups { option }),
        };
        let mut args = &args[1..];
        while let [option, rest @ ..] = args {
            args = match rest {
                [ms, rest @ ..] if arg::is(option, "block") => {
                    *blocks = true;
                    options.block_ms = Some(timeout(ms)?);
                    rest
                }
                [count, rest @ ..] if arg::is(option, "count") => {
                    let count = show::natural(count)?;
                    options.count = if count == 0 { usize::MAX } else { count };
                    rest
                }
                [_, ..] if arg::is(option, "streams") => {
                    if rest.len() % 2 == 1 {
                        return Err(StreamError::Unbalanced.into());
                    }
                    (options.keys, options.ids) = rest.split_at(rest.len() / 2);
                    let first = args_len - rest.len();
                    options.keys_at = first..first + options.keys.len();
                    break;
                }
                [group, consumer, rest @ ..] if arg::is(option, "group") => {
                    only_of_groups("GROUP")?;
                    options.reader = Some(Reader { group, consumer });
                    rest
                }
                rest if arg::is(option, "noack") => {
                    only_of_groups("NOACK")?;
                    options.no_ack = true;
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        if options.keys.is_empty() { Err(CommandError::Syntax) } else { Ok(options) }
    }

    /// There is nothing to read. If it blocks it waits for this, where it may.
    fn nothing(&self, call: &mut Call<'_>, for_what: Wanted) {
        call.reply.null_array();
        if let Some(timeout_ms) = self.block_ms {
            *call.waits = Some(Waits { timeout_ms, keys: self.keys_at.clone(), for_what });
        }
    }
}

/// How long it may block, in ms.
fn timeout(ms: &[u8]) -> Result<u64, StreamError> {
    let ms = parse_integer(ms).ok_or(StreamError::TimeoutNotAnInteger)?;
    u64::try_from(ms).map_err(|_| StreamError::TimeoutNegative)
}
