//! Three real nodes over loopback HTTP.

use crate::commands::{init_cluster, register};
use crate::peer_port::{header, later_entry, post, refused, sealed, vote};
use crate::servers::{BOUND, CLUSTER, Deaf, Server, admitted, leader, options, position, three, until};
use ironcache_control::{Command, RaftTimers};
use ironcache_formats::state;
use ironcache_formats::wire::{self, Kind};
use ironcache_raft::bodies::v1::{Answer, Ask, ForwardRequest, Lives};
use ironcache_raft::{
    Admission, AppliedView, AskError, IdentityError, InitializeNodeError, OpenError, PeerAddr, RaftNode,
    RaftOptions, Role, Timers,
};
use ironcache_types::{ClusterId, Incarnation, Level, LevelRange, Member, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

const TWO_THREADS: usize = 2;

fn hash_of(view: &AppliedView) -> u64 {
    state::hash(&view.state, []).unwrap()
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(TWO_THREADS)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

async fn stop(servers: Vec<Server>) {
    for server in servers {
        server.kill().await;
    }
}

#[test]
fn a_follower_forwards_and_everyone_applies() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        let leader = leader(&servers).await;
        let follower = servers.iter().find(|s| s.id != leader).unwrap();

        let init = follower.node.propose(init_cluster()).await.unwrap();
        assert!(init.outcome.is_ok(), "{init:?}");
        let again = follower.node.propose(register(2, 1)).await.unwrap();
        let code = again.outcome.as_ref().err().map(|refusal| refusal.code.as_str());
        assert_eq!(code, Some("stale_incarnation"), "a rejection is an outcome, not an error: {again:?}");

        let mut hashes = BTreeSet::new();
        for server in &servers {
            server.applied(again.index).await;
            let view = server.node.applied().borrow().clone();
            assert_eq!(view.state.cluster_id, Some(CLUSTER));
            assert_eq!(view.index, again.index);
            hashes.insert(hash_of(&view));
            assert_eq!(server.node.cluster(), Some(CLUSTER));
        }
        assert_eq!(hashes.len(), 1, "the same index gives the same state everywhere");
        for server in &servers {
            assert!(server.node.confirm_index().await.unwrap() >= again.index);
        }
        stop(servers).await;
    });
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_with_its_log() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let first = leader(&servers).await;
        let term = servers[position(&servers, first)].node.view().term;
        let addr = servers.remove(position(&servers, first)).kill().await;

        let started = Instant::now();
        let proposed = servers[0].node.propose(register(2, 500)).await.unwrap();
        println!("kill to first commit: {:?}", started.elapsed());
        assert!(proposed.outcome.is_ok());
        let second = leader(&servers).await;
        assert_ne!(second, first);
        assert!(servers[position(&servers, second)].node.view().term > term);

        // Its log and vote are on disk: it comes back as a member, and catches up.
        let back = Server::start(options(first.0, dir.path()), Some(addr)).await;
        assert!(back.node.view().last_log.is_some());
        back.applied(proposed.index).await;
        let caught_up = back.node.catch_up().await.unwrap();
        assert_eq!(hash_of(&caught_up), hash_of(&servers[0].node.catch_up().await.unwrap()));
        servers.push(back);
        stop(servers).await;
    });
}

#[test]
fn a_whole_cluster_restarts_from_disk() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        let last = servers[1].node.propose(init_cluster()).await.unwrap();
        for server in &servers {
            server.applied(last.index).await;
        }
        let hash = hash_of(&servers[0].node.applied().borrow());
        let mut addrs = BTreeMap::new();
        for server in servers {
            let id = server.id.0;
            addrs.insert(id, server.kill().await);
        }
        let mut servers = Vec::new();
        for (id, addr) in addrs {
            let server = Server::start(options(id, dir.path()), Some(addr)).await;
            // A clean stop wrote the committed index: the state is there before any leader is.
            assert_eq!(hash_of(&server.node.applied().borrow()), hash);
            servers.push(server);
        }
        let proposed = servers[2].node.propose(register(3, 900)).await.unwrap();
        assert!(proposed.outcome.is_ok() && proposed.index > last.index);
        stop(servers).await;
    });
}

