use super::*;
use ironcache_control::{
    Command, Handover, HandoverVia, InitCluster, Keeper, KeeperBase, NodeRole, NodeSpec, OutStep, Ownership,
    Policy, ShardSpec, TrialPhase,
};
use ironcache_types::{
    ClusterId, Digest, Incarnation, Level, LevelRange, MachineId, NodeId, PlanId, Release, SlotSet, Version,
    WireRange,
};
use std::collections::BTreeSet;

pub(crate) const fn life(node: u64, incarnation: u64) -> Member {
    Member { node: NodeId(node), incarnation: Incarnation(incarnation) }
}

pub(crate) const PRIMARY: Member = life(1, 1);
pub(crate) const REPLICA: Member = life(2, 1);
pub(crate) const ME: Member = life(3, 1);
pub(crate) const OTHER: Member = life(4, 1);
pub(crate) const SHARD: ShardId = ShardId(0);
const FROM: Offset = Offset(100);

fn release() -> Release {
    Release { version: Version::new(0, 1, 0), digest: Digest([1; 32]) }
}

/// One shard on nodes 1 and 2, node 1 its primary; 3 and 4 are witnesses.
pub(crate) fn founded() -> ControlState {
    let node = |member: Member, role: NodeRole| NodeSpec {
        member,
        client_addr: "a:1".to_owned(),
        peer_addr: "a:2".to_owned(),
        http_addr: "a:3".to_owned(),
        tls_port: None,
        role,
        voter: true,
        shard: (role == NodeRole::Data).then_some(SHARD),
        release: release(),
        levels: LevelRange { min: Level::FIRST, max: Level::FIRST },
        launcher_protocol: WireRange { min: 1, max: 1 },
        machine: MachineId(u128::from(member.node.0)),
    };
    let init = InitCluster {
        cluster_id: ClusterId(1),
        nodes: vec![
            node(PRIMARY, NodeRole::Data),
            node(REPLICA, NodeRole::Data),
            node(ME, NodeRole::Witness),
            node(OTHER, NodeRole::Witness),
        ],
        shards: vec![ShardSpec {
            id: SHARD,
            slots: SlotSet::part(0, 1),
            nodes: vec![PRIMARY.node, REPLICA.node],
        }],
        policy: Policy::default(),
        security: ironcache_control::NewSecurity::Insecure,
    };
    let mut state = ControlState::default();
    state.apply(1, &Command::InitCluster(init)).unwrap();
    with(state, |shard| shard.in_sync = BTreeSet::from([PRIMARY, REPLICA]))
}

fn with(mut state: ControlState, change: impl FnOnce(&mut Shard)) -> ControlState {
    change(state.shards.get_mut(&SHARD).unwrap());
    state
}

fn epoch() -> Epoch {
    founded().shards[&SHARD].epoch
}

fn isr_epoch() -> Epoch {
    founded().shards[&SHARD].isr_epoch
}

fn wished() -> ControlState {
    with(founded(), |shard| shard.keeper_wanted = Some(ME.node))
}

fn record(member: Member) -> Option<Keeper> {
    Some(Keeper { member, epoch: epoch(), from: FROM, base: KeeperBase::Leaver })
}

fn recorded() -> ControlState {
    with(wished(), |shard| {
        shard.keeper = record(ME);
        shard.isr_epoch = Epoch(isr_epoch().0 + 1);
    })
}

/// The replica is out, and the primary's life has ended.
fn primary_gone() -> ControlState {
    let mut state = with(recorded(), |shard| {
        shard.in_sync = BTreeSet::from([PRIMARY]);
        shard.ownership = Ownership::Recovering { last: PRIMARY, lease: ironcache_control::LastLease::Ended };
        shard.in_sync.clear();
    });
    state.nodes.get_mut(&PRIMARY.node).unwrap().incarnation = Incarnation(2);
    state
}

fn handover() -> Handover {
    let epoch = Epoch(90);
    Handover { epoch, from: ME, to: REPLICA, log_index: 9, via: HandoverVia::Keeper }
}

fn kept(by: Member, whole: u64) -> Kept {
    Kept { epoch: epoch(), by, isr_epoch: isr_epoch(), from: FROM, whole: Offset(whole) }
}

fn applied(keepers: &mut Keepers, state: ControlState) -> Vec<Action> {
    keepers.on(Event::Applied(Arc::new(state)), 0)
}

fn dial() -> Action {
    Action::Dial { shard: SHARD, primary: PRIMARY, epoch: epoch() }
}

fn began() -> Event {
    Event::Began { shard: SHARD, primary: PRIMARY, file: kept(ME, 100) }
}

