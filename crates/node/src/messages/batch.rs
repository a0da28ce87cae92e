//! Messages as they go from node to node: our own bytes, little-endian.
//!
//! ```text
//!  version u8 = 1 │ sender: node u64, incarnation u64 │ number u64 │ messages …
//!  message: audience u8 (1: cluster, 2: shard) │ channel u32 │ payload u32 │ their bytes
//! ```
//! Source: docs/adr/0038. A further field of a message is a further version, which is sent from its level on.

use ironcache_session::Audience;
use ironcache_types::{Incarnation, Member, NodeId};
use std::sync::Arc;

const VERSION: u8 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub audience: Audience,
    pub channel: &'a [u8],
    pub payload: &'a [u8],
}

/// What one call carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch<'a> {
    pub sender: Member,
    /// Of this sender to this node: the next one is higher.
    pub number: u64,
    pub messages: Vec<Message<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("messages of version {0}; this release reads {VERSION}")]
    Version(u8),
    #[error("the messages end in the middle of one")]
    Short,
    #[error("a message for an audience of code {0}, which there is none of")]
    Audience(u8),
}

impl Message<'_> {
    pub(super) fn encode(&self) -> Arc<[u8]> {
        let Self { audience, channel, payload } = self;
        let mut bytes = Vec::with_capacity(9 + channel.len() + payload.len());
        bytes.push(match audience {
            Audience::Cluster => 1,
            Audience::Shard => 2,
        });
        // An argument is 512 MiB long at most.
        for part in [channel, payload] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        }
        bytes.extend_from_slice(channel);
        bytes.extend_from_slice(payload);
        bytes.into()
    }
}

/// The body of a call.
pub(super) fn encode(sender: Member, number: u64, messages: &[Arc<[u8]>]) -> Vec<u8> {
    let mut body = vec![VERSION];
    for field in [sender.node.0, sender.incarnation.0, number] {
        body.extend_from_slice(&field.to_le_bytes());
    }
    messages.iter().for_each(|message| body.extend_from_slice(message));
    body
}

impl<'a> Batch<'a> {
    /// # Errors
    /// It is of another version, or damaged.
    pub(crate) fn decode(body: &'a [u8]) -> Result<Batch<'a>, BatchError> {
        let mut rest = Rest(body);
        match rest.u8()? {
            VERSION => {}
            other => return Err(BatchError::Version(other)),
        }
        let (node, incarnation) = (NodeId(rest.u64()?), Incarnation(rest.u64()?));
        let (sender, number) = (Member { node, incarnation }, rest.u64()?);
        let mut messages = Vec::new();
        while !rest.0.is_empty() {
            let audience = match rest.u8()? {
                1 => Audience::Cluster,
                2 => Audience::Shard,
                other => return Err(BatchError::Audience(other)),
            };
            let (channel, payload) = (rest.u32()?, rest.u32()?);
            let (channel, payload) = (rest.take(channel as usize)?, rest.take(payload as usize)?);
            messages.push(Message { audience, channel, payload });
        }
        Ok(Batch { sender, number, messages })
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], BatchError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(BatchError::Short)?;
        self.0 = rest;
        Ok(*head)
    }

    fn u8(&mut self) -> Result<u8, BatchError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, BatchError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, BatchError> {
        self.array().map(u64::from_le_bytes)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], BatchError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(BatchError::Short)?;
        self.0 = rest;
        Ok(taken)
    }
}
