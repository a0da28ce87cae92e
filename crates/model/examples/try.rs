use ironcache_model::lease::LeaseModel;
use stateright::{Checker, Model, report::WriteReporter};
fn main() {
    let a: Vec<u8> = std::env::args().skip(1).map(|s| s.parse().unwrap()).collect();
    let model = LeaseModel {
        elections: a[0],
        skews: a[1],
        changes: a[2],
        handovers: a[3],
        kills: a[4],
        ticks: (a[5] > 0).then_some(a[5]),
        goes_on: a[6] > 0,
        ..LeaseModel::SMALL
    };
    let c = model
        .checker()
        .threads(1)
        .timeout(std::time::Duration::from_secs(40))
        .spawn_bfs()
        .report(&mut WriteReporter::new(&mut std::io::stdout()));
    println!("depth {}", c.max_depth());
}
