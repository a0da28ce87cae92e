//! `XCLAIM` and `XAUTOCLAIM`: what is pending for one consumer becomes pending for another.

use super::error::{StreamError, shown};
use super::{Outcome, id, now_ms, show};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::progress::{tick, ticking};
use ironcache_keyspace::{Group, Items, Pending, Stream, StreamChange, StreamId};
use ironcache_resp::{Writer, parse_integer};
use std::collections::{BTreeMap, BTreeSet};

/// What a claim is to do with each entry.
struct Claim<'a> {
    group: &'a [u8],
    consumer: &'a [u8],
    /// Only what was given to somebody so long ago, in ms.
    idle_ms_min: i64,
    delivered_ms: i64,
    deliveries: Option<u64>,
    /// Also what is pending for nobody.
    force: bool,
    just_ids: bool,
}

/// What a claim has done so far.
#[derive(Default)]
struct Claimed {
    /// In the order of the reply.
    ids: Vec<StreamId>,
    pending: BTreeMap<StreamId, Pending>,
    /// Pending entries that are deleted from the stream.
    gone: BTreeSet<StreamId>,
}

/// What became of an entry.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Claimed,
    Gone,
    Left,
}

impl Claim<'_> {
    fn claim(
        &self,
        stream: &Stream,
        group: &Group,
        id: StreamId,
        now_ms: i64,
        claimed: &mut Claimed,
    ) -> Fate {
        // An id may be given twice.
        let owned = claimed.pending.get(&id).copied();
        let pending = owned.or_else(|| {
            let nack = group.nack(id).filter(|_| !claimed.gone.contains(&id))?;
            Some(Pending { id, delivered_ms: nack.delivered_ms, deliveries: nack.deliveries })
        });
        if stream.get(id).is_none() {
            return match pending {
                Some(_) => {
                    claimed.gone.insert(id);
                    Fate::Gone
                }
                None => Fate::Left,
            };
        }
        let deliveries = match pending {
            Some(pending) => {
                let idle_ms = now_ms.wrapping_sub(pending.delivered_ms);
                if self.idle_ms_min > 0 && idle_ms < self.idle_ms_min {
                    return Fate::Left;
                }
                pending.deliveries
            }
            None if self.force => 1,
            None => return Fate::Left,
        };
        let more = u64::from(!self.just_ids);
        let deliveries = self.deliveries.unwrap_or(deliveries.wrapping_add(more));
        claimed.pending.insert(id, Pending { id, delivered_ms: self.delivered_ms, deliveries });
        claimed.ids.push(id);
        Fate::Claimed
    }

    /// Records what was claimed.
    fn record(&self, call: &mut Call<'_>, key: &[u8], claimed: &Claimed) {
        let Claimed { ids: _, pending, gone } = claimed;
        let (group, consumer, seen_ms) = (self.group, self.consumer, now_ms(call));
        if !gone.is_empty() {
            let ids: Vec<StreamId> = gone.iter().copied().collect();
            call.change(key, StreamChange::Acknowledge { group, ids: Items::new(&ids) });
        }
        if !pending.is_empty() {
            let pending: Vec<Pending> = pending.values().copied().collect();
            call.change(key, StreamChange::Consumer { group, name: consumer, seen_ms });
            call.change(key, StreamChange::Pend { group, consumer, pending: Items::new(&pending) });
        }
    }

    fn show(&self, reply: &mut Writer<'_>, stream: &Stream, claimed: &Claimed) {
        reply.array(claimed.ids.len());
        for id in ticking(&claimed.ids) {
            match stream.get(*id).filter(|_| !self.just_ids) {
                Some(entry) => show::entry(reply, &entry),
                None => show::stream_id(reply, *id),
            }
        }
    }
}

fn idle_ms_min(arg: &[u8], command: &'static str) -> Result<i64, StreamError> {
    parse_integer(arg).map(|ms| ms.max(0)).ok_or(StreamError::MinIdle { command })
}

fn group_of<'s>(
    stream: Option<&'s Stream>,
    key: &[u8],
    name: &[u8],
) -> Result<(&'s Stream, &'s Group), StreamError> {
    stream
        .and_then(|stream| Some((stream, stream.group(name)?)))
        .ok_or_else(|| StreamError::NoKeyOrGroup { key: shown(key), group: shown(name) })
}

