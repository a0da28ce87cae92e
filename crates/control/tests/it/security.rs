//! Keys: who is pinned when, who may change who operates, and that no cluster is half locked.

use crate::generate::{Draw, draw};
use crate::setup::{Cluster, S1, admin, admitted, joins, key, layout, layout_with_keys};
use ironcache_control::{
    Admitted, Applied, AskedBy, Command, ControlState, Credential, Holder, InitCluster, Keys, NewOperator,
    NewSecurity, OperatorRole, Origin, Rejection, Security,
};
use ironcache_types::{Digest, KeyHash, NodeId};
use proptest::prelude::*;
use proptest::test_runner::Config;

fn add_operator(id: u8, name: &str, role: OperatorRole) -> Command {
    Command::AddOperator { by: admin(), key: key(id), name: name.to_owned(), role }
}

fn revoke(id: u8) -> Command {
    Command::RevokeOperator { by: admin(), key: key(id) }
}

fn keys(cluster: &Cluster) -> &Keys {
    match &cluster.state.security {
        Security::Keys(keys) => keys,
        Security::Insecure => panic!("the cluster was created with keys"),
    }
}

fn join(id: u64, admitted: Option<Admitted>) -> Command {
    Command::AddNode { spec: joins(id, Some(S1)), replaces: None, admitted }
}