#[test]
fn a_node_that_comes_back_at_another_address_is_found_by_the_leader_of_then_and_by_later_ones() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        for round in 0..4 {
            let now = leader(&servers).await;
            // A follower, then the leader, then again.
            let away = (position(&servers, now) + (round + 1) % 2) % 3;
            let id = servers[away].id;
            let old = servers.remove(away).kill().await;
            let missed = servers[0].node.propose(register(1, 3_000 + round as u64)).await.unwrap();
            // The port stays taken, so that the next one is another.
            let taken = std::net::TcpListener::bind(old).unwrap();
            let back = Server::start(options(id.0, dir.path()), None).await;
            assert_ne!(back.addr, old);
            back.node.move_to(Incarnation(9_000 + round as u64), back.peer()).await.unwrap();
            back.applied(missed.index).await;
            let caught_up = back.node.catch_up().await.unwrap();
            servers.push(back);
            for server in &servers {
                server.applied(caught_up.index).await;
                until(|| server.node.addresses()[&id] == servers[2].peer()).await;
            }
            drop(taken);
        }
        let last = leader(&servers).await;
        let next = servers[(position(&servers, last) + 1) % 3].id;
        while servers[0].node.transfer_leader(next).await.is_err() {}
        let proposed = servers[1].node.propose(register(2, 4_000)).await.unwrap();
        for server in &servers {
            server.applied(proposed.index).await;
        }
        stop(servers).await;
    });
}

#[test]
fn a_copy_of_a_node_that_answers_moves_nobody() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let now = leader(&servers).await;
        let original = servers.remove((position(&servers, now) + 1) % 3);
        let original_id = original.id.0;
        let mut copied = options(original_id, dir.path());
        let from = std::mem::replace(&mut copied.dir, dir.path().join("copy"));
        std::fs::create_dir(&copied.dir).unwrap();
        std::fs::copy(from.join("raft.wal"), copied.dir.join("raft.wal")).unwrap();
        let copy = Server::start(copied, None).await;
        let refused = copy.node.move_to(Incarnation(u64::MAX), copy.peer()).await;
        let Err(AskError::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert!(refusal.text.contains(&format!("answers at {}", original.peer())), "{refusal}");
        for server in &servers {
            assert_eq!(server.node.addresses()[&original.id], original.peer());
        }
        // Once it is gone, nothing tells a copy from a node that moved: if it is a whole one, it is that node.
        copy.kill().await;
        original.kill().await;
        let mut copied = options(original_id, dir.path());
        let from = std::mem::replace(&mut copied.dir, dir.path().join("whole-copy"));
        std::fs::create_dir(&copied.dir).unwrap();
        std::fs::copy(from.join("raft.wal"), copied.dir.join("raft.wal")).unwrap();
        let copy = Server::start(copied, None).await;
        copy.node.move_to(Incarnation(u64::MAX), copy.peer()).await.unwrap();
        let index = servers[0].node.confirm_index().await.unwrap();
        copy.applied(index).await;
        servers.push(copy);
        stop(servers).await;
    });
}

#[test]
fn an_earlier_life_of_a_node_and_a_stranger_move_nobody() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let registered = servers[0].node.propose(register(2, 500)).await.unwrap();
        for server in &servers {
            server.applied(registered.index).await;
        }
        let elsewhere = PeerAddr("127.0.0.1:1".to_owned());
        let refused = servers[1].node.move_to(Incarnation(499), elsewhere).await;
        assert!(matches!(refused, Err(AskError::Refused { .. })), "{refused:?}");
        servers[1].node.move_to(Incarnation(500), servers[1].peer()).await.unwrap();
        let index = servers[0].node.confirm_index().await.unwrap();
        assert_eq!(index, registered.index, "an address that is known already is no entry");
        assert_eq!(servers[0].node.addresses()[&NodeId(2)], servers[1].peer());
        stop(servers).await;
    });
}

#[test]
fn leadership_moves_where_it_is_told() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let mut times = Vec::new();
        for round in 0..6 {
            let from = leader(&servers).await;
            let to = servers[(position(&servers, from) + 1) % 3].id;
            let asker = &servers[round % 3];
            let started = Instant::now();
            while let Err(error) = asker.node.transfer_leader(to).await {
                println!("transfer to {to}: {error}");
                assert!(started.elapsed() < BOUND);
            }
            assert!(asker.node.propose(register(1, 1000 + round as u64)).await.unwrap().outcome.is_ok());
            times.push(started.elapsed());
            assert_eq!(leader(&servers).await, to);
        }
        println!("transfer to first commit: {times:?}");
        stop(servers).await;
    });
}