fn appended(whole: u64) -> Event {
    Event::Appended { shard: SHARD, epoch: epoch(), whole: Offset(whole) }
}

/// Wished, and attached to the primary.
fn keeping() -> Keepers {
    let mut keepers = Keepers::new(ME);
    assert_eq!(applied(&mut keepers, wished()), [dial()]);
    assert_eq!(keepers.on(began(), 0), [Action::Acknowledge { shard: SHARD, whole: FROM }]);
    keepers
}

fn hello(keepers: &mut Keepers, member: Member) -> Action {
    keepers.on(Event::Hello { shard: SHARD, member }, 0).remove(0)
}

fn served() -> Action {
    Action::Serve { shard: SHARD, member: REPLICA, epoch: epoch() }
}

fn refused(why: NotServed) -> Action {
    Action::Refuse { member: REPLICA, why }
}

#[test]
fn whoever_is_wished_attaches_and_nobody_else_does() {
    let mut keepers = Keepers::new(ME);
    assert_eq!(applied(&mut keepers, founded()), []);
    assert_eq!(applied(&mut keepers, wished()), [dial()]);
    assert_eq!(applied(&mut keepers, wished()), [], "it does so already");
    assert_eq!(applied(&mut Keepers::new(OTHER), wished()), []);
    let mut early = Keepers::new(life(3, 2));
    assert_eq!(applied(&mut early, wished()), [], "this life is not registered yet");
}

#[test]
fn what_is_appended_is_acknowledged_while_it_is_asked_for_and_not_after() {
    let mut keepers = keeping();
    assert_eq!(keepers.on(appended(130), 0), [Action::Acknowledge { shard: SHARD, whole: Offset(130) }]);
    assert!(keepers.keeps(SHARD, PRIMARY, epoch()));
    assert_eq!(applied(&mut keepers, founded()), [Action::HangUp { shard: SHARD }]);
    assert!(!keepers.keeps(SHARD, PRIMARY, epoch()));
    assert_eq!(keepers.on(appended(160), 0), []);
}

#[test]
fn a_record_is_kept_up_though_nobody_wishes_it_any_more() {
    let mut keepers = keeping();
    let state = with(recorded(), |shard| shard.keeper_wanted = None);
    assert_eq!(applied(&mut keepers, state), []);
    assert!(keepers.keeps(SHARD, PRIMARY, epoch()));
}

#[test]
fn a_recovery_through_this_keeper_ends_what_it_takes() {
    let mut keepers = keeping();
    applied(&mut keepers, recorded());
    let _ = keepers.on(appended(130), 0);
    let recovering = with(primary_gone(), |shard| shard.handover = Some(handover()));
    let fence = Action::Fence { shard: SHARD, handover: Epoch(90) };
    assert_eq!(applied(&mut keepers, recovering.clone()), [Action::HangUp { shard: SHARD }, fence]);
    assert!(!keepers.keeps(SHARD, PRIMARY, epoch()));
    assert_eq!(keepers.on(appended(160), 0), [], "a write that was under way");
    assert_eq!(applied(&mut keepers, recovering), []);
    assert_eq!(hello(&mut keepers, REPLICA), served());
}

#[test]
fn an_aborted_recovery_goes_back_to_the_primary_if_there_is_one() {
    let mut keepers = keeping();
    applied(&mut keepers, with(recorded(), |shard| shard.handover = Some(handover())));
    let lift = Action::Lift { shard: SHARD };
    assert_eq!(applied(&mut keepers, recorded()), [lift, dial()]);
}

#[test]
fn a_handover_by_another_keeper_or_by_the_primary_is_none_of_its_business() {
    for other in [
        Handover { from: OTHER, ..handover() },
        Handover { from: life(3, 2), ..handover() },
        Handover { via: HandoverVia::Primary, from: PRIMARY, ..handover() },
    ] {
        let mut keepers = keeping();
        applied(&mut keepers, with(recorded(), |shard| shard.handover = Some(other)));
        assert!(keepers.keeps(SHARD, PRIMARY, epoch()), "{other:?}");
    }
}

#[test]
fn a_returning_node_is_served_once_the_primary_is_not_heard_and_only_what_is_recorded() {
    let mut keepers = keeping();
    let not_recorded = NotServed::NotRecorded { shard: SHARD, epoch: epoch() };
    assert_eq!(hello(&mut keepers, REPLICA), refused(not_recorded));
    applied(&mut keepers, recorded());
    let heard = NotServed::PrimaryIsHeard { shard: SHARD, primary: PRIMARY };
    assert_eq!(hello(&mut keepers, REPLICA), refused(heard));
    let _ = keepers.on(Event::LinkLost { shard: SHARD, primary: PRIMARY }, 0);
    assert_eq!(hello(&mut keepers, REPLICA), served());
    let stranger =
        Action::Refuse { member: OTHER, why: NotServed::NotOfShard { shard: SHARD, node: OTHER.node } };
    assert_eq!(hello(&mut keepers, OTHER), stranger);
    let earlier = life(2, 0);
    let why = NotServed::OtherLife { member: earlier };
    assert_eq!(hello(&mut keepers, earlier), Action::Refuse { member: earlier, why });
}

