//! Who wrote which part of a shard's stream.
//!
//! ```text
//! epoch   3          7        9
//!         |----------|--------|---------->  current end
//! start   0         120      180
//! ```
//!
//! *Invariant:* never empty; epochs rise strictly, starts never fall. Equal (epoch, offset) means equal
//! content, so a replica whose last byte was written in epoch `e` at or before the primary's end of `e`
//! holds a prefix of what the primary holds.

use crate::position::Position;
use crate::resync::{FullReason, Resync};
use crate::wire::{Reader, put_u64};
use ironcache_types::{Epoch, Offset};

/// How many changes of ownership a lineage remembers. A replica that was away for more takes a full
/// sync; each costs 16 bytes in every `SyncBegin` and `SyncEnd`.
pub const LINEAGE_MAX: usize = 64;

/// The (ownership epoch, start offset) of the newest [`LINEAGE_MAX`] primaries of a shard, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    entries: Vec<(Epoch, Offset)>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineageError {
    #[error("a lineage has at least one epoch, and this one has none")]
    Empty,
    #[error("a lineage has at most {max} epochs, and this one has {count}", max = LINEAGE_MAX)]
    TooLong { count: usize },
    #[error("epoch {next} follows epoch {last}: every start as primary takes a fresh, higher one")]
    EpochNotFresh { last: Epoch, next: Epoch },
    #[error("epoch {epoch} would start at {start}, before its predecessor's start {previous_start}")]
    StartsBeforePredecessor { epoch: Epoch, start: Offset, previous_start: Offset },
}

impl Lineage {
    /// The lineage of a shard whose first primary took `epoch` at `start`.
    pub fn new(epoch: Epoch, start: Offset) -> Self {
        Lineage { entries: vec![(epoch, start)] }
    }

    /// Builds a lineage from (epoch, start) pairs, oldest first.
    pub fn from_entries(entries: &[(Epoch, Offset)]) -> Result<Self, LineageError> {
        if entries.len() > LINEAGE_MAX {
            return Err(LineageError::TooLong { count: entries.len() });
        }
        let (&(epoch, start), later) = entries.split_first().ok_or(LineageError::Empty)?;
        let mut lineage = Lineage::new(epoch, start);
        for &(epoch, start) in later {
            lineage.push(epoch, start)?;
        }
        Ok(lineage)
    }

    /// A new primary begins: it held everything below `start` when it applied its promotion.
    pub fn push(&mut self, epoch: Epoch, start: Offset) -> Result<(), LineageError> {
        let (last, previous_start) = self.last();
        if epoch <= last {
            return Err(LineageError::EpochNotFresh { last, next: epoch });
        }
        if start < previous_start {
            return Err(LineageError::StartsBeforePredecessor { epoch, start, previous_start });
        }
        if self.entries.len() == LINEAGE_MAX {
            self.entries.remove(0);
        }
        self.entries.push((epoch, start));
        Ok(())
    }

    /// (epoch, start) pairs, oldest first.
    pub fn entries(&self) -> &[(Epoch, Offset)] {
        &self.entries
    }

    /// The newest epoch and its start.
    pub fn last(&self) -> (Epoch, Offset) {
        *self.entries.last().expect("a lineage is never empty")
    }

    /// The offset at which `epoch` starts.
    pub fn start_of(&self, epoch: Epoch) -> Option<Offset> {
        self.entries.iter().find(|(e, _)| *e == epoch).map(|&(_, start)| start)
    }

    /// The offset at which `epoch` ended. `None` if it is unknown, or the newest: that one has not ended.
    pub fn end_of(&self, epoch: Epoch) -> Option<Offset> {
        let at = self.entries.iter().position(|(e, _)| *e == epoch)?;
        self.entries.get(at + 1).map(|&(_, start)| start)
    }

    /// The epoch of a frame that starts at `offset`.
    pub fn epoch_of_frame_at(&self, offset: Offset) -> Option<Epoch> {
        self.entries.iter().rev().find(|(_, start)| *start <= offset).map(|&(epoch, _)| epoch)
    }

