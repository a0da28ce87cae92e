//! A planned promotion, as transcripts of both sides.

use super::*;
use crate::Note;
use ironcache_replication::Promoted;

/// A hands over to B, which is attached and has everything.
fn handing_over(world: &mut World) -> (Brain, Handover) {
    let mut brain = Brain::new(A, world, None);
    brain.attach(B);
    brain.write(100);
    brain.ack(B);
    brain.engine.sent(B, brain.serial, Offset(100));
    let handover = world.begin_handover(A, B);
    (brain, handover)
}

fn fence(handover: Handover, offset: u64) -> Fence {
    Fence { handover_epoch: handover.epoch, offset: Offset(offset) }
}

/// What the link of B is sent next.
fn sent(brain: &mut Brain) -> Option<Fence> {
    let end = brain.engine.end().unwrap();
    brain.engine.sent(B, brain.serial, end)
}

#[test]
fn the_old_primary_drains_lets_replies_leave_and_fences() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    let epoch = handover.epoch;
    brain.write(50);
    let actions = brain.apply(&world);
    let began = [Action::HandoverBegan(handover), Action::TickAfter { ms: 100 }, Action::SettleReplies];
    assert_eq!(actions[..3], began);
    assert_eq!(brain.route(), Route::Park);
    assert_eq!(sent(&mut brain), None, "B has not acknowledged the last write");
    assert_eq!(brain.ack(B), [Action::SettleReplies, Action::TellRepliesLeft { handover: epoch }]);
    assert_eq!(sent(&mut brain), None, "the replies are not out");
    let fenced = Note::Fenced { handover: epoch, offset: Offset(150) };
    assert_eq!(brain.on(Event::RepliesLeft { handover: epoch }), [Action::Tell(fenced), Action::Feed]);
    assert_eq!(sent(&mut brain), Some(fence(handover, 150)));
    assert_eq!(sent(&mut brain), None, "once");
    assert_eq!(
        brain.engine.acknowledgement(B, None).map(|ack| ack.applied),
        Some(Offset(150)),
        "it stands there too"
    );
    world.promote(handover, 150);
    let actions = brain.apply(&world);
    assert!(actions.contains(&Action::LoseReplies));
    let ended =
        actions.iter().find_map(|a| if let Action::HandoverEnded(ended) = a { Some(ended) } else { None });
    assert_eq!(ended.and_then(|ended| ended.promoted), Some(world.shard().epoch));
    assert_eq!(brain.route(), world.moved_to(B));
    assert_eq!(brain.engine.end(), Some(Offset(150)), "it resumes where its stream ended");
}

#[test]
fn the_fence_is_exact() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    brain.apply(&world);
    brain.on(Event::RepliesLeft { handover: handover.epoch });
    assert_eq!(
        brain.engine.sent(B, brain.serial, Offset(60)),
        None,
        "not before everything that is before it"
    );
    assert_eq!(sent(&mut brain), Some(fence(handover, 100)));
    // The candidate takes it at its very offset, and at no other.
    for (held, met) in [(100, true), (60, false), (150, false)] {
        let mut candidate = Brain::following(&world, held);
        let met_it = candidate.engine.on_fence(world.source(), &fence(handover, 100), candidate.now);
        assert_eq!(met_it.is_ok(), met, "{held}");
    }
}

#[test]
fn a_candidate_without_a_link_is_fenced_as_soon_as_it_has_one_and_again_if_that_breaks() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    brain.apply(&world);
    brain.engine.detach(B, brain.serial);
    let left = brain.on(Event::RepliesLeft { handover: handover.epoch });
    assert!(!left.contains(&Action::Feed), "{left:?}");
    for _ in 0..2 {
        brain.serial = brain.engine.register(B, brain.now);
        let mode = SyncMode::Partial { from: Offset(100) };
        brain.engine.attach(B, brain.serial, mode, brain.now).unwrap();
        assert_eq!(sent(&mut brain), Some(fence(handover, 100)));
    }
}

