use super::*;
use crate::event::{Event, Now};
use crate::follower::{Follow, SourceKind, source_named};
use crate::holding::Held;
use crate::keeper::tests::{ME as W, OTHER, PRIMARY as A, REPLICA as B, SHARD, founded, life};
use crate::lease::Grant;
use ironcache_control::{AckMode, ControlState, HandoverVia};
use ironcache_replication::{
    Ack, Fence, LINK_VERSIONS, Lineage, Position, Purpose, Requirement, Source, StreamError, SyncBegin,
};
use ironcache_types::{ClusterId, Incarnation, LEVELS, NodeId};

/// The log, and a primary's engine that has applied it: A owns the shard, B is in its set.
struct World {
    state: ControlState,
    index: u64,
    now: Now,
}

impl World {
    fn new() -> World {
        let mut state = founded();
        state.shards.get_mut(&SHARD).expect("it was founded").mode = AckMode::InSync;
        World { state, index: 1, now: Now::default() }
    }

    fn apply(&mut self, command: &Command) {
        self.index += 1;
        self.state.apply(self.index, command).unwrap_or_else(|why| panic!("{command:?}: {why}"));
    }

    fn show(&self, engine: &mut Engine) -> Vec<Action> {
        engine.on(Event::Applied { index: self.index, state: Arc::new(self.state.clone()) }, self.now)
    }

    fn shard(&self) -> &Shard {
        &self.state.shards[&SHARD]
    }

    fn engine(&self, me: Member, held: Option<Offset>) -> Engine {
        let mut engine = Engine::new(me);
        let lineage = Lineage::new(self.shard().epoch, Offset(0));
        let held = held.map(|offset| Held { lineage, offset, sealed_by: None, taken_ms: 0 });
        let _ = engine.on(Event::Loaded { held }, self.now);
        self.show(&mut engine);
        let _ = engine.on(Event::Granted(Grant { until_ms: u64::MAX, index: 0 }), self.now);
        engine
    }

    fn wish(&mut self, node: Option<NodeId>) {
        let shard_epoch = self.shard().epoch;
        self.apply(&Command::WantKeeper { shard: SHARD, shard_epoch, node });
    }

    fn set_keeper(&mut self, from: Option<Offset>) {
        let isr_epoch = self.shard().isr_epoch;
        let keeper = from.map(|from| NewKeeper { member: W, from, base: KeeperBase::Leaver });
        let reason = Reason::new("test", "a test");
        self.apply(&Command::SetKeeper { shard: SHARD, isr_epoch, primary: A, keeper, reason });
    }

    fn remove_in_sync(&mut self, member: Member) {
        let (isr_epoch, reason) = (self.shard().isr_epoch, Reason::new("silent", "a test"));
        self.apply(&Command::RemoveInSync { shard: SHARD, isr_epoch, primary: A, member, reason });
    }

    /// The next life of the node registers.
    fn restart(&mut self, old: Member) {
        let node = self.state.nodes[&old.node].clone();
        self.apply(&Command::RegisterNode {
            member: Member { incarnation: Incarnation(old.incarnation.0 + 1), ..old },
            client_addr: node.client_addr,
            peer_addr: node.peer_addr,
            http_addr: node.http_addr,
            tls_port: node.tls_port,
            release: node.release,
            levels: node.levels,
            launcher_protocol: node.launcher_protocol,
            machine: node.machine,
        });
    }

    fn later(&mut self, ms: u64) {
        self.now.ran_ms += ms;
        self.now.boot_ms += ms;
    }

    fn source(&self) -> Source {
        Source { epoch: self.shard().epoch, incarnation: A.incarnation }
    }
}

fn hello(position: Option<Position>) -> Hello {
    Hello {
        versions: LINK_VERSIONS,
        cluster_id: ClusterId(1),
        shard: SHARD,
        member: W,
        purpose: Purpose::Keep,
        position,
        levels: LEVELS,
    }
}

