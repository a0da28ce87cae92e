//! Committing an entry of the control plane, and the disk's floor under it. (Percentiles are in the table.)

use divan::Bencher;
use ironcache_benches::workload::commit::{Appends, Group};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 3], sample_count = 200, sample_size = 1)]
fn commit(bencher: Bencher<'_, '_>, voters: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut group = runtime.block_on(Group::start(dir.path(), voters)).expect("the group starts");
    bencher.bench_local(|| runtime.block_on(group.commit()).expect("the leader commits"));
    runtime.block_on(group.stop());
}

#[divan::bench(sample_count = 200, sample_size = 1)]
fn append_and_fdatasync(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut appends = Appends::new(dir.path()).expect("a temporary file");
    bencher.bench_local(|| appends.append().expect("the disk takes an append"));
}
