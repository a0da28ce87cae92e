//! The fill, and the reading back: every key, at the node that is its shard's primary.

use super::ledger::{Balance, check, fill_key, value_of};
use super::pipe::{BATCH, Pipe};
use anyhow::{Context, bail};
use ironcache_api::{ControlView, Shard};
use ironcache_types::key_slot;
use std::time::Duration;

/// How often a shard is read anew when it has just changed hands, and how long apart.
const READ_TRIES: u32 = 5;
const READ_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// One for each shard, in the order of their ids.
#[derive(Clone, Debug)]
pub(super) struct ShardMap {
    shards: Vec<Shard>,
    primaries: Vec<String>,
}

impl ShardMap {
    pub(super) fn of(control: &ControlView) -> anyhow::Result<Self> {
        let shards: Vec<_> = control.shards.values().cloned().collect();
        let primary = |shard: &Shard| {
            let owner = shard.primary().with_context(|| format!("shard {} has no primary", shard.id))?;
            let node =
                control.nodes.get(&owner.node).with_context(|| format!("node {} is unknown", owner.node))?;
            Ok(node.client_addr.clone())
        };
        let primaries = shards.iter().map(primary).collect::<anyhow::Result<_>>()?;
        Ok(Self { shards, primaries })
    }

    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Position of the key's shard.
    pub(super) fn shard_of(&self, key: &str) -> usize {
        let slot = key_slot(key.as_bytes());
        self.shards
            .iter()
            .position(|s| s.slots.contains(slot))
            .expect("the shards of a cluster cover every slot")
    }

    pub(super) fn primary(&self, shard: usize) -> &str {
        &self.primaries[shard]
    }
}

/// Sets `count` keys, all shards at once.
pub(super) async fn fill(map: &ShardMap, count: u64, value_bytes: usize) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for shard in 0..map.len() {
        let map = map.clone();
        tasks.spawn(async move {
            let mut pipe = Pipe::connect(map.primary(shard)).await?;
            let mut batch = Vec::with_capacity(BATCH);
            for key in (0..count).map(fill_key).filter(|key| map.shard_of(key) == shard) {
                let value = value_of(&key, value_bytes);
                batch.push((key, value));
                if batch.len() == BATCH {
                    pipe.set(&batch).await?;
                    batch.clear();
                }
            }
            pipe.set(&batch).await
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.context("a task of the fill panicked")??;
    }
    Ok(())
}

/// Reads every key of every shard. `keys` has one list for each shard of `map`; `map_now` gives the
/// present map when a primary turns out to have moved.
pub(super) async fn read_back<F>(
    keys: Vec<Vec<String>>,
    value_bytes: usize,
    map_now: F,
) -> anyhow::Result<Balance>
where
    F: AsyncFn() -> anyhow::Result<ShardMap>,
{
    let mut total = Balance::default();
    for (shard, keys) in keys.into_iter().enumerate() {
        let mut tried = 0;
        let balance = loop {
            tried += 1;
            let map = map_now().await?;
            match read_shard(map.primary(shard), &keys, value_bytes).await {
                Ok(balance) => break balance,
                Err(error) if tried >= READ_TRIES => return Err(error),
                Err(_) => tokio::time::sleep(READ_AGAIN_AFTER).await,
            }
        };
        if balance.read != keys.len() as u64 {
            bail!("{} of shard {shard}'s {} keys were read", balance.read, keys.len());
        }
        total.read += balance.read;
        total.lost += balance.lost;
        total.wrong += balance.wrong;
    }
    Ok(total)
}

async fn read_shard(addr: &str, keys: &[String], value_bytes: usize) -> anyhow::Result<Balance> {
    let mut pipe = Pipe::connect(addr).await?;
    let mut balance = Balance::default();
    for batch in keys.chunks(BATCH) {
        for (key, value) in batch.iter().zip(pipe.get(batch).await?) {
            balance.enter(check(key, value_bytes, value.as_deref()));
        }
    }
    Ok(balance)
}