    /// Where a dataset that holds everything below `offset` is: the epoch that wrote its last byte, so
    /// that an epoch which wrote nothing it holds never stands in the way of resuming. `None` if
    /// `offset` lies before what the lineage remembers.
    pub fn position_at(&self, offset: Offset) -> Option<Position> {
        let (oldest, oldest_start) = self.entries[0];
        let wrote = self.entries.iter().rev().find(|(_, start)| *start < offset).map(|&(epoch, _)| epoch);
        let lineage_epoch = match wrote {
            Some(epoch) => epoch,
            None if offset == oldest_start => oldest,
            None => return None,
        };
        Some(Position { lineage_epoch, offset })
    }

    /// How a replica at `position` gets in step with a primary of this lineage, whose backlog begins at
    /// `backlog_start` and whose stream is at `current_end` (DESIGN: partial only if the replica's offset
    /// within its last epoch is at or before the primary's end of that epoch, and inside the backlog).
    pub fn can_resume(
        &self,
        position: Option<Position>,
        backlog_start: Offset,
        current_end: Offset,
    ) -> Resync {
        let Some(Position { lineage_epoch, offset }) = position else {
            return Resync::Full { reason: FullReason::NoPosition };
        };
        let full = |reason| Resync::Full { reason };
        let Some(epoch_start) = self.start_of(lineage_epoch) else {
            let oldest_known = self.entries[0].0;
            return full(FullReason::UnknownEpoch { epoch: lineage_epoch, oldest_known });
        };
        if offset < epoch_start {
            return full(FullReason::BeforeItsEpoch { epoch: lineage_epoch, offset, epoch_start });
        }
        let epoch_end = self.end_of(lineage_epoch).unwrap_or(current_end);
        if offset > epoch_end {
            return full(FullReason::Diverged { epoch: lineage_epoch, offset, epoch_end });
        }
        if offset < backlog_start {
            return full(FullReason::BacklogPassed { offset, backlog_start });
        }
        Resync::Partial { from: offset }
    }