/// The member's link is up, and it acknowledges everything: the number of the link.
fn attached(world: &World, engine: &mut Engine, member: Member) -> u64 {
    let serial = engine.register(member, world.now);
    let mode = SyncMode::Partial { from: engine.end().unwrap() };
    let _ = engine.attach(member, serial, mode, world.now).unwrap();
    acknowledge(world, engine, member, serial);
    serial
}

fn acknowledge(world: &World, engine: &mut Engine, member: Member, serial: u64) {
    let ack = Ack { source: world.source(), applied: engine.end().unwrap() };
    engine.on_ack(member, serial, ack, 50, world.now).unwrap();
}

fn requirement(engine: &Engine) -> Option<Requirement> {
    let gate = engine.primary().expect("it is primary").gate();
    gate.followers().find(|f| f.member == W).and_then(|f| f.requirement)
}

/// What a tick proposes about keepers and members.
fn proposed(world: &World, engine: &mut Engine) -> Vec<Command> {
    let commands = engine.on(Event::Tick, world.now).into_iter().filter_map(|action| match action {
        Action::Propose { command, .. } => Some(*command),
        _ => None,
    });
    commands.filter(|c| matches!(c, Command::SetKeeper { .. } | Command::AddInSync { .. })).collect()
}

/// A tick proposes to drop the keeper: why.
fn dropped_for(world: &World, engine: &mut Engine) -> Vec<String> {
    let each = proposed(world, engine).into_iter().map(|command| match command {
        Command::SetKeeper { keeper: None, reason, .. } => reason.code,
        other => panic!("{other:?}"),
    });
    each.collect()
}

/// W is wished, attached, and has been proposed.
fn asked() -> (World, Engine, [u64; 2]) {
    let mut world = World::new();
    world.wish(Some(W.node));
    let mut engine = world.engine(A, None);
    let of_b = attached(&world, &mut engine, B);
    assert_eq!(engine.attach_keeper(&hello(None), Offset(0)), Ok(SyncMode::Partial { from: Offset(0) }));
    let of_w = attached(&world, &mut engine, W);
    let keeper = Some(NewKeeper { member: W, from: Offset(0), base: KeeperBase::Leaver });
    let [Command::SetKeeper { isr_epoch, primary: A, keeper: proposed, .. }] =
        &proposed(&world, &mut engine)[..]
    else {
        panic!("it is proposed as keeper, and not as a member");
    };
    assert_eq!((*isr_epoch, *proposed), (world.shard().isr_epoch, keeper));
    (world, engine, [of_b, of_w])
}

fn write(world: &World, engine: &mut Engine, end: u64) {
    engine.on_frame(Offset(end), world.now.ran_ms);
}

#[test]
fn a_keeper_is_required_from_the_proposal_until_its_removal_is_applied() {
    let (mut world, mut engine, [of_b, of_w]) = asked();
    assert_eq!(requirement(&engine), Some(Requirement::Proposed));
    write(&world, &mut engine, 100);
    acknowledge(&world, &mut engine, B, of_b);
    assert!(!engine.is_released(100), "the log may have accepted it already");
    world.set_keeper(Some(Offset(0)));
    world.show(&mut engine);
    assert_eq!(requirement(&engine), Some(Requirement::Committed));
    assert!(!engine.is_released(100));
    engine.detach(W, of_w);
    assert!(!engine.is_released(100), "a link that is lost is no removal");
    assert_eq!(proposed(&world, &mut engine), [], "it is wished");
    world.wish(None);
    world.show(&mut engine);
    assert_eq!(dropped_for(&world, &mut engine), ["not_needed"]);
    assert!(!engine.is_released(100), "nor is a proposal");
    world.set_keeper(None);
    world.show(&mut engine);
    assert_eq!(requirement(&engine), None);
    assert!(engine.is_released(100));
}

