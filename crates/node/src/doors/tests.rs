use super::heard::Pins;
use super::*;
use ironcache_control::{
    Command, ControlState, InitCluster, NewOperator, NewSecurity, NodeRole, NodeSpec, Policy, ShardSpec,
};
use ironcache_identity::PrivateKey;
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

fn keys_of<const N: usize>(nodes: [(NodeId, KeyHash); N]) -> NewSecurity {
    let admin = NewOperator { key: key(9), name: "ada".to_owned() };
    NewSecurity::Keys { nodes: nodes.into(), admin, codes: Vec::new() }
}

fn keys() -> NewSecurity {
    keys_of([(ONE, key(1))])
}

fn binding(nodes: impl IntoIterator<Item = (NodeId, KeyHash)>) -> Binding {
    Binding { cluster: CLUSTER, nodes: nodes.into_iter().collect(), admin: key(9) }
}

/// `node.json` as the daemon writes it once the node is a member.
fn become_member(dir: &TempDir) {
    crate::identity::begin_life(dir.path(), "h:2").unwrap();
    crate::identity::note_member(dir.path(), CLUSTER).unwrap();
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
    bound.bind(binding([(ONE, key(1)), (TWO, key(2))])).unwrap();
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
fn a_member_of_an_insecure_cluster_starts_only_where_that_is_permitted_by_what_its_log_says() {
    let (locked, dir) = doors(|_| {});
    assert!(locked.check(ONE, false).is_ok(), "it is new");
    assert!(matches!(locked.check(ONE, true), Err(StartError::NotBound)), "who its members are is lost");
    let started = |set: fn(&mut Config), security| {
        let doors = doors_in(&dir, set);
        let (_show, views) = watch::channel(view(1, security));
        doors.attach(views);
        let mode = doors.mode();
        (doors.check(ONE, true), mode)
    };
    let (checked, mode) = started(|_| {}, NewSecurity::Insecure);
    assert!(matches!((checked, mode), (Err(StartError::NotPermitted), Mode::Locked)));
    let (checked, mode) = started(|config| config.insecure = true, NewSecurity::Insecure);
    assert!(matches!((checked, mode), (Ok(()), Mode::Open)));
    // A cluster with keys has them, whether or not the file is there that said so before its log did.
    let own = keys_of([(ONE, locked.tls.hash())]);
    let (checked, mode) = started(|_| {}, own);
    assert!(matches!((checked, mode), (Ok(()), Mode::Keys(_))));
}

#[test]
fn a_node_that_was_bound_is_opened_by_no_log() {
    let (bound, dir) = doors(|config| config.insecure = true);
    let own = bound.tls.hash();
    bound.bind(binding([(ONE, own), (TWO, key(2))])).unwrap();
    for doors in [bound, doors_in(&dir, |config| config.insecure = true)] {
        assert_eq!(doors.holder(key(2)), Who::Member(TWO));
        assert!(doors.may_join(CLUSTER) && !doors.may_join(ClusterId(8)), "nor taken into another cluster");
        let (_show, views) = watch::channel(view(1, NewSecurity::Insecure));
        doors.attach(views);
        for stranger in [key(2), key(9), key(77)] {
            assert_eq!(doors.holder(stranger), Who::Unknown(stranger));
        }
        assert!(doors.pins().is_some_and(|pins| pins.is_empty()) && doors.code().is_none());
        assert!(doors.warning().is_some_and(|warning| warning.contains("bound to one with keys")));
    }
}

#[test]
fn a_node_that_others_know_makes_no_second_key_and_runs_by_none_but_its_own() {
    let (bound, dir) = doors(|_| {});
    bound.bind(binding([(ONE, bound.tls.hash())])).unwrap();
    let start = |dir: &TempDir, insecure| {
        Doors::of(&Arc::new(Config { data_dir: dir.path().to_owned(), insecure, ..Config::default() }))
    };
    assert!(start(&dir, false).unwrap().check(ONE, true).is_ok());
    let path = dir.path().join("node.key");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(start(&dir, false), Err(StartError::KeyLost { .. })));
    assert!(!path.exists(), "none was made");
    // Another one in its place.
    PrivateKey::load_or_make(&path).unwrap();
    let other = start(&dir, false).unwrap().check(ONE, true);
    assert!(matches!(other, Err(StartError::OtherKey { node: ONE, .. })));
    let by_the_log = start(&dir, false).unwrap();
    let (_show, views) = watch::channel(view(1, keys()));
    by_the_log.attach(views);
    assert!(matches!(by_the_log.check(ONE, true), Err(StartError::OtherKey { node: ONE, .. })));

    // A member whose binding is lost as well; and one of an insecure cluster, where no key is known.
    let dir = tempfile::tempdir().unwrap();
    become_member(&dir);
    assert!(matches!(start(&dir, false), Err(StartError::KeyLost { .. })));
    assert!(start(&dir, true).is_ok());
}

#[test]
fn a_member_reads_no_join_code_and_keeps_none() {
    let (new, dir) = doors(|_| {});
    let path = dir.path().join("join.code");
    assert!(new.code_to_tell().is_some() && path.exists());
    become_member(&dir);
    // Whatever has become of it.
    std::fs::write(&path, "no code").unwrap();
    let member = doors_in(&dir, |config| config.join_code_file = "/nowhere/at/all".to_owned());
    assert!(member.code().is_none() && !path.exists());
}

