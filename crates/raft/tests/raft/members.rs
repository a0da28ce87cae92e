//! A node that left for good, and did not see it.

use crate::commands::{init_cluster, register};
use crate::servers::{Server, leader, options, position, three};
use ironcache_control::{Command, ControlState};
use ironcache_raft::{AskError, REMOVED};
use ironcache_types::{Epoch, NodeId};
use std::collections::BTreeSet;

fn change(state: &ControlState) -> Epoch {
    state.membership.expect("a change of the nodes is under way").epoch
}

/// Proposes what has to be accepted; the state afterwards.
async fn commit(server: &Server, command: Command) -> std::sync::Arc<ControlState> {
    let proposed = server.node.propose(command).await.unwrap();
    assert!(proposed.outcome.is_ok(), "{proposed:?}");
    server.node.catch_up().await.unwrap().state.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_left_while_it_was_away_is_told_so_and_a_member_of_raft_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = three(dir.path(), |_| {}).await;
    servers[0].node.propose(init_cluster()).await.unwrap();
    let now = leader(&servers).await;
    // A follower that holds the shard, and does not own it.
    let goes = servers.iter().find(|s| s.id != now && s.id != NodeId(1)).map(|s| s.id).unwrap();
    let away = servers.remove(position(&servers, goes)).kill().await;
    let state = commit(&servers[0], Command::RemoveNode { node: goes }).await;
    let left = Command::NodeLeft { change: change(&state), node: goes };
    let state = commit(&servers[0], left).await;
    // By the log it has left, and raft has not let it go: it is needed for a majority like any other.
    let back = Server::start(options(goes.0, dir.path()), Some(away)).await;
    let index = servers[0].node.confirm_index().await.unwrap();
    back.applied(index).await;
    back.node.confirm_index().await.expect("it is a member of raft's group");
    let away = back.kill().await;
    let stay: BTreeSet<NodeId> = servers.iter().map(|s| s.id).collect();
    servers[0].node.change_membership(stay.clone(), BTreeSet::new()).await.unwrap();
    commit(&servers[0], Command::MembershipDone { change: change(&state) }).await;
    // Both of those that stay have to know: either may be asked.
    let last = servers[0].node.confirm_index().await.unwrap();
    for server in &servers {
        server.applied(last).await;
    }
    let back = Server::start(options(goes.0, dir.path()), Some(away)).await;
    match back.node.confirm_index().await {
        Err(AskError::Refused(refusal)) => {
            assert_eq!(refusal.code, REMOVED);
            assert!(refusal.text.contains(&format!("node {goes} was removed")), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    let registers = back.node.propose(register(goes.0, 900)).await;
    assert!(
        matches!(&registers, Err(AskError::Refused(refusal)) if refusal.code == REMOVED),
        "{registers:?}"
    );
    let members: BTreeSet<NodeId> = servers[0].node.view().voters.into_iter().collect();
    assert_eq!(members, stay);
    back.kill().await;
    for server in servers {
        server.kill().await;
    }
}
