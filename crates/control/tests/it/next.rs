//! The zone of the feature `next`.

use crate::setup::{Cluster, layout, new};
use ironcache_control::{Applied, Command, ControlState};
use ironcache_types::{LEVELS, Level, NEXT, NodeId};

fn set_zone(zone: &str) -> Command {
    Command::SetZone { node: NodeId(2), zone: zone.to_owned() }
}

fn zone(state: &ControlState, node: u64) -> Option<&str> {
    state.nodes[&NodeId(node)].zone.as_deref()
}

fn raised() -> Cluster {
    let mut cluster = Cluster::rolling();
    for node in cluster.state.nodes.values_mut() {
        (node.release, node.levels) = (new(), LEVELS);
    }
    cluster.ok(&cluster.soak());
    cluster.ok(&cluster.finalize());
    assert_eq!(cluster.state.cluster_level, NEXT);
    cluster
}

#[test]
fn below_its_level_a_zone_is_not_yet() {
    let mut cluster = Cluster::new();
    cluster.refused(&set_zone("east"), "not_yet");
    let mut registers = cluster.restart(2, new());
    if let Command::RegisterNode { zone, .. } = &mut registers {
        *zone = Some("east".to_owned());
    }
    cluster.refused(&registers, "not_yet");
    assert_eq!(zone(&cluster.state, 2), None);
}

#[test]
fn the_raise_gives_every_node_the_default() {
    let cluster = raised();
    assert!((1..=6).all(|node| zone(&cluster.state, node) == Some("default")));
}

#[test]
fn a_cluster_that_begins_at_the_level_has_zones() {
    let mut init = layout();
    for node in &mut init.nodes {
        node.levels = LEVELS;
    }
    let mut state = ControlState::default();
    state.apply(1, &Command::InitCluster(init)).unwrap();
    assert_eq!((state.cluster_level, zone(&state, 5)), (NEXT, Some("default")));
    // The least `max` of its nodes, not the greatest.
    let mut init = layout();
    init.nodes[0].levels = LEVELS;
    let mut state = ControlState::default();
    state.apply(1, &Command::InitCluster(init)).unwrap();
    assert_eq!((state.cluster_level, zone(&state, 1)), (Level(1), None));
}

#[test]
fn a_zone_is_set_by_command_and_by_the_node_and_kept_when_it_says_nothing() {
    let mut cluster = raised();
    cluster.ok(&set_zone("east"));
    assert_eq!(zone(&cluster.state, 2), Some("east"));
    assert_eq!(cluster.ok(&set_zone("east")), Applied::Unchanged);
    cluster.refused(&set_zone(""), "bad_setting");
    cluster.refused(&Command::SetZone { node: NodeId(9), zone: "east".to_owned() }, "unknown_node");
    cluster.ok(&cluster.restart(2, new()));
    assert_eq!(zone(&cluster.state, 2), Some("east"));
    let mut registers = cluster.restart(2, new());
    if let Command::RegisterNode { zone, .. } = &mut registers {
        *zone = Some("west".to_owned());
    }
    cluster.ok(&registers);
    assert_eq!(zone(&cluster.state, 2), Some("west"));
}