#[test]
fn a_node_that_was_away_gets_a_snapshot() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let often = |options: &mut ironcache_raft::RaftOptions| options.snapshot_every = 10;
        let mut servers = three(dir.path(), often).await;
        let init = servers[0].node.propose(init_cluster()).await.unwrap();
        for server in &servers {
            server.applied(init.index).await;
        }
        let leader = leader(&servers).await;
        let away = (position(&servers, leader) + 1) % 3;
        let id = servers[away].id;
        let addr = servers.remove(away).kill().await;
        let leader = &servers[position(&servers, leader)].node;
        let (mut last, mut incarnation) = (0, 2000);
        while leader.view().purged.is_none_or(|purged| purged <= init.index) {
            last = leader.propose(register(1, incarnation)).await.unwrap().index;
            incarnation += 1;
            assert!(incarnation < 1_000_000, "the log is purged at last");
        }
        let next_life = || {
            let mut options = options(id.0, dir.path());
            often(&mut options);
            options
        };
        let back = Server::start(next_life(), Some(addr)).await;
        back.applied(last).await;
        until(|| back.node.view().snapshot.is_some_and(|index| index > init.index)).await;
        let hash = hash_of(&back.node.applied().borrow());
        assert_eq!(hash, hash_of(&servers[0].node.applied().borrow()));

        // What was installed is durable, and the log goes on behind it.
        let addr = back.kill().await;
        let back = Server::start(next_life(), Some(addr)).await;
        back.applied(last).await;
        assert_eq!(hash_of(&back.node.applied().borrow()), hash);

        // Without the snapshot the purged log is no use: refused, not guessed.
        back.kill().await;
        let options = next_life();
        let (log, snapshot) = (options.dir.join("raft.wal"), options.dir.join("snapshot"));
        let kept = std::fs::read(&snapshot).unwrap();
        std::fs::remove_file(&snapshot).unwrap();
        let error = RaftNode::open(options.clone()).await.err().unwrap();
        assert!(matches!(error, OpenError::SnapshotMissing { .. }), "{error}");

        // Nor is a snapshot without the log: the votes are lost.
        std::fs::write(&snapshot, kept).unwrap();
        std::fs::remove_file(&log).unwrap();
        let error = RaftNode::open(options).await.err().unwrap();
        assert!(matches!(error, OpenError::LogMissing { .. }), "{error}");
        assert!(!log.exists(), "a refused start leaves no log behind");
        stop(servers).await;
    });
}

#[test]
fn a_learner_becomes_a_voter_and_a_voter_leaves() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let fourth = Server::start(options(4, dir.path()), None).await;
        let asker = &servers[2].node;
        asker.add_learner(fourth.id, fourth.peer()).await.unwrap();
        asker.add_learner(fourth.id, fourth.peer()).await.unwrap();
        let index = asker.confirm_index().await.unwrap();
        fourth.applied(index).await;
        assert_eq!(fourth.node.cluster(), Some(CLUSTER));
        until(|| fourth.node.view().learners == [NodeId(4)]).await;

        let voters: BTreeSet<NodeId> = [2, 3, 4].map(NodeId).into();
        let stranger: BTreeSet<NodeId> = [2, 3, 9].map(NodeId).into();
        assert!(asker.change_membership(stranger, BTreeSet::new()).await.is_err());
        asker.change_membership(voters.clone(), BTreeSet::new()).await.unwrap();
        servers.push(fourth);
        let gone = servers.remove(0);
        let leader = leader(&servers).await;
        let leader = &servers[position(&servers, leader)].node;
        until(|| leader.view().learners.is_empty()).await;
        assert_eq!(leader.view().voters.into_iter().collect::<BTreeSet<_>>(), voters);
        gone.kill().await;
        assert!(servers[2].node.propose(register(2, 700)).await.unwrap().outcome.is_ok());
        stop(servers).await;
    });
}