#[test]
fn a_later_life_serves_nothing_of_an_earlier_ones_record() {
    let mut keepers = Keepers::new(life(3, 2));
    let _ = keepers.on(Event::Found { shard: SHARD, file: kept(ME, 130) }, 0);
    let mut state = primary_gone();
    state.nodes.get_mut(&ME.node).unwrap().incarnation = Incarnation(2);
    applied(&mut keepers, state);
    let why = NotServed::NotRecorded { shard: SHARD, epoch: epoch() };
    assert_eq!(hello(&mut keepers, REPLICA), refused(why));
}

#[test]
fn a_keeper_that_is_recorded_and_holds_nothing_says_so() {
    let mut keepers = Keepers::new(ME);
    applied(&mut keepers, primary_gone());
    let why = NotServed::NothingKept { shard: SHARD, epoch: epoch() };
    assert_eq!(hello(&mut keepers, REPLICA), refused(why));
}

#[test]
fn nobody_is_served_once_somebody_owns_the_shard_anew() {
    let mut keepers = keeping();
    applied(&mut keepers, recorded());
    let next = with(recorded(), |shard| {
        shard.epoch = Epoch(95);
        shard.keeper = None;
    });
    let actions = applied(&mut keepers, next);
    assert!(actions.contains(&Action::EndServing { shard: SHARD }), "{actions:?}");
}

#[test]
fn a_lost_link_is_opened_anew_from_where_the_tail_ends() {
    let mut keepers = keeping();
    let _ = keepers.on(appended(130), 0);
    let _ = keepers.on(Event::LinkLost { shard: SHARD, primary: PRIMARY }, 0);
    assert_eq!(keepers.goes_on(SHARD).map(|file| file.whole), Some(Offset(130)));
    let again = Event::Began { shard: SHARD, primary: PRIMARY, file: kept(ME, 130) };
    assert_eq!(keepers.on(again, 0), [Action::Acknowledge { shard: SHARD, whole: Offset(130) }]);
}

/// It has the tail recorded that it was told of, and that one begins earlier.
#[test]
fn a_primary_that_was_told_of_an_earlier_lifes_tail_is_told_anew_once_the_record_is_gone() {
    let mut keepers = Keepers::new(life(3, 2));
    let _ = keepers.on(Event::Found { shard: SHARD, file: kept(ME, 130) }, 0);
    let registered = |mut state: ControlState| {
        state.nodes.get_mut(&ME.node).unwrap().incarnation = Incarnation(2);
        state
    };
    applied(&mut keepers, registered(recorded()));
    let said = Some(Position { lineage_epoch: epoch(), offset: Offset(130) });
    let goes_on = keepers.answered(SHARD, said).unwrap();
    assert_eq!(goes_on.map(|file| file.whole), Some(Offset(130)));
    applied(&mut keepers, registered(wished()));
    assert_eq!(keepers.answered(SHARD, said), Err(OtherTail { shard: SHARD }));
    assert_eq!(keepers.answered(SHARD, None), Ok(None), "it begins anew, and the primary knows");
}

#[test]
fn an_earlier_lifes_tail_is_gone_on_with_only_as_the_log_records_it() {
    let mut keepers = Keepers::new(life(3, 2));
    let _ = keepers.on(Event::Found { shard: SHARD, file: kept(ME, 130) }, 0);
    let registered = |mut state: ControlState| {
        state.nodes.get_mut(&ME.node).unwrap().incarnation = Incarnation(2);
        state
    };
    applied(&mut keepers, registered(wished()));
    assert_eq!(keepers.goes_on(SHARD), None, "what was proposed of it may be of another tail");
    applied(&mut keepers, registered(recorded()));
    assert_eq!(keepers.goes_on(SHARD).map(|file| file.whole), Some(Offset(130)));
    let elsewhere = with(recorded(), |shard| {
        shard.keeper = shard.keeper.map(|keeper| Keeper { from: Offset(90), ..keeper });
    });
    applied(&mut keepers, registered(elsewhere));
    assert_eq!(keepers.goes_on(SHARD), None);
}