#[test]
fn a_code_is_told_by_the_node_that_drew_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let given = JoinCode::draw().unwrap();
    let path = dir.path().join("given");
    std::fs::write(&path, given.to_string()).unwrap();
    let doors = doors_in(&dir, |config| config.join_code_file = path.display().to_string());
    assert_eq!(doors.code(), Some(&given));
    assert!(doors.code_to_tell().is_none(), "whoever gave it knows it");
}

#[test]
fn a_data_directory_is_closed_to_other_users() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    doors_in(&dir, |_| {});
    let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    doors_in(&dir, |_| {});
    let mode = std::fs::metadata(dir.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o750, "a group keeps what it was given since");
}

#[test]
fn what_most_members_say_counts_while_their_logs_are_ahead() {
    let (doors, _dir) = doors(|_| {});
    let (show, views) = watch::channel(view(5, keys()));
    doors.attach(views);
    let pins = |index| Pins { index, nodes: BTreeMap::from([(ONE, key(1)), (TWO, key(2))]) };
    doors.hear(&[pins(5)]);
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)), "this node knows as much itself");
    doors.hear(&[pins(6), pins(9)]);
    assert_eq!(doors.holder(key(2)), Who::Member(TWO));
    assert_eq!(doors.pins().unwrap(), BTreeMap::from([(ONE, key(1)), (TWO, key(2))]));
    assert!(matches!(doors.holder(key(9)), Who::Operator { .. }));
    show.send_replace(view(6, keys()));
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)), "its own log says otherwise by now");
    // The next round takes the place of the one before: who says nothing any more is not believed for what it said.
    doors.hear(&[pins(20)]);
    assert_eq!(doors.holder(key(2)), Who::Member(TWO));
    doors.hear(&[]);
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)));
    // Nor after a change of the own log's keys, until it is said again.
    doors.hear(&[pins(20)]);
    doors.unhear();
    assert_eq!(doors.holder(key(2)), Who::Unknown(key(2)));
}

#[test]
fn what_members_say_of_keys_changes_and_drops_nothing() {
    let (doors, _dir) = doors(|_| {});
    let mut state = ControlState::clone(&view(5, keys()).state);
    let Security::Keys(known) = &mut state.security else { panic!("it has keys") };
    known.gone.push_back((TWO, key(2)));
    state.removed.push_back(TWO);
    let (_show, views) = watch::channel(Arc::new(AppliedView {
        state: Arc::new(state),
        ..AppliedView::clone(&view(5, keys()))
    }));
    doors.attach(views);
    let says = |nodes: &[(NodeId, KeyHash)]| Pins { index: u64::MAX, nodes: nodes.iter().copied().collect() };
    // Another key for a member, the key of an operator, a node that has left and its key; and none of who is known.
    let three = NodeId(3);
    let lies = says(&[(ONE, key(66)), (three, key(9)), (TWO, key(67)), (NodeId(4), key(2))]);
    doors.hear(&[lies]);
    assert_eq!(doors.holder(key(1)), Who::Member(ONE));
    assert!(matches!(doors.holder(key(9)), Who::Operator { .. }));
    for key in [key(66), key(67), key(2)] {
        assert_eq!(doors.holder(key), Who::Unknown(key));
    }
    assert_eq!(doors.pins().unwrap(), BTreeMap::from([(ONE, key(1))]));
    assert_eq!(doors.removed(key(2)), Some(TWO), "it is told so");
}

#[test]
fn fewer_than_most_members_add_no_key() {
    let (doors, _dir) = doors(|_| {});
    let (_show, views) = watch::channel(view(5, keys()));
    doors.attach(views);
    let says = |node, key| Pins { index: u64::MAX, nodes: BTreeMap::from([(node, key)]) };
    let three = NodeId(3);
    // One against two.
    let (lie, honest) = (says(three, key(3)), says(ONE, key(1)));
    doors.hear(&[lie.clone(), honest.clone(), honest.clone()]);
    assert_eq!(doors.holder(key(3)), Who::Unknown(key(3)));
    doors.hear(&[lie.clone(), honest]);
    assert_eq!(doors.holder(key(3)), Who::Unknown(key(3)), "nor one against one");
    doors.hear(&[lie.clone(), Pins { index: 5, nodes: BTreeMap::from([(ONE, key(1))]) }]);
    assert_eq!(doors.holder(key(3)), Who::Unknown(key(3)), "nor against one who has as much as this node");
    doors.hear(&[lie]);
    assert_eq!(doors.holder(key(3)), Who::Member(three), "who answers alone is all there is");
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
    assert_eq!(call(&locked, Some(ONE)), "this node knows nobody, and calls nobody");
    let (_show, views) = watch::channel(view(1, keys()));
    locked.attach(views);
    assert_eq!(call(&locked, Some(TWO)), format!("the key of node {TWO} is not known here"));
}

#[tokio::test]
async fn the_file_of_a_code_goes_when_the_node_has_belonged_to_a_cluster_for_long_enough() {
    let (doors, dir) = doors(|_| {});
    let (doors, path) = (Arc::new(doors), dir.path().join("join.code"));
    let none = AppliedView { index: 0, term: 0, state: Arc::default(), hashes: Vec::new() };
    let views = watch::Sender::new(Arc::new(none));
    doors.attach(views.subscribe());
    let forgets = tokio::spawn(Arc::clone(&doors).forget_code(std::time::Duration::ZERO));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!forgets.is_finished() && path.exists() && doors.code().is_some(), "it belongs to none yet");
    views.send_replace(view(5, keys()));
    let in_time = tokio::time::timeout(std::time::Duration::from_secs(60), forgets);
    in_time.await.expect("it is forgotten").unwrap();
    assert!(!path.exists() && doors.code().is_none());
}