#[test]
fn only_an_applied_outcome_lets_the_old_primary_execute_again() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    brain.apply(&world);
    assert!(!brain.apply(&world).contains(&Action::HandoverBegan(handover)), "told once");
    assert_eq!(brain.route(), Route::Park);
    // The candidate says so; that may redirect, never execute.
    let epoch = world.state.epoch.next().next();
    let _ = brain.engine.hint(B, Promoted { shard: SHARD, epoch, log_index: 99 });
    assert_eq!(brain.route(), world.moved_to(B));
    world.abort(handover);
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Execute);
}

#[test]
fn an_older_hint_changes_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, _) = handing_over(&mut world);
    brain.apply(&world);
    let _ = brain.engine.hint(B, Promoted { shard: SHARD, epoch: world.shard().epoch, log_index: 1 });
    assert_eq!(brain.route(), Route::Park);
}

#[test]
fn without_an_outcome_an_abort_is_proposed_and_again_and_only_the_log_ends_it() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    brain.write(50);
    brain.apply(&world);
    let abort = Command::AbortHandover { shard: SHARD, handover: handover.epoch };
    // Changes that are no outcome do not put it off.
    let mut early = Vec::new();
    for _ in 0..9 {
        early.extend(brain.pass(10));
        early.extend(brain.apply(&world));
    }
    assert_eq!(proposed(&early), []);
    assert_eq!(proposed(&brain.pass(10)), std::slice::from_ref(&abort));
    assert_eq!(proposed(&brain.pass(100)), [abort]);
    assert_eq!(brain.route(), Route::Park);
    brain.ack(B);
    brain.on(Event::RepliesLeft { handover: handover.epoch });
    assert_eq!(sent(&mut brain), None, "given up, it fences nothing any more");
    world.abort(handover);
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Execute);
    assert_eq!(proposed(&brain.pass(150)), []);
}

#[test]
fn a_fence_that_was_not_sent_is_forgotten_with_its_handover() {
    let mut world = World::pair(AckMode::InSync);
    let (mut brain, handover) = handing_over(&mut world);
    brain.apply(&world);
    brain.on(Event::RepliesLeft { handover: handover.epoch });
    world.abort(handover);
    brain.apply(&world);
    assert_eq!(sent(&mut brain), None);
    // Nothing of one attempt is reused by the next.
    let next = world.begin_handover(A, B);
    brain.apply(&world);
    brain.on(Event::RepliesLeft { handover: handover.epoch });
    assert_eq!(sent(&mut brain), None, "of the attempt before");
    brain.on(Event::RepliesLeft { handover: next.epoch });
    assert_eq!(sent(&mut brain), Some(fence(next, 100)));
}

#[test]
fn the_candidate_holds_commands_back_until_the_outcome_and_no_longer() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let moved = world.moved_to(A);
    assert_eq!(brain.route(), moved);
    let handover = world.begin_handover(A, B);
    // The fence overtakes the entry.
    brain.engine.on_fence(world.source(), &fence(handover, 100), brain.now).unwrap();
    assert_eq!(brain.route(), Route::Park, "the entry is not applied yet");
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Park);
    world.abort(handover);
    brain.apply(&world);
    assert_eq!(brain.route(), moved, "the shard is idle, and its primary serves");
}

/// The old primary applies the promotion first, redirects here, and closes the link. Sent back to it, a client would go
/// to and fro until this node has applied the promotion too.
#[test]
fn a_candidate_that_is_behind_with_the_log_sends_nobody_back_to_the_primary_that_left() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let handover = world.begin_handover(A, B);
    brain.engine.on_fence(world.source(), &fence(handover, 100), brain.now).unwrap();
    assert!(brain.engine.unfollow(A));
    assert_eq!(brain.route(), Route::Park, "not even the beginning is applied yet");
    brain.apply(&world);
    assert_eq!(brain.route(), Route::Park);
    world.abort(handover);
    brain.apply(&world);
    assert_eq!(brain.route(), world.moved_to(A));
}

