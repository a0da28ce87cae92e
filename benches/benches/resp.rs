//! Parsing commands, beside the `redis-protocol` crate.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use ironcache_benches::workload::resp::{inputs, ours, peer_owned, peer_range};
use ironcache_resp::CommandParser;

const INPUTS: [usize; 3] = [0, 1, 2];

fn main() {
    for (index, input) in inputs().iter().enumerate() {
        println!("input {index}: {}", input.name);
    }
    divan::main();
}

#[divan::bench(args = INPUTS)]
fn ironcache(bencher: Bencher<'_, '_>, input: usize) {
    let input = &inputs()[input];
    let mut parser = CommandParser::default();
    bencher
        .counter(ItemsCount::new(input.commands))
        .counter(BytesCount::new(input.bytes.len()))
        .bench_local(|| ours(&mut parser, input));
}

#[divan::bench(args = INPUTS)]
fn redis_protocol_range(bencher: Bencher<'_, '_>, input: usize) {
    let input = &inputs()[input];
    bencher.counter(ItemsCount::new(input.commands)).bench_local(|| peer_range(input));
}

#[divan::bench(args = INPUTS)]
fn redis_protocol_owned(bencher: Bencher<'_, '_>, input: usize) {
    let input = &inputs()[input];
    bencher.counter(ItemsCount::new(input.commands)).bench_local(|| peer_owned(input));
}
