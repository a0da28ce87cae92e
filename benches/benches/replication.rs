//! What a write costs beyond its execution, and a full sync without the network.

use divan::Bencher;
use divan::counter::ItemsCount;
use ironcache_benches::workload::key;
use ironcache_benches::workload::replication::{FullSync, Replica, Stream, encode_effect};

fn main() {
    divan::main();
}

#[divan::bench]
fn effect_encode(bencher: Bencher<'_, '_>) {
    let (key, mut out) = (key(1), Vec::new());
    bencher.bench_local(|| encode_effect(&key, &mut out));
}

#[divan::bench(args = [100_000])]
fn effect_encode_decode_and_apply(bencher: Bencher<'_, '_>, keys: usize) {
    let mut replica = Replica::new(keys);
    bencher.bench_local(|| replica.apply());
}

#[divan::bench]
fn frame_encode_backlog_decode(bencher: Bencher<'_, '_>) {
    let mut stream = Stream::new();
    bencher.bench_local(|| stream.frame());
}

#[divan::bench]
fn gate_frame_and_ack(bencher: Bencher<'_, '_>) {
    let mut stream = Stream::new();
    bencher.bench_local(|| stream.gate());
}

#[divan::bench(args = [100_000, 1_000_000], sample_count = 5, sample_size = 1)]
fn full_sync(bencher: Bencher<'_, '_>, keys: usize) {
    let mut sync = FullSync::new(keys);
    bencher.counter(ItemsCount::new(keys)).bench_local(|| sync.run());
}
