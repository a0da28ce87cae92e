//! The commands by which a client listens, and publishes.
//!
//! *Invariant:* every channel that is named is confirmed, in its order, whether that changes anything or not.

use super::{Audience, Change, Kind, Subscriptions, message};
use crate::refusal::Refusal;
use crate::route::{Admitted, admit, slot_of};
use crate::session::Session;
use crate::site::Site;
use crate::turn::{Job, Listening, Query, Stop, Turn, Within};
use ironcache_command::{Flags, Spec};
use ironcache_resp::{Protocol, Writer};
use ironcache_types::ReadFrom;

impl Session {
    /// Runs a command about channels.
    pub(crate) fn channels(
        &mut self,
        spec: &'static Spec,
        args: &[&[u8]],
        within: Within,
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        if within == Within::Nothing
            && let Admitted::Undecided = admit_channels(spec, args, site)?
        {
            return Ok(Turn::Stop(Stop::Park));
        }
        match spec.name {
            "subscribe" => Ok(self.join(Kind::Channel, &args[1..], out)),
            "psubscribe" => Ok(self.join(Kind::Pattern, &args[1..], out)),
            // A transaction answers each command once; of the other two that is not asked for what was before.
            "ssubscribe" if within == Within::Transaction => Err(Refusal::ShardInTransaction),
            "ssubscribe" => Ok(self.join(Kind::Shard, &args[1..], out)),
            "unsubscribe" => Ok(self.leave(Kind::Channel, &args[1..], out)),
            "punsubscribe" => Ok(self.leave(Kind::Pattern, &args[1..], out)),
            "sunsubscribe" => Ok(self.leave(Kind::Shard, &args[1..], out)),
            "publish" => Ok(Turn::Run(Job::Query(Query::Publish(Audience::Cluster)))),
            "spublish" => Ok(Turn::Run(Job::Query(Query::Publish(Audience::Shard)))),
            "pubsub" => Ok(Turn::Run(Job::Query(Query::PubSub))),
            name => Err(Refusal::NotSupported { name }),
        }
    }

    fn join(&mut self, kind: Kind, names: &[&[u8]], out: &mut Vec<u8>) -> Turn {
        let mut changes = Vec::new();
        let mut reply = Writer::new(out, self.protocol);
        for name in names {
            changes.extend(self.subscriptions.join(kind, name).map(|topic| Change::Joins(kind, topic)));
            message::joined_one(kind, name, self.subscriptions.counted_with(kind), &mut reply);
        }
        self.listens_otherwise(changes)
    }

    fn leave(&mut self, kind: Kind, names: &[&[u8]], out: &mut Vec<u8>) -> Turn {
        let mut changes = Vec::new();
        let mut reply = Writer::new(out, self.protocol);
        let subscriptions = &mut self.subscriptions;
        if names.is_empty() && subscriptions.first(kind).is_none() {
            message::left_one(kind, None, subscriptions.counted_with(kind), &mut reply);
        }
        let mut leave_one = |subscriptions: &mut Subscriptions, name: &[u8]| {
            changes.extend(subscriptions.leave(kind, name).map(|topic| Change::Leaves(kind, topic)));
            message::left_one(kind, Some(name), subscriptions.counted_with(kind), &mut reply);
        };
        if names.is_empty() {
            while let Some(topic) = subscriptions.first(kind) {
                leave_one(subscriptions, &topic);
            }
        }
        names.iter().for_each(|name| leave_one(subscriptions, name));
        self.listens_otherwise(changes)
    }

    fn listens_otherwise(&mut self, changes: Vec<Change>) -> Turn {
        self.look_up();
        if changes.is_empty() { Turn::Answered } else { Turn::Run(Job::Listen(Listening::Topics(changes))) }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.subscriptions.counts().total() > 0
    }

    /// Was its last command answered by messages, which no `CLIENT REPLY` keeps back?
    pub fn is_told_by_messages(&self) -> bool {
        self.last().is_some_and(|spec| spec.flags.contains(Flags::PUBSUB) && spec.name.ends_with("subscribe"))
    }

    /// This node serves the shard no more, and the client was sent that it left its channels.
    pub fn end_shard(&mut self) {
        while let Some(topic) = self.subscriptions.first(Kind::Shard) {
            self.subscriptions.leave(Kind::Shard, &topic);
        }
        self.look_up();
    }

    /// In RESP2 a client could not tell a reply from a message: few commands are answered while it listens. As in Redis, one
    /// that another node executes is redirected all the same.
    pub(crate) fn refuse_while_subscribed(
        &self,
        spec: &'static Spec,
        args: &[&[u8]],
        site: &impl Site,
    ) -> Result<(), Refusal> {
        if self.protocol == Protocol::Resp3 || !self.is_subscribed() || is_allowed(spec) {
            return Ok(());
        }
        if let Some(slot) = slot_of(spec, args)? {
            admit(site, slot, self.reads(spec))?;
        }
        Err(Refusal::WhileSubscribed { name: spec.name })
    }
}

fn is_allowed(spec: &Spec) -> bool {
    matches!(
        spec.name,
        "ping"
            | "subscribe"
            | "ssubscribe"
            | "unsubscribe"
            | "sunsubscribe"
            | "psubscribe"
            | "punsubscribe"
            | "quit"
            | "reset"
    )
}

/// Is it about channels of a shard? Its arguments have slots, as keys have, and every node of the shard takes it.
pub(crate) fn is_of_a_shard(spec: &Spec) -> bool {
    spec.flags.contains(Flags::PUBSUB) && spec.takes_keys()
}

fn admit_channels(spec: &Spec, args: &[&[u8]], site: &impl Site) -> Result<Admitted, Refusal> {
    match slot_of(spec, args)? {
        Some(slot) => admit(site, slot, ReadFrom::Replica),
        None => Ok(Admitted::Here),
    }
}
