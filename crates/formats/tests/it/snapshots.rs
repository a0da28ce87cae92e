//! Snapshots of other levels, cut and altered ones, and ones whose writer held another state than it said.

use crate::examples::full;
use ironcache_formats::levels::RANGE;
use ironcache_formats::snapshot::{self, OpenError};
use ironcache_formats::state;
use ironcache_formats::wire::{self, Header, Kind, WireError};
use ironcache_types::Level;

fn sealed() -> Vec<u8> {
    let (state, answers) = full();
    snapshot::seal(&state, &answers).unwrap()
}

fn of(level: Level, version: u16, hash: u64, state: Vec<u8>) -> Vec<u8> {
    wire::seal(Header { kind: Kind::Snapshot, version, level }, &(hash, state)).unwrap()
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let good = sealed();
    for at in 0..good.len() {
        assert!(snapshot::open(&good[..at], RANGE).is_err(), "length {at}");
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert!(matches!(snapshot::open(&bad, RANGE), Err(OpenError::Wire(_))), "byte {at}");
    }
}

#[test]
fn a_snapshot_above_the_range_is_told_by_its_level_whatever_its_version() {
    for version in [1, 2, 999] {
        let later = of(RANGE.max.next(), version, 0, vec![0xff; 9]);
        match snapshot::open(&later, RANGE) {
            Err(OpenError::AboveLevel { level, admits }) => {
                assert_eq!((level, admits), (RANGE.max.next(), RANGE));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_unknown_version_at_an_admitted_level_is_named() {
    let error = snapshot::open(&of(RANGE.max, 999, 0, Vec::new()), RANGE).unwrap_err();
    assert!(matches!(error, OpenError::Wire(WireError::Version { found: 999, .. })), "{error}");
}

#[test]
fn a_hash_that_does_not_fit_is_named_before_the_state_is_parsed() {
    let error = snapshot::open(&of(RANGE.max, 1, 7, vec![0xff; 9]), RANGE).unwrap_err();
    assert!(matches!(error, OpenError::Hash { said: 7, .. }), "{error}");
}

#[test]
fn a_state_of_another_level_than_its_snapshot_says_is_named() {
    let (mut control, answers) = full();
    control.cluster_level = RANGE.max.next();
    let bytes = state::write(&control, &answers, RANGE.max).unwrap();
    let error = snapshot::open(&of(RANGE.max, 1, state::hash_of(&bytes), bytes), RANGE).unwrap_err();
    assert!(matches!(error, OpenError::Level { .. }), "{error}");
}

#[test]
fn what_is_remembered_of_requests_is_part_of_the_hash() {
    let (state, mut answers) = full();
    let before = state::hash(&state, &answers).unwrap();
    answers[1].refused = None;
    assert_ne!(state::hash(&state, &answers).unwrap(), before);
    assert_ne!(state::hash(&state, []).unwrap(), before);
}

#[test]
fn a_state_above_the_levels_of_this_build_is_not_written() {
    let (state, answers) = full();
    let above = RANGE.max.next();
    assert!(matches!(state::write(&state, &answers, above), Err(state::WriteError::AboveLevel(_))));
    assert!(matches!(state::read(&[], above), Err(state::ReadError::Level { .. })));
}