/// Its process ended while the entry that adds it was under way: the log says two, and one holds what was acknowledged.
#[test]
fn a_keeper_goes_when_every_member_was_heard_since_the_log_says_that_it_is_one() {
    let mut world = World::new();
    world.wish(Some(W.node));
    world.remove_in_sync(B);
    let mut engine = world.engine(A, None);
    world.set_keeper(Some(Offset(0)));
    world.show(&mut engine);
    let of_b = attached(&world, &mut engine, B);
    world.later(10);
    let isr_epoch = world.shard().isr_epoch;
    world.apply(&Command::AddInSync { shard: SHARD, isr_epoch, primary: A, member: B });
    world.wish(None);
    world.show(&mut engine);
    assert_eq!(dropped_for(&world, &mut engine), [""; 0], "nobody knows whether B lives");
    world.later(10);
    engine.detach(B, of_b);
    assert_eq!(dropped_for(&world, &mut engine), [""; 0], "its link is gone");
    attached(&world, &mut engine, B);
    assert_eq!(dropped_for(&world, &mut engine), ["not_needed"]);
}

#[test]
fn a_tail_is_recorded_once_every_member_holds_what_is_before_it() {
    let mut world = World::new();
    world.wish(Some(W.node));
    let mut engine = world.engine(A, None);
    let of_b = attached(&world, &mut engine, B);
    write(&world, &mut engine, 100);
    assert_eq!(engine.attach_keeper(&hello(None), Offset(0)), Ok(SyncMode::Partial { from: Offset(100) }));
    let _ = attached(&world, &mut engine, W);
    assert_eq!(proposed(&world, &mut engine), [], "B would take along less than the tail continues");
    acknowledge(&world, &mut engine, B, of_b);
    let [Command::SetKeeper { keeper: Some(keeper), .. }] = proposed(&world, &mut engine)[..] else {
        panic!("nothing is missing any more");
    };
    assert_eq!(keeper.from, Offset(100));
}

#[test]
fn a_proposal_without_an_outcome_is_made_again_and_stays_required() {
    let (mut world, mut engine, _) = asked();
    world.later(5_000);
    assert_eq!(proposed(&world, &mut engine), []);
    world.later(1_000);
    let again = proposed(&world, &mut engine);
    assert!(matches!(&again[..], [Command::SetKeeper { keeper: Some(_), .. }]), "{again:?}");
    assert_eq!(requirement(&engine), Some(Requirement::Proposed));
}

/// The leader wished for another node meanwhile, and may wish for the first one again: the log may still record it for all
/// that it acknowledged.
#[test]
fn a_keeper_that_was_proposed_goes_on_where_its_file_ends_whoever_was_proposed_after_it() {
    let (mut world, mut engine, [_, of_w]) = asked();
    write(&world, &mut engine, 100);
    acknowledge(&world, &mut engine, W, of_w);
    engine.detach(W, of_w);
    world.wish(Some(OTHER.node));
    world.show(&mut engine);
    assert!(engine.attach_keeper(&Hello { member: OTHER, ..hello(None) }, Offset(0)).is_ok());
    for member in [B, OTHER] {
        attached(&world, &mut engine, member);
    }
    let too = proposed(&world, &mut engine);
    assert!(matches!(&too[..], [Command::SetKeeper { keeper: Some(k), .. }] if k.member == OTHER), "{too:?}");
    world.wish(Some(W.node));
    world.show(&mut engine);
    let lost = NotAttached::LostTail { shard: SHARD, member: W };
    assert_eq!(engine.attach_keeper(&hello(None), Offset(0)), Err(NotKept::NotAttached(lost)));
    let position = Position { lineage_epoch: world.shard().epoch, offset: Offset(100) };
    let resumes = Ok(SyncMode::Partial { from: Offset(100) });
    assert_eq!(engine.attach_keeper(&hello(Some(position)), Offset(0)), resumes);
}

#[test]
fn a_keeper_is_recorded_whoever_was_attached_after_it() {
    let mut world = World::new();
    world.wish(Some(W.node));
    let mut engine = world.engine(A, None);
    attached(&world, &mut engine, B);
    assert!(engine.attach_keeper(&hello(None), Offset(0)).is_ok());
    attached(&world, &mut engine, W);
    world.wish(Some(OTHER.node));
    world.show(&mut engine);
    assert!(engine.attach_keeper(&Hello { member: OTHER, ..hello(None) }, Offset(0)).is_ok());
    world.wish(Some(W.node));
    world.show(&mut engine);
    let record = proposed(&world, &mut engine);
    assert!(
        matches!(&record[..], [Command::SetKeeper { keeper: Some(k), .. }] if k.member == W),
        "{record:?}"
    );
}