fn promote(world: &World, handover: Handover, in_sync: &[Member]) -> Command {
    let (shard, handover, to) = (world.shard().id, handover.epoch, B);
    Command::Promote { shard, handover, to, offset: Offset(100), in_sync: in_sync.iter().copied().collect() }
}

#[test]
fn the_candidate_proposes_itself_with_whoever_stands_at_the_fence() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let handover = world.begin_handover(A, B);
    brain.apply(&world);
    let link = brain.engine.register(A, brain.now);
    let met = brain.engine.on_fence(world.source(), &fence(handover, 100), brain.now).unwrap();
    assert_eq!(proposed(&met), [], "A has not said where it stands");
    let behind = Ack { source: world.source(), applied: Offset(60) };
    assert_eq!(brain.engine.note_ack(A, link, behind, brain.now), []);
    let there = Ack { source: world.source(), applied: Offset(100) };
    let actions = brain.engine.note_ack(A, link, there, brain.now);
    assert_eq!(proposed(&actions), [promote(&world, handover, &[A, B])]);
    assert_eq!(proposed(&brain.pass(1_000)), [], "once: its outcome, or the abort, is told by the log");
}

#[test]
fn whoever_is_not_attached_in_time_follows_later() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let handover = world.begin_handover(A, B);
    brain.apply(&world);
    let met = brain.engine.on_fence(world.source(), &fence(handover, 100), brain.now).unwrap();
    assert!(met.contains(&Action::TickAfter { ms: 25 }), "{met:?}");
    assert_eq!(proposed(&brain.pass(20)), []);
    assert_eq!(proposed(&brain.pass(10)), [promote(&world, handover, &[B])]);
}

#[test]
fn a_candidate_that_is_being_stopped_does_not_have_itself_promoted() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let handover = world.begin_handover(A, B);
    brain.apply(&world);
    assert_eq!(brain.on(Event::Leaving), []);
    let met = brain.engine.on_fence(world.source(), &fence(handover, 100), brain.now).unwrap();
    assert!(met.contains(&Action::Tell(Note::StopsInstead)), "{met:?}");
    assert_eq!(proposed(&brain.pass(200)), []);
}

#[test]
fn a_frame_behind_the_fence_ends_the_candidacy() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::following(&world, 100);
    let handover = world.begin_handover(A, B);
    let source = world.source();
    brain.engine.on_fence(source, &fence(handover, 100), brain.now).unwrap();
    let scope = Scope::Slot(SLOT);
    let frame = ironcache_replication::Effects {
        level: Level(1),
        epoch: source.epoch,
        start: Offset(100),
        scope,
        bytes: b"x",
    };
    let cursor = brain.engine.stream().unwrap();
    let admitted = cursor.accept(source, &frame).unwrap();
    cursor.applied(admitted).unwrap();
    assert_eq!(proposed(&brain.pass(200)), []);
}

#[test]
fn who_stood_by_at_the_start_goes_on_from_there_and_anybody_else_says_hello_anew() {
    let mut world = World::pair(AckMode::InSync);
    for (stood_at, from) in [(100, Some(Offset(100))), (60, None)] {
        let mut brain = Brain::following(&world, 100);
        let link = brain.engine.register(A, brain.now);
        assert_eq!(brain.engine.stand_by(A, link), StandBy::Wait);
        let ack = Ack { source: world.source(), applied: Offset(stood_at) };
        brain.engine.note_ack(A, link, ack, brain.now);
        let before = world.clone();
        let handover = world.begin_handover(A, B);
        world.promote(handover, 100);
        brain.apply(&world);
        let told = Promoted { shard: SHARD, epoch: world.shard().epoch, log_index: world.index };
        assert_eq!(brain.engine.stand_by(A, link), StandBy::Promoted { told, from });
        let late = brain.engine.register(A, brain.now);
        assert_eq!(brain.engine.stand_by(A, late), StandBy::PrimaryAlready);
        assert_eq!(brain.engine.stand_by(A, link), StandBy::Replaced);
        world = before;
    }
}
