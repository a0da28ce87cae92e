//! Who is followed, who is attached, and what a link that was replaced may still do.

use super::*;
use crate::{Follow, NotAttached};
use ironcache_replication::{AckError, StreamError};

fn begin(source: Source, mode: SyncMode) -> SyncBegin {
    SyncBegin { source, mode, lineage: Lineage::new(source.epoch, Offset(0)) }
}

#[test]
fn nothing_is_followed_that_the_applied_state_does_not_name() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(B, &world, Some(100));
    let other = Member { incarnation: Incarnation(99), ..A };
    let ahead = Source { epoch: world.state.epoch.next(), incarnation: A.incarnation };
    for (member, source) in [(other, world.source()), (A, ahead)] {
        let begin = begin(source, SyncMode::Partial { from: Offset(100) });
        assert_eq!(brain.engine.follow(member, &begin), Ok(Follow::NotYet));
    }
    assert_eq!(brain.engine.sources(), [A]);
    world.restart(A);
    brain.apply(&world);
    assert_eq!(brain.engine.sources(), [], "it is recovering");
}

#[test]
fn whoever_is_sealed_dials_nobody_until_it_serves_on() {
    let world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(B, &world, Some(100));
    assert_eq!(brain.engine.sources(), [A]);
    let now = brain.now;
    let _ = brain.engine.on(Event::Sealed, now);
    assert_eq!(brain.engine.sources(), []);
    assert_eq!(brain.engine.on(Event::Unsealed, now), [Action::Wake]);
    assert_eq!(brain.engine.sources(), [A]);
}

#[test]
fn a_member_of_the_set_discards_nothing() {
    let mut world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(B, &world, Some(100));
    let full = begin(world.source(), SyncMode::Full);
    assert_eq!(brain.engine.follow(A, &full), Err(StreamError::DiscardWhileInSync));
    world.remove(B);
    brain.apply(&world);
    assert_eq!(brain.engine.follow(A, &full), Ok(Follow::Discard { source: world.source() }));
    assert_eq!(brain.engine.end(), None, "half of a full sync is no dataset");
}

#[test]
fn a_link_that_was_replaced_changes_nothing_any_more() {
    let world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.attach(B);
    let (old, source) = (brain.serial, world.source());
    brain.attach(B);
    brain.write(10);
    let ack = Ack { source, applied: Offset(10) };
    let said = brain.engine.on_ack(B, old, ack, DUE_MS, brain.now);
    assert_eq!(said, Err(AckError::StaleLink { member: B }));
    assert!(!brain.engine.is_released(10));
    let mode = SyncMode::Partial { from: Offset(0) };
    assert_eq!(brain.engine.attach(B, old, mode, brain.now).unwrap_err(), NotAttached::RoleChanged);
    brain.engine.detach(B, old);
    assert!(brain.engine.is_attached(source, B, brain.serial) && !brain.engine.is_attached(source, B, old));
    brain.ack(B);
    assert!(brain.engine.is_released(10));
}

#[test]
fn a_replica_in_a_full_sync_is_sent_no_fence_before_its_end() {
    let mut world = World::alone(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    brain.write(100);
    let serial = brain.engine.register(B, brain.now);
    let (attached, _) = brain.engine.attach(B, serial, SyncMode::Full, brain.now).unwrap();
    assert_eq!(attached.from, Offset(100), "slots are dumped as of now");
    assert!(brain.engine.attachment_of(B).unwrap().is_syncing());
    world.state.shards.get_mut(&SHARD).unwrap().handover = Some(Handover {
        epoch: Epoch(99),
        from: A,
        to: B,
        log_index: 1,
        via: ironcache_control::HandoverVia::Primary,
    });
    brain.apply(&world);
    brain.on(Event::RepliesLeft { handover: Epoch(99) });
    assert_eq!(brain.engine.sent(B, serial, Offset(100)), None);
    brain.engine.synced(B, serial);
    assert!(brain.engine.sent(B, serial, Offset(100)).is_some());
}

#[test]
fn a_member_that_is_told_to_begin_anew_is_refused_that_by_the_primary_too() {
    let world = World::pair(AckMode::InSync);
    let mut brain = Brain::new(A, &world, None);
    let serial = brain.engine.register(B, brain.now);
    let refused = brain.engine.attach(B, serial, SyncMode::Full, brain.now).unwrap_err();
    assert!(matches!(refused, NotAttached::InSync(_)), "{refused:?}");
}
