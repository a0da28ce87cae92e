//! Fuzzing of copies of the dataset; see crate `ironcache-fuzz`.

use super::end::End;
use super::*;
use ironcache_fuzz::{Campaign, Folder, of_golden_lines};
use ironcache_keyspace::Effect;
use ironcache_replication::Lineage;
use ironcache_types::{Incarnation, LEVELS};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

const MINE: ClusterId = ClusterId(7);
/// A range at the end of 512 MiB is a valid effect; here it would only take time.
const SET_RANGE_BYTES_MAX: usize = 1 << 20;

/// Reading waits for nothing but its turn.
fn at_once<T>(reading: impl Future<Output = T>) -> T {
    let mut reading = pin!(reading);
    loop {
        if let Poll::Ready(read) = reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return read;
        }
    }
}

fn part(effects: &[u8]) -> Vec<u8> {
    let len = u32::try_from(effects.len()).expect("it is short");
    [&len.to_le_bytes()[..], &crc32fast::hash(effects).to_le_bytes(), effects].concat()
}

/// Two parts, and as many keys as they make.
fn copy(effects: &[Vec<u8>], sealed_by: Option<Incarnation>) -> Vec<u8> {
    let mut keyspace = Keyspace::new();
    apply_effects(&mut keyspace, &effects.concat(), LEVELS.min).expect("the golden effects can be applied");
    let saved = SavedPosition::at(&Lineage::new(Epoch(7), Offset(100)), Offset(120)).expect("it is within");
    let end = End { sealed_by, taken_ms: 5_000, keys: keyspace.len() as u64, saved };
    let head = Head { level: LEVELS.min, cluster: MINE };
    let (first, second) = effects.split_at(effects.len() / 2);
    [head.encode().to_vec(), part(&first.concat()), part(&second.concat()), end.encode()].concat()
}

/// The bytes of each part, as far as the lengths lead.
fn parts(bytes: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let mut at = HEAD_BYTES;
    std::iter::from_fn(move || {
        let prefix = bytes.get(at..at + PART_PREFIX_BYTES)?;
        let len = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
        let begin = at + PART_PREFIX_BYTES;
        // The end says 0, and takes what is left.
        let end =
            if len == 0 { bytes.len() } else { begin.checked_add(len).filter(|end| *end <= bytes.len())? };
        at = end;
        Some((begin, end))
    })
}

/// The checksums of the head, of each part and of the end, as a writer would have them.
fn reseal(bytes: &mut [u8]) {
    let Some(head) = bytes.get_mut(..HEAD_BYTES) else { return };
    let crc = crc32fast::hash(&head[..HEAD_BYTES - 4]);
    head[HEAD_BYTES - 4..].copy_from_slice(&crc.to_le_bytes());
    for (begin, end) in parts(bytes).collect::<Vec<_>>() {
        let crc = crc32fast::hash(&bytes[begin..end]);
        bytes[begin - 4..begin].copy_from_slice(&crc.to_le_bytes());
    }
}

fn asks_for_much(bytes: &[u8]) -> bool {
    parts(bytes).any(|(begin, end)| {
        let mut rest = &bytes[begin..end];
        while let Ok((effect, after)) = Effect::decode(rest, LEVELS.max) {
            if matches!(effect, Effect::SetRange { offset, .. } if offset as usize > SET_RANGE_BYTES_MAX) {
                return true;
            }
            rest = after;
        }
        false
    })
}

#[test]
fn a_whole_copy_is_resealed_as_it_was() {
    let effects = of_golden_lines(include_str!("../../../../keyspace/tests/golden/effects-1.hex"));
    let whole = copy(&effects, None);
    let mut resealed = whole.clone();
    reseal(&mut resealed);
    assert!(resealed == whole && parts(&whole).count() == 3);
}

#[test]
fn fuzz_a_copy_of_the_dataset_is_used_whole_or_not_at_all_and_reading_consumes_nothing() {
    let folder = Folder::new();
    let path = Copy::Checkpoint.path(folder.path());
    let effects = of_golden_lines(include_str!("../../../../keyspace/tests/golden/effects-1.hex"));
    let copies = [copy(&effects, Some(Incarnation(9))), copy(&effects[..4], None), copy(&[], None)];
    // The buffer of a reader, and the values that a range makes of a few bytes.
    let campaign = Campaign::of("copies of the dataset").from(copies).resealed(reseal).costly();
    campaign.keeps(PART_BYTES + 8 * SET_RANGE_BYTES_MAX).run(|bytes| {
        if asks_for_much(bytes) {
            return Err("wide".to_owned());
        }
        std::fs::write(&path, bytes).expect("the file can be written");
        let skimmed = skim(&path, Some(MINE), LEVELS);
        let work = Work::default();
        let whole = at_once(read_whole(Copy::Checkpoint, folder.path(), Some(MINE), LEVELS, &work));
        assert!(std::fs::read(&path).is_ok_and(|left| left == bytes), "reading changed it");
        match whole {
            Ok(whole) => {
                let end = skimmed.expect("what can be read can be skimmed").expect("it is there");
                assert_eq!(whole.begun.held.offset, end.saved.position.offset);
                assert_eq!(whole.keyspace.len() as u64, end.keys);
                assert!(work.bytes() < bytes.len() as u64, "parts are counted as they are read");
                Ok((whole.level, end.sealed_by.is_some()))
            }
            Err(error) => {
                let fate = error.fate();
                let by_others = matches!(
                    error,
                    CheckpointError::Version { .. }
                        | CheckpointError::Level { .. }
                        | CheckpointError::Effect { .. }
                );
                assert!(!by_others || fate == Fate::Stays, "{error}: another release may read it");
                Err(format!("{fate:?} {:?}", std::mem::discriminant(&error)))
            }
        }
    });
}