#[test]
fn who_cannot_write_gives_up_and_tries_again_later() {
    let mut keepers = keeping();
    let full = Event::CannotKeep { shard: SHARD };
    assert_eq!(keepers.on(full.clone(), 1_000), [Action::GiveUp { shard: SHARD }]);
    assert!(!keepers.keeps(SHARD, PRIMARY, epoch()));
    assert_eq!(keepers.on(full, 1_000), []);
    assert_eq!(applied(&mut keepers, wished()), [], "the wish alone makes no room");
    assert_eq!(keepers.on(Event::Tick, 5_999), []);
    assert_eq!(keepers.on(Event::Tick, 6_000), [dial()]);
}

#[test]
fn who_stops_begins_to_keep_nothing_more() {
    let mut keepers = Keepers::new(ME);
    applied(&mut keepers, founded());
    assert_eq!(keepers.on(Event::Leaving, 0), []);
    assert_eq!(applied(&mut keepers, wished()), [], "another one is to keep it");
    assert_eq!(applied(&mut keepers, recorded()), [dial()], "it was about to be on record, and is");
    // One that has not begun lets go of it.
    let mut keepers = Keepers::new(ME);
    assert_eq!(applied(&mut keepers, wished()), [dial()]);
    assert_eq!(keepers.on(Event::Leaving, 0), [Action::HangUp { shard: SHARD }]);
}

#[test]
fn who_stops_keeps_to_its_end_what_it_keeps() {
    let mut keepers = keeping();
    assert_eq!(keepers.on(Event::Leaving, 0), []);
    for state in [wished(), recorded()] {
        assert_eq!(applied(&mut keepers, state), []);
        assert!(keepers.keeps(SHARD, PRIMARY, epoch()));
    }
    let _ = keepers.on(Event::LinkLost { shard: SHARD, primary: PRIMARY }, 0);
    assert_eq!(applied(&mut keepers, recorded()), [], "the link is opened anew");
    let gone = [Action::EndServing { shard: SHARD }, Action::HangUp { shard: SHARD }];
    assert_eq!(applied(&mut keepers, founded()), gone);
}

#[test]
fn a_file_goes_when_a_set_of_two_was_applied_after_it_was_last_asked_for() {
    let later = |state, by: u64| with(state, |shard| shard.isr_epoch = Epoch(isr_epoch().0 + by));
    let gone = [Action::Remove { shard: SHARD, epoch: epoch() }];
    let mut keepers = keeping();
    applied(&mut keepers, recorded());
    assert_eq!(applied(&mut keepers, later(recorded(), 2)), [], "it is recorded");
    let hang_up = [Action::HangUp { shard: SHARD }];
    let ends = Action::EndServing { shard: SHARD };
    let ended = [ends, hang_up[0].clone()];
    assert_eq!(applied(&mut keepers, later(founded(), 3)), ended, "a proposal may be under way");
    assert_eq!(applied(&mut keepers, later(founded(), 3)), []);
    let alone = with(later(founded(), 4), |shard| shard.in_sync = BTreeSet::from([PRIMARY]));
    assert_eq!(applied(&mut keepers, alone), [], "it may be what the shard has left");
    assert_eq!(applied(&mut keepers, later(wished(), 4)), [dial()]);
    assert_eq!(applied(&mut keepers, later(founded(), 4)), hang_up);
    assert_eq!(applied(&mut keepers, later(founded(), 5)), gone);
    assert_eq!(applied(&mut keepers, later(founded(), 6)), []);
}

#[test]
fn a_state_without_the_shard_costs_no_file() {
    let mut keepers = keeping();
    assert_eq!(applied(&mut keepers, ControlState::default()), [Action::HangUp { shard: SHARD }]);
    assert_eq!(applied(&mut keepers, recorded()), [dial()]);
    assert!(keepers.goes_on(SHARD).is_some());
}

#[test]
fn another_primary_is_attached_to_in_place_of_the_one_before() {
    let mut keepers = keeping();
    let next = with(wished(), |shard| {
        shard.ownership = Ownership::Serving(REPLICA);
        shard.epoch = Epoch(95);
    });
    let dial = Action::Dial { shard: SHARD, primary: REPLICA, epoch: Epoch(95) };
    assert_eq!(applied(&mut keepers, next), [Action::HangUp { shard: SHARD }, dial]);
    assert_eq!(keepers.on(began(), 0), [Action::HangUp { shard: SHARD }], "the one before answers late");
    assert_eq!(keepers.goes_on(SHARD), None);
}

// --- the primary's side -----------------------------------------------------------------------------------

const STREAM: Stream = Stream { start: Offset(50), end: Offset(400) };

