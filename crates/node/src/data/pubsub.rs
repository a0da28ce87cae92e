//! Messages of channels: from a client of this node to all that listen, here and at other nodes, and from other nodes to
//! the clients here.
//!
//! *Invariant:* what another node brought goes no further.

use super::plane::Plane;
use crate::messages::{self, Batch, BatchError, Message, Turn};
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

    fn tell_listeners(&mut self, audience: Audience, channel: &[u8], payload: &[u8]) -> usize {
        let limits = self.config.client_output_buffer_limit;
        self.clients.publish(audience, channel, payload, limits, self.config.maxmemory_clients)
    }
}