#[test]
fn with_one_member_left_no_shorter_tail_takes_the_place_of_the_recorded_one() {
    let (mut world, mut engine, [of_b, of_w]) = asked();
    world.set_keeper(Some(Offset(0)));
    world.wish(Some(OTHER.node));
    world.show(&mut engine);
    write(&world, &mut engine, 100);
    for (member, serial) in [(B, of_b), (W, of_w)] {
        acknowledge(&world, &mut engine, member, serial);
    }
    // From the end of the stream, which both members hold.
    assert!(engine.attach_keeper(&Hello { member: OTHER, ..hello(None) }, Offset(0)).is_ok());
    attached(&world, &mut engine, OTHER);
    world.remove_in_sync(B);
    world.show(&mut engine);
    let records = |commands: &[Command]| {
        commands.iter().any(|c| matches!(c, Command::SetKeeper { keeper: Some(k), .. } if k.member == OTHER))
    };
    assert!(!records(&proposed(&world, &mut engine)), "what B lacks only W has, and the primary");
    assert!(engine.attach_keeper(&Hello { member: OTHER, ..hello(None) }, Offset(0)).is_ok());
    attached(&world, &mut engine, OTHER);
    assert!(records(&proposed(&world, &mut engine)), "this one begins where W's does");
}

#[test]
fn with_one_member_left_a_keeper_that_nobody_wishes_any_more_stays() {
    let (mut world, mut engine, _) = asked();
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    world.wish(None);
    world.show(&mut engine);
    assert_eq!(proposed(&world, &mut engine), []);
}

#[test]
fn a_keeper_that_says_it_cannot_write_is_dropped_at_once() {
    let (mut world, mut engine, _) = asked();
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    world.show(&mut engine);
    engine.keeper_gave_up(W, "no space left");
    assert_eq!(dropped_for(&world, &mut engine), ["cannot_keep"]);
    assert_eq!(proposed(&world, &mut engine), [], "its outcome may be on its way");
}

#[test]
fn a_silent_keeper_is_dropped_and_not_taken_out_of_a_set_that_it_is_not_in() {
    let (mut world, mut engine, _) = asked();
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    world.show(&mut engine);
    write(&world, &mut engine, 100);
    world.later(world.state.policy.isr_timeout_ms + 1);
    assert_eq!(dropped_for(&world, &mut engine), ["silent"]);
}

#[test]
fn a_keeper_counts_where_writes_ask_for_copies() {
    let (mut world, mut engine, _) = asked();
    let policy = ironcache_control::Policy { min_in_sync: 2, ..world.state.policy };
    world.apply(&Command::SetPolicy { seen: world.state.policy_epoch, policy });
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    world.show(&mut engine);
    assert!(engine.has_enough_in_sync());
    world.set_keeper(None);
    world.show(&mut engine);
    assert!(!engine.has_enough_in_sync());
}

