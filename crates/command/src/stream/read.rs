//! `XREAD` and `XREADGROUP`.

use super::error::{StreamError, shown};
use super::lag::Counted;
use super::{Outcome, id, now_ms, show};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Items, Pending, Stream, StreamChange, StreamEntry, StreamId};
use ironcache_resp::{Protocol, Writer, parse_integer};

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
    for (key, after) in asked {
        let last = call.db.read::<Stream>(key)?.and_then(Stream::last_entry);
        if last.is_some_and(|last| last.id() > after) {
            wanted.push((key, after));
        }
    }
    if wanted.is_empty() {
        call.reply.null_array();
        return Ok(());
    }
    begin(&mut call.reply, wanted.len());
    for (key, after) in wanted {
        let Some(stream) = call.db.again::<Stream>(key) else { continue };
        let found: Vec<StreamEntry<'_>> = ticking(beyond(stream, after)).take(options.count).collect();
        name(&mut call.reply, key);
        show::entries(&mut call.reply, &found);
    }
    Ok(())
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
        call.reply.null_array();
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
    let now_ms = now_ms(call);
    let Some(stream) = call.db.again::<Stream>(key) else { return false };
    let Some(group) = stream.group(reader.group) else { return false };
    let after = group.last_id();
    if stream.last_entry().is_none_or(|last| last.id() <= after) {
        return false;
    }
    let found: Vec<StreamEntry<'_>> = ticking(beyond(stream, after)).take(options.count).collect();
    name(reply, key);
    show::entries(reply, &found);
    let ids: Vec<StreamId> = found.iter().map(StreamEntry::id).collect();
    let counted = Counted::of(stream);
    let entries_read = ids.iter().fold(group.entries_read(), |read, id| counted.read(read, *id));
    let last_id = ids.last().copied().unwrap_or(after);
    let Reader { group, consumer } = reader;
    call.change(key, StreamChange::Consumer { group, name: consumer, seen_ms: now_ms });
    call.change(key, StreamChange::Group { name: group, last_id, entries_read });
    if !options.no_ack {
        let pend = |id: &StreamId| Pending { id: *id, delivered_ms: now_ms, deliveries: 1 };
        let pending: Vec<Pending> = ids.iter().map(pend).collect();
        call.change(key, StreamChange::Pend { group, consumer, pending: Items::new(&pending) });
    }
    true
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

impl<'a> Options<'a> {
    fn parse(args: &'a [&'a [u8]], who: Who) -> Result<Self, CommandError> {
        let mut options = Options { count: usize::MAX, reader: None, no_ack: false, keys: &[], ids: &[] };
        let only_of_groups = |option| match who {
            Who::Group => Ok(()),
            Who::Anybody => Err(StreamError::OnlyOfGroups { option }),
        };
        let mut args = &args[1..];
        while let [option, rest @ ..] = args {
            args = match rest {
                [ms, rest @ ..] if arg::is(option, "block") => {
                    check_timeout(ms)?;
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
}

/// How long it may block, in ms: it never does.
fn check_timeout(ms: &[u8]) -> Result<(), StreamError> {
    let ms = parse_integer(ms).ok_or(StreamError::TimeoutNotAnInteger)?;
    if ms < 0 { Err(StreamError::TimeoutNegative) } else { Ok(()) }
}