fn attached(
    state: &ControlState,
    member: Member,
    recorded: Option<Recorded>,
    resumes_at: Option<u64>,
) -> Result<(u64, u64), NotAttached> {
    let shard = &state.shards[&SHARD];
    let attach = attach(state, shard, member, recorded, resumes_at.map(Offset), STREAM)?;
    Ok((attach.start.0, attach.from.0))
}

fn out(base_from: Option<u64>) -> ControlState {
    let mut state = wished();
    state.nodes.get_mut(&REPLICA.node).unwrap().out = Some(OutStep {
        plan: PlanId(1),
        epoch: Epoch(50),
        target: release(),
        log_index: 5,
        phase: TrialPhase::Told,
        base_from: base_from.map(Offset),
    });
    state
}

#[test]
fn a_tail_begins_at_the_end_of_the_stream_while_nobody_is_out() {
    assert_eq!(attached(&wished(), ME, None, None), Ok((400, 400)));
}

#[test]
fn a_tail_that_takes_the_place_of_another_begins_no_later_while_one_member_is_left() {
    let kept_by_other = |from, members: &[Member]| {
        with(wished(), |shard| {
            shard.keeper = record(OTHER).map(|keeper| Keeper { from: Offset(from), ..keeper });
            shard.in_sync = members.iter().copied().collect();
        })
    };
    assert_eq!(attached(&kept_by_other(120, &[PRIMARY]), ME, None, None), Ok((120, 120)));
    let shorter = NotAttached::ShorterTail {
        shard: SHARD,
        node: ME.node,
        keeper: OTHER.node,
        from: Offset(49),
        start: Offset(50),
    };
    assert_eq!(attached(&kept_by_other(49, &[PRIMARY]), ME, None, None), Err(shorter));
    let two = kept_by_other(120, &[PRIMARY, REPLICA]);
    assert_eq!(attached(&two, ME, None, None), Ok((400, 400)), "either holds what comes before");
}

#[test]
fn with_a_node_out_a_tail_begins_where_the_one_did_that_it_relies_on() {
    assert_eq!(attached(&out(Some(120)), ME, None, None), Ok((120, 120)));
    let passed = NotAttached::BasePassed { out: REPLICA.node, base: Offset(49), start: Offset(50) };
    assert_eq!(attached(&out(Some(49)), ME, None, None), Err(passed));
    assert_eq!(attached(&out(None), ME, None, None), Err(NotAttached::NoBase { out: REPLICA.node }));
}

#[test]
fn a_tail_that_is_recorded_or_proposed_keeps_its_beginning() {
    let of = |member| Some(Recorded { member, from: Offset(120) });
    assert_eq!(attached(&out(Some(120)), ME, of(ME), Some(300)), Ok((300, 120)));
    let later = life(3, 2);
    let mut state = out(Some(120));
    state.nodes.get_mut(&ME.node).unwrap().incarnation = Incarnation(2);
    assert_eq!(attached(&state, later, of(ME), Some(300)), Ok((300, 120)));
    assert_eq!(attached(&state, later, of(ME), None), Ok((120, 120)), "it holds nothing of it");
}

#[test]
fn who_lost_what_the_log_says_it_holds_is_not_attached_under_that_name() {
    let lost = Err(NotAttached::LostTail { shard: SHARD, member: ME });
    let recorded = Some(Recorded { member: ME, from: Offset(120) });
    assert_eq!(attached(&wished(), ME, recorded, None), lost);
    assert_eq!(attached(&wished(), ME, recorded, Some(119)), lost);
}

#[test]
fn only_who_is_wished_or_recorded_is_attached() {
    let not_wanted = Err(NotAttached::NotWanted { shard: SHARD, node: OTHER.node });
    assert_eq!(attached(&wished(), OTHER, None, None), not_wanted);
    let of_the_shard = Err(NotAttached::OfTheShard { shard: SHARD, node: REPLICA.node });
    assert_eq!(attached(&wished(), REPLICA, None, None), of_the_shard);
    let not_there = |member| Err(NotAttached::NotThere { member });
    assert_eq!(attached(&wished(), life(3, 2), None, None), not_there(life(3, 2)));
    let mut state = out(Some(120));
    let step = state.nodes[&REPLICA.node].out.clone();
    state.nodes.get_mut(&ME.node).unwrap().out = step;
    assert_eq!(attached(&state, ME, None, None), not_there(ME));
    let dropped = with(founded(), |shard| shard.keeper = record(ME));
    let recorded = Some(Recorded { member: ME, from: FROM });
    assert_eq!(attached(&dropped, ME, recorded, Some(300)), Ok((300, 100)));
}