#[test]
fn a_new_start_as_primary_knows_no_keeper() {
    let mut world = World::new();
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    let mut engine = world.engine(B, Some(Offset(0)));
    world.restart(A);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::Failover { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    world.show(&mut engine);
    assert_eq!(requirement(&engine), None);
    let not_wanted = NotAttached::NotWanted { shard: SHARD, node: W.node };
    assert_eq!(engine.attach_keeper(&hello(None), Offset(0)), Err(NotKept::NotAttached(not_wanted)));
}

#[test]
fn the_source_is_the_primary_or_the_keeper_that_the_log_records_for_it() {
    let mut world = World::new();
    world.wish(Some(W.node));
    assert_eq!(source_named(world.shard(), W), None, "a wish is no record");
    world.set_keeper(Some(Offset(0)));
    let epoch = world.shard().epoch;
    let of = |member: Member, kind| Some((Source { epoch, incarnation: member.incarnation }, kind));
    assert_eq!(source_named(world.shard(), A), of(A, SourceKind::Primary));
    assert_eq!(source_named(world.shard(), W), of(W, SourceKind::Keeper));
    assert_eq!(source_named(world.shard(), B), None);
    assert_eq!(source_named(world.shard(), life(3, 2)), None);
}

/// B left with everything below 0 of A's stream, and A ended.
fn left_behind() -> (World, Engine) {
    let mut world = World::new();
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    let mut engine = world.engine(B, Some(Offset(0)));
    world.restart(A);
    world.show(&mut engine);
    (world, engine)
}

fn begin(world: &World, from: Member, mode: SyncMode) -> SyncBegin {
    let source = Source { epoch: world.shard().epoch, incarnation: from.incarnation };
    SyncBegin { source, mode, lineage: Lineage::new(world.shard().epoch, Offset(0)) }
}

const CONTINUE: SyncMode = SyncMode::Partial { from: Offset(0) };

#[test]
fn a_keeper_says_nothing_of_what_a_primary_that_is_gone_has_applied() {
    let mut world = World::new();
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    let mut engine = world.engine(B, Some(Offset(0)));
    assert_eq!(engine.told_applied(), None, "nobody is followed");
    assert!(matches!(engine.follow(A, &begin(&world, A, CONTINUE)), Ok(Follow::Continue { .. })));
    engine.primary_applied(7);
    assert_eq!(engine.told_applied(), Some(7));
    world.remove_in_sync(B);
    assert!(engine.unfollow(A));
    world.restart(A);
    world.show(&mut engine);
    assert!(matches!(engine.follow(W, &begin(&world, W, CONTINUE)), Ok(Follow::Continue { .. })));
    assert_eq!(
        engine.told_applied(),
        None,
        "who waits for the primary to apply an entry would wait for ever"
    );
}

#[test]
fn what_an_earlier_primary_had_applied_says_nothing_of_the_next() {
    let mut world = World::new();
    let mut engine = world.engine(B, Some(Offset(0)));
    assert!(matches!(engine.follow(A, &begin(&world, A, CONTINUE)), Ok(Follow::Continue { .. })));
    engine.primary_applied(7);
    assert!(engine.unfollow(A));
    let next = Member { incarnation: Incarnation(A.incarnation.0 + 1), ..A };
    world.restart(A);
    let (shard_epoch, of, end) = (world.shard().epoch, A.incarnation, Offset(0));
    world.apply(&Command::Reclaim { shard: SHARD, shard_epoch, member: next, of, end });
    world.show(&mut engine);
    let mut lineage = Lineage::new(shard_epoch, Offset(0));
    lineage.push(world.shard().epoch, end).unwrap();
    let begin = SyncBegin { lineage, ..begin(&world, next, CONTINUE) };
    assert!(matches!(engine.follow(next, &begin), Ok(Follow::Continue { .. })));
    assert_eq!(engine.told_applied(), Some(0));
}

#[test]
fn a_keeper_is_asked_by_who_is_not_in_the_set_and_follows_no_primary() {
    let (_, engine) = left_behind();
    assert!(engine.sources().contains(&W));

    let mut world = World::new();
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    let mut engine = world.engine(B, Some(Offset(0)));
    assert!(!engine.sources().contains(&W), "a member of the set");
    world.remove_in_sync(B);
    world.show(&mut engine);
    assert!(engine.sources().contains(&W));
    let followed = engine.follow(A, &begin(&world, A, CONTINUE)).unwrap();
    assert!(matches!(followed, Follow::Continue { .. }), "{followed:?}");
    assert!(!engine.sources().contains(&W), "it follows the primary");
    let late = engine.follow(W, &begin(&world, W, CONTINUE)).unwrap();
    assert_eq!(late, Follow::NotYet, "a keeper never comes before the primary");
    assert!(engine.unfollow(A));
    assert!(engine.sources().contains(&W));
}

#[test]
fn a_keeper_costs_nothing_of_what_is_held() {
    let (world, mut engine) = left_behind();
    let full = engine.follow(W, &begin(&world, W, SyncMode::Full));
    assert_eq!(full, Err(StreamError::DiscardWhileInSync));
    assert_eq!(engine.end(), Some(Offset(0)));
}

#[test]
fn a_recovery_through_a_keeper_promotes_alone_and_at_what_is_held() {
    let (mut world, mut engine) = left_behind();
    let followed = engine.follow(W, &begin(&world, W, CONTINUE)).unwrap();
    let Follow::Continue { source, .. } = followed else { panic!("{followed:?}") };
    assert_eq!(engine.follows(), Some(world.shard().epoch));
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    world.apply(&Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 0 });
    let handover = world.shard().handover.expect("it began");
    assert_eq!((handover.via, handover.from), (HandoverVia::Keeper, W));
    world.show(&mut engine);
    let fence = Fence { handover_epoch: handover.epoch, offset: Offset(0) };
    let actions = engine.on_fence(source, &fence, world.now).unwrap();
    let promote = actions.into_iter().find_map(|action| match action {
        Action::Propose { command, .. } => Some(*command),
        _ => None,
    });
    world.apply(&promote.expect("there is nobody to wait for"));
    world.show(&mut engine);
    assert_eq!(world.shard().primary(), Some(B));
    assert_eq!(world.shard().in_sync, BTreeSet::from([B]));
    let lineage = engine.primary().expect("it is primary").lineage();
    assert_eq!(lineage.last(), (world.shard().epoch, Offset(0)));
}

