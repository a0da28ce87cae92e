//! The cursor, case by case: what may change a replica, and what it may claim.

use ironcache_replication::*;
use ironcache_types::{Epoch, Incarnation, Level, Offset, Slot};

const SOURCE: Source = Source { epoch: Epoch(7), incarnation: Incarnation(1) };

fn lineage() -> Lineage {
    Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(7), Offset(129))]).unwrap()
}

fn begin(mode: SyncMode) -> SyncBegin {
    SyncBegin { source: SOURCE, mode, lineage: lineage() }
}

fn frame(epoch: u64, start: u64) -> Effects<'static> {
    Effects { level: Level::FIRST, epoch: Epoch(epoch), start: Offset(start), scope: Scope::All, bytes: b"" }
}

/// A replica that held 100 of epoch 3, and follows the primary of epoch 7.
fn streaming() -> ReplicaCursor {
    let mut cursor = ReplicaCursor::holding(Lineage::new(Epoch(3), Offset(0)), Offset(100));
    let from = Offset(100);
    let begin = cursor.follow(SOURCE, &begin(SyncMode::Partial { from }), Standing::InSync);
    assert_eq!(begin, Ok(Begin::Continue { from }));
    cursor
}

fn syncing() -> ReplicaCursor {
    let mut cursor = ReplicaCursor::empty();
    assert_eq!(cursor.follow(SOURCE, &begin(SyncMode::Full), Standing::Outside), Ok(Begin::Discard));
    cursor
}

fn take(cursor: &mut ReplicaCursor, frame: &Effects<'_>) -> Result<(), StreamError> {
    let admitted = cursor.accept(SOURCE, frame)?;
    cursor.applied(admitted)
}

#[test]
fn what_is_acknowledged_was_applied() {
    let mut cursor = streaming();
    let admitted = cursor.accept(SOURCE, &frame(3, 100)).unwrap();
    assert_eq!(cursor.ack(), Some(Ack { source: SOURCE, applied: Offset(100) }));
    assert_eq!(cursor.position(), Err(StreamError::InFlight { frames: 1 }));
    cursor.applied(admitted).unwrap();
    assert_eq!(cursor.ack(), Some(Ack { source: SOURCE, applied: Offset(129) }));
}

#[test]
fn frames_are_contiguous_and_of_the_lineages_epoch_at_their_place() {
    let mut cursor = streaming();
    let gap = |received, start| Err(StreamError::Gap { received: Offset(received), start: Offset(start) });
    assert_eq!(cursor.accept(SOURCE, &frame(3, 101)), gap(100, 101));
    assert_eq!(cursor.accept(SOURCE, &frame(3, 73)), gap(100, 73));
    let mismatch = |start, got, expected| {
        Err(StreamError::EpochMismatch { start: Offset(start), got: Epoch(got), expected: Epoch(expected) })
    };
    assert_eq!(cursor.accept(SOURCE, &frame(7, 100)), mismatch(100, 7, 3));
    take(&mut cursor, &frame(3, 100)).unwrap();
    assert_eq!(cursor.accept(SOURCE, &frame(3, 129)), mismatch(129, 3, 7));
    take(&mut cursor, &frame(7, 129)).unwrap();
    let position = Position { lineage_epoch: Epoch(7), offset: Offset(158) };
    assert_eq!(cursor.position(), Ok(Some(position)));
}

#[test]
fn messages_of_another_source_change_nothing() {
    let mut cursor = streaming();
    for other in [Source { epoch: Epoch(3), ..SOURCE }, Source { incarnation: Incarnation(2), ..SOURCE }] {
        let refused = StreamError::OtherSource { followed: SOURCE, got: other };
        assert_eq!(cursor.accept(other, &frame(3, 100)), Err(refused.clone()));
        let fence = Fence { handover_epoch: Epoch(9), offset: Offset(100) };
        assert_eq!(cursor.on_fence(other, &fence), Err(refused));
        let begin = SyncBegin { source: other, ..begin(SyncMode::Full) };
        assert!(cursor.follow(SOURCE, &begin, Standing::Outside).is_err());
    }
    cursor.detach();
    assert_eq!(cursor.accept(SOURCE, &frame(3, 100)), Err(StreamError::Detached));
    assert_eq!(cursor.ack(), None);
}

