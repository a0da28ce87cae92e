//! Messages of channels: from a client of this node to all that listen, here and at other nodes, and from other nodes to
//! the clients here.
//!
//! What becomes of keys goes the same way, and to the clients here alone, as in Redis.
//!
//! *Invariant:* what another node brought goes no further.

use super::plane::Plane;
use crate::messages::{self, Batch, BatchError, Message, Turn};
use ironcache_keyspace::{Event, EventClass};
use ironcache_session::Audience;
use ironcache_types::NodeId;

impl Plane {
    /// To whoever listens; answers how many clients of this node that were, as Redis does in a cluster.
    pub(super) fn publish(&mut self, audience: Audience, channel: &[u8], payload: &[u8]) -> usize {
        let me = self.me.node;
        let nodes = &self.view.state.nodes;
        let takes = |node: &NodeId| *node != me && nodes.get(node).is_some_and(messages::takes);
        let message = Message { audience, channel, payload };
        match audience {
            Audience::Cluster => self.outbox.send(nodes.keys().copied().filter(takes), &message),
            Audience::Shard => {
                let shard = self.view.state.shard_of_node(me);
                let others = shard.into_iter().flat_map(|shard| shard.nodes.iter().copied());
                self.outbox.send(others.filter(takes), &message);
            }
        }
        self.tell_listeners(audience, channel, payload)
    }

    /// Another node brings messages.
    pub(super) fn hear(&mut self, body: &[u8]) -> Result<(), BatchError> {
        let Batch { sender, number, messages } = Batch::decode(body)?;
        match self.heard.turn(sender, number) {
            Turn::Late => {
                tracing::debug!(%sender, number, "messages of channels came after later ones: they are not heard");
            }
            Turn::Next => {
                for Message { audience, channel, payload } in messages {
                    self.tell_listeners(audience, channel, payload);
                }
            }
        }
        Ok(())
    }

    /// What a command has made of its keys, to whoever listens here. At once, and before the command's reply.
    #[inline]
    pub(super) fn tell_of_keys(&mut self) {
        if self.effects.events.are_wanted() {
            let events = self.effects.events.take();
            self.tell_events(&events);
        }
    }

    /// The keys that this node itself has deleted, by the effects that are not in the stream yet.
    pub(super) fn note_keys(&self, class: EventClass, name: &'static str) {
        let events = &self.effects.events;
        if events.are_wanted() {
            self.effects
                .iter()
                .filter_map(|effect| effect.key())
                .for_each(|key| events.push(class, name, key));
        }
    }

    #[cold]
    fn tell_events(&mut self, events: &[Event]) {
        let wanted = self.config.notify_keyspace_events;
        for Event { class, name, key } in events {
            if !wanted.has(class.letter()) {
                continue;
            }
            if wanted.has(b'K') {
                let channel = [b"__keyspace@0__:", &key[..]].concat();
                self.tell_listeners(Audience::Cluster, &channel, name.as_bytes());
            }
            if wanted.has(b'E') {
                let channel = [b"__keyevent@0__:", name.as_bytes()].concat();
                self.tell_listeners(Audience::Cluster, &channel, key);
            }
        }
    }

    fn tell_listeners(&mut self, audience: Audience, channel: &[u8], payload: &[u8]) -> usize {
        let limits = self.config.client_output_buffer_limit;
        self.clients.publish(audience, channel, payload, limits, self.config.maxmemory_clients)
    }
}
