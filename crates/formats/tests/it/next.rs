//! The feature `next`: each of its changes is read, and means something.

use crate::examples::{commands, full, raised, since};
use crate::setup::{Cluster, new};
use ironcache_control::Command;
use ironcache_formats::entry::{self, EntryError, EntryKind, SealError};
use ironcache_formats::levels::{self, Format, RANGE};
use ironcache_formats::state::{self, WriteError};
use ironcache_types::{
    Incarnation, Level, LevelRange, MachineId, Member, NEXT, NodeId, RequestId, WireRange,
};

const REQUEST: RequestId = RequestId(9);
const BELOW: Level = Level(NEXT.0 - 1);

pub(crate) fn registers_in_a_zone() -> Command {
    Command::RegisterNode {
        member: Member { node: NodeId(2), incarnation: Incarnation(4) },
        client_addr: "host:7000".to_owned(),
        peer_addr: "host:17000".to_owned(),
        http_addr: "host:27000".to_owned(),
        tls_port: None,
        release: new(),
        levels: LevelRange::new(1, 2),
        launcher_protocol: WireRange { min: 1, max: 2 },
        machine: MachineId(9),
        zone: Some("east".to_owned()),
    }
}

#[test]
fn it_is_always_one_level_above_the_newest() {
    assert_eq!(RANGE.max, NEXT);
    assert_eq!(levels::version_at(Format::State, BELOW).map(|version| version + 1), {
        levels::version_at(Format::State, NEXT)
    });
    assert_eq!(levels::version_at(Format::Entry(EntryKind::SetZone), BELOW), None);
}

#[test]
fn what_came_with_it_is_not_sealed_below_it() {
    let later: Vec<Command> = [EntryKind::RegisterNode, EntryKind::SetZone]
        .into_iter()
        .flat_map(commands)
        .filter(|command| since(command) == NEXT)
        .collect();
    assert_eq!(later.len(), 2);
    for command in later {
        let refused = entry::seal(&command, REQUEST, BELOW).unwrap_err();
        assert!(matches!(&refused, SealError::AboveLevel(above) if above.level == BELOW), "{refused}");
        let sealed = entry::seal(&command, REQUEST, NEXT).unwrap();
        assert!(matches!(entry::open(&sealed, BELOW), Err(EntryError::NotYet { level: NEXT, state: BELOW })));
        assert_eq!(entry::open(&sealed, NEXT).unwrap(), (REQUEST, command));
    }
}

#[test]
fn an_entry_of_the_level_before_is_read_by_its_own_version_after_the_raise() {
    for kind in [EntryKind::RegisterNode, EntryKind::Pause] {
        let command = commands(kind).remove(0);
        let sealed = entry::seal(&command, REQUEST, BELOW).unwrap();
        assert_eq!(entry::open(&sealed, NEXT).unwrap(), (REQUEST, command));
    }
}

#[test]
fn a_zone_is_part_of_the_state_and_of_its_hash_and_has_no_place_below() {
    let (control, answers) = full();
    let control = raised(control, NEXT);
    let mut other = control.clone();
    other.nodes.get_mut(&NodeId(2)).unwrap().zone = Some("elsewhere".to_owned());
    assert_ne!(state::hash(&control, &answers).unwrap(), state::hash(&other, &answers).unwrap());
    let refused = state::write(&control, &answers, BELOW).unwrap_err();
    assert!(matches!(&refused, WriteError::AboveLevel(above) if above.what.contains("zone")), "{refused}");
}

#[test]
fn a_state_is_hashed_as_the_release_before_hashes_it_until_it_is_raised() {
    let (control, answers) = full();
    let control = raised(control, BELOW);
    let of = |control: &ironcache_control::ControlState, level| {
        state::hash_of(&state::write(control, &answers, level).unwrap())
    };
    assert_eq!(state::hash(&control, &answers).unwrap(), of(&control, BELOW));
    assert_ne!(state::hash(&control, &answers).unwrap(), of(&control, NEXT));
    let control = raised(control, NEXT);
    assert_eq!(state::hash(&control, &answers).unwrap(), of(&control, NEXT));
}

#[test]
fn a_state_of_the_level_before_is_read_and_raised_to_a_default() {
    let mut cluster = Cluster::upgraded(&[3, 5, 4, 6]);
    let bytes = state::write(&cluster.state, [], BELOW).unwrap();
    assert_eq!(state::read(&bytes, BELOW).unwrap().0, cluster.state);
    for node in cluster.state.nodes.values_mut() {
        (node.levels, node.release) = (RANGE, new());
    }
    cluster.ok(&cluster.soak());
    cluster.ok(&cluster.finalize());
    assert!(cluster.state.nodes.values().all(|node| node.zone.as_deref() == Some("default")));
    cluster.ok(&Command::SetZone { node: NodeId(2), zone: "east".to_owned() });
    let bytes = state::write(&cluster.state, [], NEXT).unwrap();
    assert_eq!(state::read(&bytes, NEXT).unwrap().0, cluster.state);
}