#[test]
fn a_fence_is_met_only_when_everything_below_it_is_applied() {
    let mut cursor = streaming();
    let fence = |offset| Fence { handover_epoch: Epoch(9), offset: Offset(offset) };
    let ahead = |applied| Err(StreamError::FenceAhead { offset: Offset(129), applied: Offset(applied) });
    assert_eq!(cursor.on_fence(SOURCE, &fence(129)), ahead(100));
    let admitted = cursor.accept(SOURCE, &frame(3, 100)).unwrap();
    assert_eq!(cursor.on_fence(SOURCE, &fence(129)), ahead(100));
    assert!(matches!(cursor.on_fence(SOURCE, &fence(100)), Err(StreamError::FenceBehind { .. })));
    cursor.applied(admitted).unwrap();
    let met = FenceMet { handover_epoch: Epoch(9), source: SOURCE, offset: Offset(129) };
    assert_eq!((cursor.on_fence(SOURCE, &fence(129)), cursor.fence()), (Ok(met), Some(met)));
}

#[test]
fn a_fence_ends_with_the_next_frame_and_never_raises_the_epoch() {
    let mut cursor = streaming();
    cursor.on_fence(SOURCE, &Fence { handover_epoch: Epoch(9), offset: Offset(100) }).unwrap();
    assert!(matches!(cursor.accept(SOURCE, &frame(9, 100)), Err(StreamError::EpochMismatch { .. })));
    // The handover was aborted: the old primary goes on in its own epoch.
    take(&mut cursor, &frame(3, 100)).unwrap();
    assert_eq!(cursor.fence(), None);
    cursor.on_fence(SOURCE, &Fence { handover_epoch: Epoch(10), offset: Offset(129) }).unwrap();
    cursor.detach();
    assert_eq!(cursor.fence(), None);
}

#[test]
fn a_member_of_the_in_sync_set_keeps_its_dataset() {
    let mut cursor = streaming();
    let full = begin(SyncMode::Full);
    assert_eq!(cursor.follow(SOURCE, &full, Standing::InSync), Err(StreamError::DiscardWhileInSync));
    assert_eq!(cursor.applied_offset(), Some(Offset(100)));
    assert_eq!(cursor.follow(SOURCE, &full, Standing::Outside), Ok(Begin::Discard));
    assert_eq!(cursor.applied_offset(), None);
}

#[test]
fn a_partial_resync_that_does_not_fit_is_refused() {
    let follow = |cursor: &mut ReplicaCursor, from| {
        cursor.follow(SOURCE, &begin(SyncMode::Partial { from: Offset(from) }), Standing::Outside)
    };
    let reason = FullReason::NoPosition;
    let refused = Err(StreamError::CannotContinue { from: Offset(0), reason });
    assert_eq!(follow(&mut ReplicaCursor::empty(), 0), refused);
    let mut ahead = ReplicaCursor::holding(Lineage::new(Epoch(3), Offset(0)), Offset(130));
    assert!(matches!(follow(&mut ahead, 130), Err(StreamError::CannotContinue { .. })));
    let mut behind = ReplicaCursor::holding(Lineage::new(Epoch(3), Offset(0)), Offset(50));
    let refused = Err(StreamError::OtherPlace { from: Offset(60), applied: Offset(50) });
    assert_eq!(follow(&mut behind, 60), refused);
}

#[test]
fn half_of_a_full_sync_is_no_dataset() {
    let mut cursor = syncing();
    take(&mut cursor, &frame(7, 200)).unwrap();
    assert_eq!((cursor.ack(), cursor.position(), cursor.applied_offset()), (None, Ok(None), None));
    assert_eq!(
        cursor.on_fence(SOURCE, &Fence { handover_epoch: Epoch(9), offset: Offset(229) }),
        Err(StreamError::Syncing)
    );
    assert_eq!(cursor.promote(Epoch(9)), Err(StreamError::Syncing));
    cursor.detach();
    assert_eq!(cursor.position(), Ok(None));
    assert_eq!(cursor.promote(Epoch(9)), Err(StreamError::Detached));
}