#[test]
fn a_primary_that_was_taken_for_gone_holds_back_and_fences_nothing() {
    let (mut world, mut engine, _) = asked();
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    let of_b = attached(&world, &mut engine, B);
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    let recovery = Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 3 };
    world.index += 1;
    let at = ironcache_control::LogId { term: 3, index: world.index };
    world.state.apply(at, &recovery).unwrap();
    world.show(&mut engine);
    assert!(!engine.is_serving());
    assert_eq!(engine.sent(B, of_b, Offset(0)), None, "the keeper fences");
    let handover = world.shard().handover.unwrap().epoch;
    world.later(world.state.policy.handover_timeout_ms);
    let aborts = engine.on(Event::Tick, world.now).into_iter().any(|action| match action {
        Action::Propose { command, .. } => *command == Command::AbortHandover { shard: SHARD, handover },
        _ => false,
    });
    assert!(aborts, "it lives, and goes on once the log says so");
}

/// Its machine may be gone without a word: the link to it is silent, and nothing else.
#[test]
fn a_primary_that_a_recovery_deposes_is_followed_no_more() {
    let mut world = World::new();
    world.wish(Some(W.node));
    world.set_keeper(Some(Offset(0)));
    world.remove_in_sync(B);
    let mut engine = world.engine(B, Some(Offset(0)));
    let followed = engine.follow(A, &begin(&world, A, CONTINUE)).unwrap();
    assert!(matches!(followed, Follow::Continue { .. }), "{followed:?}");
    let (shard_epoch, isr_epoch) = (world.shard().epoch, world.shard().isr_epoch);
    let recovery = Command::BeginRecovery { shard: SHARD, shard_epoch, isr_epoch, to: B, term: 3 };
    world.index += 1;
    let at = ironcache_control::LogId { term: 3, index: world.index };
    world.state.apply(at, &recovery).unwrap();
    world.show(&mut engine);
    assert!(!engine.sources().contains(&A) && engine.sources().contains(&W), "{:?}", engine.sources());
    assert!(!engine.is_followed(A, Some(world.source())));
    assert_eq!(engine.follow(A, &begin(&world, A, CONTINUE)), Ok(Follow::NotYet));
    assert!(engine.unfollow(A));
    let followed = engine.follow(W, &begin(&world, W, CONTINUE)).unwrap();
    assert!(matches!(followed, Follow::Continue { .. }), "{followed:?}");

    // It answers after all.
    let handover = world.shard().handover.expect("it began").epoch;
    world.apply(&Command::AbortHandover { shard: SHARD, handover });
    world.show(&mut engine);
    assert!(engine.sources().contains(&A));
}
