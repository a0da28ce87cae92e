//! The ways into a cluster, one after the other.
//!
//! ```text
//!   addresses that are known ─► seeds that were not needed so far, or led nowhere then ─► nobody is there
//! ```
//! *Invariant:* no address is gone to twice in one round.

use crate::client::{Client, ClientError};
use crate::seed;

/// One round.
pub(crate) struct Ways<'a> {
    client: &'a Client,
    taken: Vec<String>,
    seeds: std::vec::IntoIter<String>,
}

impl<'a> Ways<'a> {
    pub(crate) fn of(client: &'a Client) -> Self {
        Ways { client, taken: Vec::new(), seeds: client.seeds().into_iter() }
    }

    /// The next HTTP address. What a seed came to that leads nowhere is in `failed`.
    pub(crate) async fn next(&mut self, failed: &mut Vec<ClientError>) -> Option<String> {
        loop {
            let mut known = self.client.known().into_iter();
            if let Some(addr) = known.find(|addr| !self.taken.contains(addr)) {
                self.taken.push(addr.clone());
                return Some(addr);
            }
            let seed = self.seeds.next()?;
            match seed::resolve(&seed).await {
                Ok(addr) => self.client.found(&seed, &addr),
                Err(error) => failed.push(error.into()),
            }
        }
    }
}