#[test]
fn learners_are_members_from_the_start() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let voter = Server::start(options(1, dir.path()), None).await;
        let learner = Server::start(options(2, dir.path()), None).await;
        let members: BTreeMap<_, _> =
            [(voter.id, (voter.peer(), Role::Voter)), (learner.id, (learner.peer(), Role::Learner))].into();
        voter.node.initialize(CLUSTER, Level::FIRST, members.clone()).await.unwrap();
        let index = voter.node.confirm_index().await.unwrap();
        learner.applied(index).await;
        let both = [voter, learner];
        admitted(&both).await;
        let [voter, learner] = both;
        until(|| learner.node.view().voters == [NodeId(1)]).await;
        assert!(learner.node.propose(init_cluster()).await.unwrap().outcome.is_ok());

        let last = voter.node.view().last_log;
        voter.node.initialize(CLUSTER, Level::FIRST, members.clone()).await.unwrap();
        assert_eq!(voter.node.view().voters, [NodeId(1)], "founding again changes nothing");
        assert!(voter.node.view().last_log >= last);
        let other = voter.node.initialize(ClusterId(0xbad), Level::FIRST, members.clone()).await;
        assert!(matches!(other, Err(InitializeNodeError::Identity(IdentityError::OtherCluster { .. }))));
        let wrong = learner.node.initialize(CLUSTER, Level::FIRST, members).await;
        assert!(matches!(wrong, Err(InitializeNodeError::NotAVoter { .. })));
        stop(vec![voter, learner]).await;
    });
}

#[test]
fn a_group_of_one_leads_at_once_after_a_restart() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(options(1, dir.path()), None).await;
        let members = [(server.id, (server.peer(), Role::Voter))].into();
        server.node.initialize(CLUSTER, Level::FIRST, members).await.unwrap();
        server.node.propose(init_cluster()).await.unwrap();
        let addr = server.kill().await;
        let started = Instant::now();
        let server = Server::start(options(1, dir.path()), Some(addr)).await;
        assert!(server.node.propose(register(1, 800)).await.unwrap().outcome.is_ok());
        println!("restart to commit: {:?}", started.elapsed());
        stop(vec![server]).await;
    });
}

#[test]
fn a_node_that_was_given_no_timers_runs_by_those_that_the_cluster_was_created_with() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        let timers = RaftTimers { heartbeat_ms: 70, election_min_ms: 350, election_max_ms: 710 };
        let Command::InitCluster(mut init) = init_cluster() else { unreachable!() };
        init.policy.timers = timers;
        let created = servers[2].node.propose(Command::InitCluster(init)).await.unwrap();
        created.outcome.unwrap();
        let (mut server, mut own) = (servers.remove(2), None);
        for compacted in [false, true] {
            server.applied(created.index).await;
            own = own.or(Some(server.node.timers()));
            let RaftOptions { dir, node, incarnation, .. } = options(3, dir.path());
            if compacted {
                server.node.compact().await.unwrap();
                until(|| dir.join("snapshot").exists()).await;
            }
            let addr = server.kill().await;
            server = Server::start(RaftOptions::new(Member { node, incarnation }, dir), Some(addr)).await;
            assert_eq!(server.node.timers(), timers, "compacted: {compacted}");
        }
        assert_ne!(own, Some(timers), "it was given its own before");
    });
}

#[test]
fn followers_learn_of_a_commit_before_the_next_heartbeat() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let heartbeat = Duration::from_secs(20);
        let servers = three(dir.path(), |options| {
            options.timers = Timers::Own(RaftTimers {
                heartbeat_ms: 20_000,
                election_min_ms: 50_000,
                election_max_ms: 60_000,
            });
        })
        .await;
        let started = Instant::now();
        for n in 0..5 {
            let index = servers[0].node.propose(register(1, n)).await.unwrap().index;
            for server in &servers {
                server.applied(index).await;
            }
        }
        assert!(started.elapsed() < heartbeat / 2, "{:?}", started.elapsed());
        stop(servers).await;
    });
}

#[test]
fn a_node_that_cannot_win_asks_first_and_does_not_raise_the_term() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let leader = leader(&servers).await;
        let lonely = servers.remove((position(&servers, leader) + 1) % 3);
        let term = lonely.node.view().term;
        let (asked, mut pre_votes) = tokio::sync::watch::channel((0, 0));
        let mut strangers = Vec::new();
        for server in servers {
            let addr = server.kill().await;
            strangers.push(Deaf::start(addr, asked.clone()).await);
        }
        let seen = tokio::time::timeout(BOUND, pre_votes.wait_for(|(pre_votes, _)| *pre_votes >= 4));
        let (_, votes) = *seen.await.expect("it keeps asking").unwrap();
        assert_eq!(votes, 0);
        assert_eq!(lonely.node.view().term, term);
        lonely.kill().await;
        drop(strangers);
    });
}

