//! Executing commands on 100,000 keys: from the name to the reply and the effects.

use divan::Bencher;
use divan::counter::ItemsCount;
use ironcache_benches::workload::commands::{Database, Op};

fn main() {
    divan::main();
}

#[divan::bench(args = Op::ALL)]
fn execute(bencher: Bencher<'_, '_>, op: Op) {
    let mut database = Database::new(op);
    bencher.counter(ItemsCount::new(op.commands())).bench_local(|| database.round());
}