#[test]
fn a_cluster_with_keys_knows_its_nodes_and_its_first_operator() {
    let cluster = Cluster::with_keys();
    for node in 1..=6 {
        let pin = cluster.state.security.pin(NodeId(node)).expect("every node has one");
        assert_eq!(cluster.state.security.holder(pin), Some(Holder::Node(NodeId(node))));
    }
    match cluster.state.security.holder(key(100)) {
        Some(Holder::Operator(first)) => {
            assert_eq!((first.name.as_str(), first.role), ("ada", OperatorRole::Admin))
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(cluster.state.security.holder(key(99)), None, "a stranger");
    let insecure = Cluster::new();
    assert_eq!(insecure.state.security.holder(key(1)), None);
}

#[test]
fn a_layout_whose_keys_do_not_fit_its_nodes_is_none() {
    type Spoil = fn(&mut InitCluster);
    fn of(init: &mut InitCluster) -> (&mut std::collections::BTreeMap<NodeId, KeyHash>, &mut NewOperator) {
        match &mut init.security {
            NewSecurity::Keys { nodes, admin, codes: _ } => (nodes, admin),
            NewSecurity::Insecure => panic!("the layout has keys"),
        }
    }
    let spoils: [(Spoil, &str); 7] = [
        (|init| _ = of(init).0.remove(&NodeId(6)), "bad_layout"),
        (|init| _ = of(init).0.insert(NodeId(7), key(7)), "bad_layout"),
        (|init| _ = of(init).0.insert(NodeId(6), key(5)), "bad_layout"),
        (|init| of(init).1.key = key(5), "bad_layout"),
        (|init| of(init).1.name = "  ".to_owned(), "bad_name"),
        (|init| of(init).1.name = "a\nb".to_owned(), "bad_name"),
        (|init| of(init).1.name = "n".repeat(65), "bad_name"),
    ];
    for (i, (spoil, code)) in spoils.iter().enumerate() {
        let mut init = layout_with_keys();
        spoil(&mut init);
        let mut state = ControlState::default();
        let refused = state.apply(1, &Command::InitCluster(init)).unwrap_err();
        assert_eq!(refused.code(), *code, "layout {i}");
        assert_eq!(state, ControlState::default());
    }
}

#[test]
fn a_node_joins_a_cluster_with_keys_by_a_code_that_was_not_used_and_a_key_of_its_own() {
    let mut cluster = Cluster::with_keys();
    cluster.refused(&join(7, None), "not_admitted");
    // By none that a founding node was met by.
    for used in 101..=106 {
        let admitted = Admitted { key: key(7), code: Digest([used; 32]) };
        cluster.refused(&join(7, Some(admitted)), "code_used");
    }
    let (free, code) = (key(7), Digest([1; 32]));
    cluster.refused(&join(7, Some(Admitted { key: key(2), code })), "key_taken");
    cluster.refused(&join(7, Some(Admitted { key: key(100), code })), "key_taken");
    let joined = join(7, Some(Admitted { key: free, code }));
    cluster.ok(&joined);
    assert_eq!(cluster.ok(&joined), Applied::Unchanged, "asked again");
    assert_eq!(cluster.state.security.pin(NodeId(7)), Some(free));
    cluster.ok(&cluster.members_done());
    cluster.refused(&join(8, Some(Admitted { key: key(8), code })), "code_used");
    cluster.ok(&join(8, Some(Admitted { key: key(8), code: Digest([2; 32]) })));
    let mut insecure = Cluster::new();
    insecure.refused(&join(7, Some(Admitted { key: free, code })), "insecure");
}

#[test]
fn a_key_opens_until_raft_has_let_its_node_go_and_not_a_moment_longer() {
    let mut cluster = Cluster::with_keys();
    cluster.ok(&cluster.remove(6));
    cluster.ok(&cluster.left());
    assert_eq!(cluster.state.security.pin(NodeId(6)), Some(key(6)), "its vote may still be needed");
    let by_the_leaver = Command::AddOperator {
        by: AskedBy::Node(NodeId(6)),
        key: key(101),
        name: "eve".to_owned(),
        role: OperatorRole::Admin,
    };
    cluster.refused(&by_the_leaver, "not_allowed");
    cluster.ok(&cluster.members_done());
    assert_eq!(cluster.state.security.pin(NodeId(6)), None);
    assert_eq!(cluster.state.security.holder(key(6)), None);
    assert_eq!(cluster.state.security.gone(key(6)), Some(NodeId(6)), "for whoever comes with it");
}

#[test]
fn operators_come_and_go_and_an_admin_is_left() {
    let mut cluster = Cluster::with_keys();
    cluster.refused(&revoke(100), "last_admin");
    cluster.ok(&add_operator(101, "bob", OperatorRole::Operator));
    assert_eq!(cluster.ok(&add_operator(101, "bob", OperatorRole::Operator)), Applied::Unchanged);
    cluster.refused(&add_operator(101, "bob", OperatorRole::Admin), "key_taken");
    cluster.refused(&add_operator(102, "bob", OperatorRole::Viewer), "name_taken");
    cluster.refused(&add_operator(3, "node", OperatorRole::Viewer), "key_taken");
    cluster.refused(&add_operator(102, "", OperatorRole::Viewer), "bad_name");
    cluster.refused(&revoke(99), "unknown_operator");
    cluster.refused(&revoke(100), "last_admin");
    cluster.ok(&add_operator(102, "cyd", OperatorRole::Admin));
    cluster.ok(&revoke(100));
    assert_eq!(keys(&cluster).admins(), 1);
    assert_eq!(cluster.state.security.holder(key(100)), None);
    // Who was revoked asks for nothing any more, though the log takes it now only.
    cluster.refused(&add_operator(103, "dan", OperatorRole::Admin), "not_allowed");
    cluster.refused(&revoke(101), "not_allowed");
}

#[test]
fn only_an_admin_or_a_member_changes_who_operates() {
    let mut cluster = Cluster::with_keys();
    cluster.ok(&add_operator(101, "bob", OperatorRole::Operator));
    cluster.ok(&add_operator(102, "vic", OperatorRole::Viewer));
    let by =
        |by| Command::AddOperator { by, key: key(103), name: "new".to_owned(), role: OperatorRole::Admin };
    for asks in [101, 102, 99, 1] {
        cluster.refused(&by(AskedBy::Operator(key(asks))), "not_allowed");
        let key = key(102);
        cluster.refused(
            &Command::RevokeOperator { by: AskedBy::Operator(crate::setup::key(asks)), key },
            "not_allowed",
        );
    }
    cluster.refused(&by(AskedBy::Node(NodeId(9))), "not_allowed");
    cluster.ok(&by(AskedBy::Node(NodeId(4))));
    let mut insecure = Cluster::new();
    insecure.refused(&by(AskedBy::Node(NodeId(1))), "insecure");
    insecure.refused(&revoke(1), "insecure");
}

#[test]
fn an_order_counts_only_while_the_log_names_its_operator_with_the_role_that_it_needs() {
    let mut cluster = Cluster::with_keys();
    cluster.ok(&add_operator(101, "bob", OperatorRole::Operator));
    cluster.ok(&add_operator(102, "vic", OperatorRole::Viewer));
    let ordered = |cluster: &mut Cluster, id: u8, command: &Command| {
        cluster.log_index += 1;
        let origin = Origin { by: Credential::Operator(key(id)), from: None, at_ms: 1 };
        cluster.state.apply_of(cluster.log_index, command, Some(&origin)).map_err(|refused| refused.code())
    };
    let policy = cluster.set_policy(|policy| policy.max_parallel = 2);
    // A viewer, a stranger, a node's key; and an operator, for what needs an admin.
    let remove = cluster.remove(6);
    for (id, command) in [(102, &policy), (99, &policy), (1, &policy), (101, &remove)] {
        let before = cluster.state.clone();
        assert_eq!(ordered(&mut cluster, id, command), Err("not_allowed"), "{id}");
        assert_eq!(cluster.state, before);
    }
    ordered(&mut cluster, 101, &policy).unwrap();
    // A node that lags may still send it on; the log does not take it any more.
    cluster.ok(&revoke(101));
    let again = cluster.set_policy(|policy| policy.max_parallel = 3);
    assert_eq!(ordered(&mut cluster, 101, &again), Err("not_allowed"));
    ordered(&mut cluster, 100, &again).unwrap();
    ordered(&mut cluster, 100, &remove).unwrap();
}

#[test]
fn operators_and_remembered_codes_are_bounded() {
    let mut cluster = Cluster::with_keys();
    let named = |n: usize| Command::AddOperator {
        by: admin(),
        key: KeyHash(Digest(std::array::from_fn(|i| if i < 2 { (n >> (8 * i)) as u8 } else { 0xee }))),
        name: format!("operator {n}"),
        role: OperatorRole::Viewer,
    };
    for n in 1..Keys::OPERATORS_MAX {
        cluster.ok(&named(n));
    }
    cluster.refused(&named(Keys::OPERATORS_MAX), "too_many_operators");
    let Security::Keys(known) = &mut cluster.state.security else { panic!("it has keys") };
    known.codes = (0..Keys::CODES_MAX).map(|n| Digest([n as u8; 32])).collect();
    let code = Digest([0x55; 31].iter().copied().chain([0]).collect::<Vec<_>>().try_into().unwrap());
    cluster.ok(&join(7, Some(Admitted { key: key(7), code })));
    assert_eq!(keys(&cluster).codes.len(), Keys::CODES_MAX);
    assert_eq!(keys(&cluster).codes.back(), Some(&code));
}

#[test]
fn a_cluster_keeps_what_it_was_created_with() {
    let mut cluster = Cluster::with_keys();
    let mut insecure = Cluster::new();
    insecure.refused(
        &Command::InitCluster(InitCluster {
            cluster_id: ironcache_types::ClusterId(8),
            ..layout_with_keys()
        }),
        "cluster_exists",
    );
    assert_eq!(cluster.ok(&Command::InitCluster(layout())), Applied::Unchanged);
    assert_eq!(keys(&cluster).nodes.len(), 6);
}

proptest! {
    #![proptest_config(Config { cases: 200, ..Config::default() })]

    /// Nodes and operators come and go in any order; `apply` holds each state against the invariants.
    #[test]
    fn keys_fit_their_holders_whatever_happens(draws in prop::collection::vec(draw(), 1..200)) {
        let mut cluster = Cluster::with_keys();
        let mut log: Vec<Command> = Vec::new();
        for (at, draw) in draws.iter().enumerate() {
            let command = if at % 4 == 0 { of_keys(draw, &cluster) } else { draw.command(&cluster.state, &log) };
            let before = cluster.state.clone();
            match cluster.apply(&command) {
                Ok(_) => {}
                Err(Rejection::Invariant(violation)) => prop_assert!(false, "{violation}: {command:?}"),
                Err(_) => prop_assert_eq!(&cluster.state, &before),
            }
            prop_assert!(keys(&cluster).admins() >= 1);
            log.push(command);
        }
    }
}

fn of_keys(draw: &Draw, cluster: &Cluster) -> Command {
    let roles = [OperatorRole::Viewer, OperatorRole::Operator, OperatorRole::Admin];
    let asks = [
        admin(),
        AskedBy::Operator(key(102)),
        AskedBy::Operator(key(1)),
        AskedBy::Node(NodeId(2)),
        AskedBy::Node(NodeId(7)),
    ];
    let mut commands = Vec::new();
    for by in asks {
        for (id, role) in [100, 101, 102].into_iter().zip(roles) {
            commands.push(Command::AddOperator { by, key: key(id), name: format!("operator {id}"), role });
            commands.push(Command::RevokeOperator { by, key: key(id) });
        }
    }
    for id in 7..=9 {
        commands.push(join(id, Some(admitted(id))));
    }
    commands.extend((1..=9).map(|id| cluster.remove(id)));
    draw.index.get(&commands).clone()
}
