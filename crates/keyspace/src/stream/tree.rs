//! How many nodes Redis' radix tree has with the blocks of a stream: `XINFO STREAM` tells it.
//!
//! A node is a fork, a run of bytes without one, or the end of a key.

use super::Stream;
use super::id::StreamId;

const KEY_BYTES: usize = 16;

impl Stream {
    /// Blocks, each of which is a key of 16 bytes, and the nodes of the tree. O(blocks).
    pub fn tree(&self) -> (u64, u64) {
        let keys: Vec<[u8; KEY_BYTES]> =
            crate::progress::ticking(self.blocks.keys()).map(|id| key(*id)).collect();
        let nodes = if keys.is_empty() { 1 } else { nodes(&keys, 0) };
        (keys.len() as u64, nodes)
    }
}

fn key(id: StreamId) -> [u8; KEY_BYTES] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

/// Of keys in their order, whose first `depth` bytes are above.
fn nodes(keys: &[[u8; KEY_BYTES]], depth: usize) -> u64 {
    let (first, last) = (keys[0], keys[keys.len() - 1]);
    let shared = (depth..KEY_BYTES).take_while(|at| first[*at] == last[*at]).count();
    let (run, depth) = (u64::from(shared > 0), depth + shared);
    if depth == KEY_BYTES {
        return run + 1;
    }
    let children = keys.chunk_by(|a, b| a[depth] == b[depth]).map(|child| nodes(child, depth + 1));
    run + 1 + children.sum::<u64>()
}