pub(crate) fn xclaim(call: &mut Call<'_>) -> Outcome {
    let (key, now_ms) = (call.args[1], now_ms(call));
    let (stream, group) = group_of(call.db.read::<Stream>(key)?, key, call.args[2])?;
    let idle_ms_min = idle_ms_min(call.args[4], "XCLAIM")?;
    let ids: Vec<StreamId> = call.args[5..].iter().map_while(|arg| id::strict(arg).ok()).collect();
    let mut claim = Claim {
        group: call.args[2],
        consumer: call.args[3],
        idle_ms_min,
        delivered_ms: now_ms,
        deliveries: None,
        force: false,
        just_ids: false,
    };
    let last_id = claim.options(&call.args[5 + ids.len()..], now_ms)?;
    let moved = (last_id > group.last_id()).then_some(group.entries_read());
    let mut claimed = Claimed::default();
    for id in ticking(ids) {
        claim.claim(stream, group, id, now_ms, &mut claimed);
    }
    claim.show(&mut call.reply, stream, &claimed);
    call.db.was_read();
    if let Some(entries_read) = moved {
        call.change(key, StreamChange::Group { name: claim.group, last_id, entries_read });
    }
    claim.record(call, key, &claimed);
    Ok(())
}

impl Claim<'_> {
    /// Reads the options of `XCLAIM`; answers the id that the group is at, at least.
    fn options(&mut self, mut options: &[&[u8]], now_ms: i64) -> Result<StreamId, CommandError> {
        let mut last_id = StreamId::MIN;
        // What is not a time until now is now: clients' clocks are not ours.
        let until_now = |ms: i64| if (0..=now_ms).contains(&ms) { ms } else { now_ms };
        let number = |arg: &[u8], option| parse_integer(arg).ok_or(StreamError::ClaimOption { option });
        while let [option, rest @ ..] = options {
            options = match rest {
                rest if arg::is(option, "force") => {
                    self.force = true;
                    rest
                }
                rest if arg::is(option, "justid") => {
                    self.just_ids = true;
                    rest
                }
                [ms, rest @ ..] if arg::is(option, "idle") => {
                    self.delivered_ms = until_now(now_ms.wrapping_sub(number(ms, "IDLE")?));
                    rest
                }
                [ms, rest @ ..] if arg::is(option, "time") => {
                    self.delivered_ms = until_now(number(ms, "TIME")?);
                    rest
                }
                [count, rest @ ..] if arg::is(option, "retrycount") => {
                    self.deliveries = u64::try_from(number(count, "RETRYCOUNT")?).ok();
                    rest
                }
                [id, rest @ ..] if arg::is(option, "lastid") => {
                    last_id = id::strict(id)?;
                    rest
                }
                _ => return Err(StreamError::ClaimUnknown { option: shown(option) }.into()),
            };
        }
        Ok(last_id)
    }
}

pub(crate) fn xautoclaim(call: &mut Call<'_>) -> Outcome {
    /// Pending entries that are looked at for each that may be answered.
    const LOOKS: usize = 10;
    let (key, now_ms) = (call.args[1], now_ms(call));
    let stream = call.db.read::<Stream>(key);
    let idle_ms_min = idle_ms_min(call.args[4], "XAUTOCLAIM")?;
    let first = id::interval_start(call.args[5])?;
    let (mut count, just_ids) = auto_options(&call.args[6..])?;
    let claim = Claim {
        group: call.args[2],
        consumer: call.args[3],
        idle_ms_min,
        delivered_ms: now_ms,
        deliveries: None,
        force: false,
        just_ids,
    };
    let (stream, group) = group_of(stream?, key, claim.group)?;
    let (mut claimed, mut looked_at) = (Claimed::default(), None);
    for (id, _) in group.pending(first).take(count.saturating_mul(LOOKS)) {
        tick();
        looked_at = Some(id);
        if claim.claim(stream, group, id, now_ms, &mut claimed) != Fate::Left {
            count -= 1;
        }
        if count == 0 {
            break;
        }
    }
    let next = looked_at.and_then(|id| group.pending(id).map(|(id, _)| id).find(|next| *next > id));
    call.reply.array(3);
    show::stream_id(&mut call.reply, next.unwrap_or(StreamId::MIN));
    claim.show(&mut call.reply, stream, &claimed);
    call.reply.array(claimed.gone.len());
    ticking(&claimed.gone).for_each(|id| show::stream_id(&mut call.reply, *id));
    call.db.was_read();
    claim.record(call, key, &claimed);
    Ok(())
}

/// How many entries `XAUTOCLAIM` may answer, and whether only their ids.
fn auto_options(mut options: &[&[u8]]) -> Result<(usize, bool), CommandError> {
    const DEFAULT: usize = 100;
    /// As Redis, which keeps an id of each.
    const MOST: i64 = i64::MAX / 16;
    let (mut count, mut just_ids) = (DEFAULT, false);
    while let [option, rest @ ..] = options {
        options = match rest {
            [value, rest @ ..] if arg::is(option, "count") => {
                let value = parse_integer(value).filter(|value| (1..=MOST).contains(value));
                count = value.ok_or(CommandError::CountNotPositive)? as usize;
                rest
            }
            rest if arg::is(option, "justid") => {
                just_ids = true;
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    Ok((count, just_ids))
}