#[test]
fn one_process_a_directory_and_one_node_a_log() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(options(1, dir.path()), None).await;
        let error = RaftNode::open(options(1, dir.path())).await.err().unwrap();
        assert!(matches!(error, OpenError::InUse { .. }), "{error}");
        server.kill().await;
        let mut other = options(2, dir.path());
        other.dir = options(1, dir.path()).dir;
        let error = RaftNode::open(other).await.err().unwrap();
        assert!(matches!(error, OpenError::Wal { .. }), "{error}");
        stop(vec![Server::start(options(1, dir.path()), None).await]).await;
    });
}

#[test]
fn a_node_of_another_range_of_levels_does_not_join() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let voter = Server::start(options(1, dir.path()), None).await;
        let mut later = options(2, dir.path());
        later.admits = LevelRange::new(2, 3);
        let later = Server::start(later, None).await;
        let members: BTreeMap<_, _> =
            [(voter.id, (voter.peer(), Role::Voter)), (later.id, (later.peer(), Role::Learner))].into();
        voter.node.initialize(CLUSTER, Level::FIRST, members).await.unwrap();
        until(|| voter.node.view().learners == [NodeId(2)]).await;
        let body = sealed(Kind::VoteRequest, header(CLUSTER, 1, 2), &vote());
        let (status, text) = refused(&later, "/raft/vote", body).await;
        assert_eq!(status, 409);
        assert!(text.contains("level 1 is asked for, and this release admits levels 2-3"), "{text}");
        assert_eq!((later.node.cluster(), later.node.view().last_log), (None, None));
        stop(vec![voter, later]).await;
    });
}

#[test]
fn an_entry_above_the_level_is_refused_before_it_is_in_the_log() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let leader = leader(&servers).await;
        let leader = &servers[position(&servers, leader)];
        let before = leader.node.view().last_log;
        let ask = Ask::Propose(later_entry(Level(2)));
        let body = sealed(
            Kind::ForwardRequest,
            header(CLUSTER, 9, leader.id.0),
            &ForwardRequest { ask, timeout_ms: 5000 },
        );
        let (status, bytes) = post(leader, "/raft/forward", body).await;
        assert_eq!(status, 200);
        let (_, answer): (Lives, Answer) = wire::open(Kind::ForwardResponse, &bytes).unwrap().body().unwrap();
        assert!(matches!(&answer, Answer::Refused { code, .. } if code == "not_yet"), "{answer:?}");
        assert_eq!(leader.node.view().last_log, before, "it is not in the log");
        stop(servers).await;
    });
}

#[test]
fn commit_latency_is_printed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let leader = leader(&servers).await;
        for asker in [position(&servers, leader), (position(&servers, leader) + 1) % 3] {
            let (mut commit, mut everywhere) = (Vec::new(), Vec::new());
            for n in 0..200 {
                let started = Instant::now();
                let index = servers[asker].node.propose(register(1, 10_000 + n)).await.unwrap().index;
                commit.push(started.elapsed());
                for server in &servers {
                    server.applied(index).await;
                }
                everywhere.push(started.elapsed());
            }
            for (what, times) in [("answered", &mut commit), ("applied everywhere", &mut everywhere)] {
                times.sort();
                let at = |p: usize| times[times.len() * p / 100];
                let max: Duration = times[times.len() - 1];
                println!(
                    "asker leads={} {what}: p50 {:?} p99 {:?} max {max:?}",
                    asker == position(&servers, leader),
                    at(50),
                    at(99)
                );
            }
        }
        stop(servers).await;
    });
}

/// Replaces a directory by a copy of another, as an operator does who restores a backup.
fn put_back(copy: &Path, dir: &Path) {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir(dir).unwrap();
    for file in std::fs::read_dir(copy).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), dir.join(file.file_name())).unwrap();
    }
}