    /// Appends `count u8` and `count` × (epoch u64, start u64).
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.entries.len()).expect("LINEAGE_MAX fits a byte"));
        for &(epoch, start) in &self.entries {
            put_u64(out, epoch.0);
            put_u64(out, start.0);
        }
    }

    /// Reads what [`Lineage::write`] wrote. The count is checked before anything is allocated.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Result<Self, LineageError>> {
        let count = usize::from(reader.u8()?);
        if count > LINEAGE_MAX {
            return Some(Err(LineageError::TooLong { count }));
        }
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            entries.push((Epoch(reader.u64()?), Offset(reader.u64()?)));
        }
        Some(Lineage::from_entries(&entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lineage(entries: &[(u64, u64)]) -> Lineage {
        let entries: Vec<_> = entries.iter().map(|&(e, s)| (Epoch(e), Offset(s))).collect();
        Lineage::from_entries(&entries).unwrap()
    }

    fn at(epoch: u64, offset: u64) -> Option<Position> {
        Some(Position { lineage_epoch: Epoch(epoch), offset: Offset(offset) })
    }

    #[track_caller]
    fn resumes(lineage: &Lineage, position: Option<Position>, backlog_start: u64, end: u64) -> Resync {
        lineage.can_resume(position, Offset(backlog_start), Offset(end))
    }

    #[test]
    fn a_replica_inside_its_epoch_and_the_backlog_resumes() {
        let l = lineage(&[(3, 0), (7, 120), (9, 180)]);
        for (epoch, offset) in [(3, 100), (3, 120), (7, 121), (7, 180), (9, 200)] {
            assert_eq!(
                resumes(&l, at(epoch, offset), 100, 200),
                Resync::Partial { from: Offset(offset) },
                "{epoch}"
            );
        }
    }

    #[test]
    fn a_replica_that_went_past_its_epochs_end_is_synced_in_full() {
        let l = lineage(&[(3, 0), (7, 120)]);
        let reason = FullReason::Diverged { epoch: Epoch(3), offset: Offset(121), epoch_end: Offset(120) };
        assert_eq!(resumes(&l, at(3, 121), 0, 500), Resync::Full { reason });
        let reason = FullReason::Diverged { epoch: Epoch(7), offset: Offset(501), epoch_end: Offset(500) };
        assert_eq!(resumes(&l, at(7, 501), 0, 500), Resync::Full { reason });
    }

    #[test]
    fn what_the_primary_cannot_judge_is_synced_in_full() {
        let l = lineage(&[(3, 40), (7, 120)]);
        let full = |reason| Resync::Full { reason };
        assert_eq!(resumes(&l, None, 0, 500), full(FullReason::NoPosition));
        assert_eq!(
            resumes(&l, at(5, 60), 0, 500),
            full(FullReason::UnknownEpoch { epoch: Epoch(5), oldest_known: Epoch(3) })
        );
        assert_eq!(
            resumes(&l, at(7, 100), 0, 500),
            full(FullReason::BeforeItsEpoch {
                epoch: Epoch(7),
                offset: Offset(100),
                epoch_start: Offset(120)
            })
        );
        assert_eq!(
            resumes(&l, at(3, 90), 91, 500),
            full(FullReason::BacklogPassed { offset: Offset(90), backlog_start: Offset(91) })
        );
    }

    #[test]
    fn a_release_that_does_not_read_the_backlogs_level_any_more_is_synced_in_full() {
        use ironcache_types::{Level, LevelRange};
        let partial = Resync::Partial { from: Offset(100) };
        let admits = LevelRange::new(2, 3);
        for oldest in [None, Some(Level(2)), Some(Level(3))] {
            assert_eq!(partial.for_levels(admits, oldest), partial);
        }
        let reason = FullReason::LevelNotAdmitted { level: Level(1), admits };
        assert_eq!(partial.for_levels(admits, Some(Level(1))), Resync::Full { reason });
    }

    #[test]
    fn a_position_names_the_epoch_that_wrote_its_last_byte() {
        let l = lineage(&[(3, 40), (7, 120), (8, 120)]);
        assert_eq!(l.position_at(Offset(120)), at(3, 120));
        assert_eq!(l.position_at(Offset(121)), at(8, 121));
        assert_eq!(l.position_at(Offset(40)), at(3, 40));
        assert_eq!(l.position_at(Offset(39)), None);
        assert_eq!(l.epoch_of_frame_at(Offset(120)), Some(Epoch(8)));
        assert_eq!(l.end_of(Epoch(7)), Some(Offset(120)));
        assert_eq!(l.end_of(Epoch(8)), None);
    }

    #[test]
    fn the_oldest_epochs_are_forgotten_and_then_take_a_full_sync() {
        let mut l = Lineage::new(Epoch(1), Offset(0));
        for epoch in 2..=LINEAGE_MAX as u64 + 1 {
            l.push(Epoch(epoch), Offset(epoch * 10)).unwrap();
        }
        assert_eq!(l.entries().len(), LINEAGE_MAX);
        assert!(matches!(
            resumes(&l, at(1, 5), 0, 9999),
            Resync::Full { reason: FullReason::UnknownEpoch { oldest_known: Epoch(2), .. } }
        ));
    }

    #[test]
    fn an_epoch_is_never_taken_twice() {
        let mut l = lineage(&[(3, 40)]);
        assert_eq!(
            l.push(Epoch(3), Offset(50)),
            Err(LineageError::EpochNotFresh { last: Epoch(3), next: Epoch(3) })
        );
        assert!(matches!(l.push(Epoch(4), Offset(39)), Err(LineageError::StartsBeforePredecessor { .. })));
        assert_eq!(Lineage::from_entries(&[]), Err(LineageError::Empty));
    }
}