#[test]
fn a_full_sync_takes_slots_in_order_and_gaps_forward_only() {
    let mut cursor = syncing();
    let chunk = |cursor: &mut ReplicaCursor, slot| {
        cursor.on_sync_chunk(SOURCE, &SyncChunk { level: Level::FIRST, slot: Slot(slot), bytes: b"" })
    };
    assert_eq!(chunk(&mut cursor, 5), Ok(ChunkAct::Replace));
    assert_eq!(chunk(&mut cursor, 5), Ok(ChunkAct::Append));
    take(&mut cursor, &frame(7, 200)).unwrap();
    let refused = |slot| Err(StreamError::SlotOrder { last: Slot(5), slot: Slot(slot) });
    assert_eq!(chunk(&mut cursor, 5), Ok(ChunkAct::Append), "a large slot comes in pieces");
    assert_eq!(chunk(&mut cursor, 4), refused(4));
    assert_eq!(chunk(&mut cursor, 6), Ok(ChunkAct::Replace));
    assert!(matches!(take(&mut cursor, &frame(7, 228)), Err(StreamError::Gap { .. })));
    assert!(matches!(take(&mut cursor, &frame(3, 300)), Err(StreamError::EpochMismatch { .. })));
    take(&mut cursor, &frame(7, 300)).unwrap();
    let end = |offset| SyncEnd { lineage: lineage(), offset: Offset(offset) };
    assert!(matches!(cursor.on_sync_end(SOURCE, &end(328)), Err(StreamError::Gap { .. })));
    cursor.on_sync_end(SOURCE, &end(400)).unwrap();
    assert_eq!(cursor.ack(), Some(Ack { source: SOURCE, applied: Offset(400) }));
    assert_eq!(chunk(&mut cursor, 9), Err(StreamError::NotSyncing));
    assert_eq!(cursor.on_sync_end(SOURCE, &end(400)), Err(StreamError::NotSyncing));
    assert!(matches!(take(&mut cursor, &frame(7, 401)), Err(StreamError::Gap { .. })));
}

#[test]
fn a_promoted_replica_starts_where_it_stands_and_drops_epochs_it_never_reached() {
    let mut cursor = streaming();
    let promoted = Lineage::from_entries(&[(Epoch(3), Offset(0)), (Epoch(9), Offset(100))]).unwrap();
    assert_eq!(cursor.promote(Epoch(9)), Ok((promoted, Offset(100))));
    take(&mut cursor, &frame(3, 100)).unwrap();
    let (lineage, start) = cursor.promote(Epoch(9)).unwrap();
    let epochs = [(Epoch(3), Offset(0)), (Epoch(7), Offset(129)), (Epoch(9), Offset(129))];
    assert_eq!((lineage.entries(), start), (&epochs[..], Offset(129)));
    assert!(cursor.promote(Epoch(7)).is_err());
}

#[test]
fn the_parts_of_a_group_move_the_position_with_the_last_one_only() {
    let mut cursor = streaming();
    let part = frame(3, 100);
    cursor.accept_part(SOURCE, &part).unwrap();
    let gap = StreamError::Gap { received: part.end(), start: Offset(100) };
    assert_eq!(cursor.accept_part(SOURCE, &part), Err(gap), "it came already");
    assert_eq!(cursor.applied_offset(), Some(Offset(100)));
    assert_eq!(cursor.position().unwrap().map(|at| at.offset), Some(Offset(100)));
    let last = Effects { epoch: Epoch(7), ..frame(3, part.end().0) };
    take(&mut cursor, &last).unwrap();
    assert_eq!(cursor.applied_offset(), Some(last.end()));

    // Half of one, and the link is gone: it is asked for again from its start.
    let next = frame(7, last.end().0);
    cursor.accept_part(SOURCE, &next).unwrap();
    cursor.detach();
    assert_eq!(cursor.position().unwrap().map(|at| at.offset), Some(last.end()));
    let mode = SyncMode::Partial { from: last.end() };
    let begin = SyncBegin { source: SOURCE, mode, lineage: lineage() };
    assert_eq!(cursor.follow(SOURCE, &begin, Standing::InSync), Ok(Begin::Continue { from: last.end() }));
    cursor.accept_part(SOURCE, &next).unwrap();
}