#[test]
fn a_node_whose_log_went_back_is_named_and_counts_for_nothing_until_it_has_its_own_log_again() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |options| options.ask_timeout_ms = 2_000).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let now = leader(&servers).await;
        let away = servers.remove((position(&servers, now) + 1) % 3);
        let (id, own_dir) = (away.id.0, options(away.id.0, dir.path()).dir);
        let (older, erased, newest) =
            (dir.path().join("older"), dir.path().join("erased"), dir.path().join("newest"));
        let addr = away.kill().await;
        put_back(&own_dir, &older);
        std::fs::create_dir(&erased).unwrap();

        // Another life of it registers, and promises more than the copy knows.
        let second = options(id, dir.path());
        let life = second.incarnation;
        let back = Server::start(second, Some(addr)).await;
        let mut admission = back.node.admission();
        tokio::time::timeout(BOUND, admission.wait_for(|now| *now == Admission::Admitted))
            .await
            .expect("a majority compares at once")
            .unwrap();
        let registered = back.node.propose(register(id, life.0)).await.unwrap();
        back.applied(registered.index).await;
        for server in &servers {
            server.applied(registered.index).await;
        }
        back.kill().await;
        put_back(&own_dir, &newest);

        // Without the third one, whatever the one that went back says decides: it does not count.
        let third = servers.remove((position(&servers, leader(&servers).await) + 1) % 2);
        let third_id = third.id.0;
        for copy in [Some(&older), None, Some(&erased), None] {
            // A second process on the same directory is no better than the first.
            if let Some(copy) = copy {
                put_back(copy, &own_dir);
            }
            let back = Server::start(options(id, dir.path()), Some(addr)).await;
            let mut admission = back.node.admission();
            let told = admission.wait_for(|now| matches!(now, Admission::WentBack(_)));
            let told = tokio::time::timeout(BOUND, told).await.expect("it is told in time").unwrap().clone();
            let Admission::WentBack(why) = &told else { unreachable!() };
            assert_eq!((why.node.0, why.registered), (id, life), "{why}");
            assert!(why.remembered < life && why.to_string().contains("as a new node"), "{why}");
            let body = sealed(Kind::VoteRequest, header(CLUSTER, 9, id), &vote());
            let (status, text) = refused(&back, "/raft/vote", body).await;
            assert_eq!(status, 503, "{text}");
            back.kill().await;
        }
        put_back(&older, &own_dir);
        let back = Server::start(options(id, dir.path()), Some(addr)).await;
        let third_addr = third.kill().await;
        let lost = servers[0].node.propose(register(third_id, 7_000)).await;
        assert!(matches!(lost, Err(AskError::Unknown { .. })), "it was not counted: {lost:?}");
        back.kill().await;

        // With its own log it is a member as before.
        put_back(&newest, &own_dir);
        servers.push(Server::start(options(id, dir.path()), Some(addr)).await);
        let mut proposed = servers[0].node.propose(register(third_id, 7_001)).await;
        while proposed.is_err() {
            proposed = servers[0].node.propose(register(third_id, 7_001)).await;
        }
        servers.push(Server::start(options(third_id, dir.path()), Some(third_addr)).await);
        servers[2].applied(proposed.unwrap().index).await;
        stop(servers).await;
    });
}

#[test]
fn a_restarted_voter_does_not_vote_before_a_majority_has_compared_its_log() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let mut servers = three(dir.path(), |_| {}).await;
        servers[0].node.propose(init_cluster()).await.unwrap();
        let mut addrs = BTreeMap::new();
        for server in servers.drain(..) {
            let id = server.id.0;
            addrs.insert(id, server.kill().await);
        }
        let alone = Server::start(options(1, dir.path()), Some(addrs[&1])).await;
        let body = || sealed(Kind::PreVoteRequest, header(CLUSTER, 9, 1), &vote());
        let (status, text) = refused(&alone, "/raft/prevote", body()).await;
        assert_eq!(status, 503);
        assert!(text.contains("has not compared"), "{text}");
        let second = Server::start(options(2, dir.path()), Some(addrs[&2])).await;
        let servers = vec![alone, second];
        admitted(&servers).await;
        assert_eq!(post(&servers[0], "/raft/prevote", body()).await.0, 200);
        leader(&servers).await;
        stop(servers).await;
    });
}

#[test]
fn an_older_identity_file_than_the_log_knows_is_refused() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let older = options(1, dir.path());
        let server = Server::start(options(1, dir.path()), None).await;
        let members = [(server.id, (server.peer(), Role::Voter))].into();
        server.node.initialize(CLUSTER, Level::FIRST, members).await.unwrap();
        until(|| *server.node.admission().borrow() == Admission::Admitted).await;
        server.kill().await;
        let error = RaftNode::open(older).await.err().unwrap();
        assert!(matches!(error, OpenError::LifeWentBack { .. }), "{error}");
    });
}
