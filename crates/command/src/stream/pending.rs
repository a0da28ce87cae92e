//! `XPENDING`.

use super::error::{StreamError, shown};
use super::{Outcome, id, now_ms, show};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Group, Stream, StreamId};
use ironcache_resp::Writer;

/// Which of the pending entries are told.
struct Wanted<'a> {
    first: StreamId,
    last: StreamId,
    count: usize,
    /// Given to somebody so long ago, in ms.
    idle_ms_min: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Self, CommandError> {
        let (idle_ms_min, rest) = match args {
            [option, ms, rest @ ..] if arg::is(option, "idle") => (arg::integer(ms)?, rest),
            rest => (0, rest),
        };
        let [first, last, count, rest @ ..] = rest else { return Err(CommandError::Syntax) };
        let count = show::natural(count)?;
        let (first, last) = (id::interval_start(first)?, id::interval_end(last)?);
        Ok(Wanted { first, last, count, idle_ms_min, consumer: rest.first().copied() })
    }
}

pub(crate) fn xpending(call: &mut Call<'_>) -> Outcome {
    let (key, name) = (call.args[1], call.args[2]);
    let wanted = match call.args.len() {
        3 => None,
        6..=9 => Some(Wanted::parse(&call.args[3..])?),
        _ => return Err(CommandError::Syntax),
    };
    let now_ms = now_ms(call);
    let group = call.db.read::<Stream>(key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| StreamError::NoKeyOrGroup { key: shown(key), group: shown(name) })?;
    match wanted {
        None => summary(&mut call.reply, group),
        Some(wanted) => list(&mut call.reply, group, &wanted, now_ms),
    }
    Ok(())
}

fn summary(reply: &mut Writer<'_>, group: &Group) {
    reply.array(4);
    reply.count(group.pending_len());
    let mut all = group.pending(StreamId::MIN);
    let Some((first, _)) = all.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    let last = all.next_back().map_or(first, |(id, _)| id);
    show::stream_id(reply, first);
    show::stream_id(reply, last);
    let busy: Vec<_> = group.consumers().filter(|consumer| consumer.pending_len() > 0).collect();
    reply.array(busy.len());
    for consumer in ticking(busy) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_int(consumer.pending_len() as i64);
    }
}

fn list(reply: &mut Writer<'_>, group: &Group, wanted: &Wanted<'_>, now_ms: i64) {
    let Wanted { first, last, count, idle_ms_min, consumer } = *wanted;
    let consumer = match consumer.map(|name| group.consumer(name)) {
        None => None,
        Some(Some(consumer)) => Some(consumer),
        Some(None) => return reply.array(0),
    };
    let ids: Box<dyn Iterator<Item = StreamId>> = match consumer {
        Some(consumer) => Box::new(consumer.pending(first)),
        None => Box::new(group.pending(first).map(|(id, _)| id)),
    };
    let nacks = ticking(ids).take_while(|id| *id <= last);
    let nacks = nacks.filter_map(|id| group.nack(id).map(|nack| (id, nack)));
    let idle = |delivered_ms: i64| now_ms.wrapping_sub(delivered_ms);
    let found: Vec<_> = nacks
        .filter(|(_, nack)| idle_ms_min == 0 || idle(nack.delivered_ms) >= idle_ms_min)
        .take(count)
        .collect();
    reply.array(found.len());
    for (id, nack) in ticking(found) {
        reply.array(4);
        show::stream_id(reply, id);
        reply.bulk(group.owner(nack).name());
        reply.int(idle(nack.delivered_ms).max(0));
        reply.int(nack.deliveries as i64);
    }
}
