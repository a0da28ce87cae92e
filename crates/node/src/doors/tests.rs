use super::*;
use ironcache_control::{
    Command, ControlState, InitCluster, NewOperator, NewSecurity, NodeRole, NodeSpec, Policy, ShardSpec,
};
use ironcache_types::{
    Digest, Incarnation, LEVELS, MachineId, Member, Release, ShardId, SlotSet, Version, WireRange,
};
use tempfile::TempDir;

const ONE: NodeId = NodeId(1);
const TWO: NodeId = NodeId(2);
const CLUSTER: ClusterId = ClusterId(7);

const fn key(fill: u8) -> KeyHash {
    KeyHash(Digest([fill; 32]))
}

/// A node in a directory of its own.
fn doors(set: impl FnOnce(&mut Config)) -> (Doors, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (doors_in(&dir, set), dir)
}

fn doors_in(dir: &TempDir, set: impl FnOnce(&mut Config)) -> Doors {
    let mut config = Config { data_dir: dir.path().to_owned(), ..Config::default() };
    set(&mut config);
    Doors::of(&Arc::new(config)).unwrap()
}

/// What a cluster of one node is after its first entry, at log index `index`.
fn view(index: u64, security: NewSecurity) -> Arc<AppliedView> {
    let spec = NodeSpec {
        member: Member { node: ONE, incarnation: Incarnation(1) },
        client_addr: "h:1".to_owned(),
        peer_addr: "h:2".to_owned(),
        http_addr: "h:3".to_owned(),
        tls_port: None,
        role: NodeRole::Data,
        voter: true,
        shard: Some(ShardId(0)),
        release: Release { version: Version::new(1, 0, 0), digest: Digest([1; 32]) },
        levels: LEVELS,
        launcher_protocol: WireRange::CURRENT,
        machine: MachineId(1),
    };
    let init = InitCluster {
        cluster_id: CLUSTER,
        nodes: vec![spec],
        shards: vec![ShardSpec { id: ShardId(0), slots: SlotSet::part(0, 1), nodes: vec![ONE] }],
        policy: Policy::default(),
        security,
    };
    let mut state = ControlState::default();
    state.apply(1, &Command::InitCluster(init)).unwrap();
    Arc::new(AppliedView { index, term: 1, state: Arc::new(state), hashes: Vec::new() })
}

fn keys() -> NewSecurity {
    let admin = NewOperator { key: key(9), name: "ada".to_owned() };
    NewSecurity::Keys { nodes: BTreeMap::from([(ONE, key(1))]), admin }
}

#[test]
fn a_new_node_believes_nobody_unless_it_permits_everybody() {
    let (locked, _dir) = doors(|_| {});
    assert_eq!(locked.holder(key(1)), Who::Unknown(key(1)));
    assert!(locked.code().is_some());
    let (open, _dir) = doors(|config| config.insecure = true);
    assert_eq!(open.holder(key(1)), Who::Open);
    assert!(open.code().is_none());
}

#[test]
fn who_binds_a_node_is_its_admin_until_the_log_says_otherwise_also_after_a_restart() {
    let (bound, dir) = doors(|_| {});
    bound.bind(CLUSTER, BTreeMap::from([(ONE, key(1)), (TWO, key(2))]), key(9)).unwrap();
    let again = doors_in(&dir, |_| {});
    for doors in [&bound, &again] {
        assert_eq!(doors.holder(key(2)), Who::Member(TWO));
        assert!(matches!(doors.holder(key(9)), Who::Operator { role: OperatorRole::Admin, .. }));
        assert_eq!(doors.holder(key(3)), Who::Unknown(key(3)));
        assert_eq!(doors.pins().unwrap().len(), 2);
    }
    let (_show, views) = watch::channel(view(1, keys()));
    again.attach(views);
    assert_eq!(again.holder(key(2)), Who::Unknown(key(2)), "the log does not name it");
    assert_eq!(again.holder(key(1)), Who::Member(ONE));
    assert!(again.code().is_none(), "it belongs to a cluster");
}

#[test]
fn a_member_of_an_insecure_cluster_starts_only_where_that_is_permitted() {
    let (locked, dir) = doors(|_| {});
    assert!(matches!(locked.check_permitted(true), Err(StartError::NotPermitted)));
    assert!(locked.check_permitted(false).is_ok());
    assert!(doors_in(&dir, |config| config.insecure = true).check_permitted(true).is_ok());
    locked.bind(CLUSTER, BTreeMap::from([(ONE, key(1))]), key(9)).unwrap();
    assert!(doors_in(&dir, |_| {}).check_permitted(true).is_ok(), "it was bound: its cluster has keys");
}

#[test]
fn what_a_member_knows_counts_while_its_log_is_ahead() {
    let (doors, _dir) = doors(|_| {});
    let (show, views) = watch::channel(view(5, keys()));
    doors.attach(views);
    let pins = |index| Pins { index, nodes: BTreeMap::from([(ONE, key(1)), (TWO, key(2))]) };
    doors.hear(pins(5));
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)), "this node knows as much itself");
    doors.hear(pins(6));
    assert_eq!(doors.holder(key(2)), Who::Member(TWO));
    assert!(matches!(doors.holder(key(9)), Who::Operator { .. }));
    show.send_replace(view(6, keys()));
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)), "its own log is the newer one now");
}

#[tokio::test]
async fn who_was_removed_before_its_connection_is_looked_at_is_told_at_once() {
    let (doors, _dir) = doors(|_| {});
    let doors = Arc::new(doors);
    let (show, views) = watch::channel(view(1, keys()));
    doors.attach(views);
    tokio::spawn(Arc::clone(&doors).watch());
    // A member proves its key, is taken out of the log, and only then its link is served.
    let mut early = doors.revocation(Some(key(1)));
    show.send_modify(|view| {
        let mut state = ControlState::clone(&view.state);
        let Security::Keys(keys) = &mut state.security else { panic!("it has keys") };
        keys.nodes.clear();
        *view = Arc::new(AppliedView { index: 2, state: Arc::new(state), ..AppliedView::clone(view) });
    });
    let bound = std::time::Duration::from_secs(30);
    tokio::time::timeout(bound, early.revoked()).await.expect("it was named when it came");
    let mut late = doors.revocation_of_member(Some(key(1)));
    tokio::time::timeout(bound, late.revoked()).await.expect("it is here because it was named");
    // Somebody whom nobody has named yet may be about to be.
    let mut stranger = doors.revocation(Some(key(3)));
    let told = futures_util::poll!(std::pin::pin!(stranger.revoked()));
    assert!(told.is_pending());
}

#[test]
fn nobody_is_called_in_plain_text_where_there_are_keys() {
    let (locked, _dir) = doors(|_| {});
    let call = |doors: &Doors, to| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(doors.call("127.0.0.1:1", to)).unwrap_err().to_string()
    };
    assert_eq!(call(&locked, Some(ONE)), "this node belongs to no cluster, and calls nobody");
    let (_show, views) = watch::channel(view(1, keys()));
    locked.attach(views);
    assert_eq!(call(&locked, Some(TWO)), format!("the key of node {TWO} is not known here"));
}
