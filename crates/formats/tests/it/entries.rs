//! Entries of other levels and releases, cut and altered ones.

use crate::examples::commands;
use ironcache_control::{Credential, Origin, Proposal};
use ironcache_formats::entry::{
    self, EntryBytes, EntryError, EntryKind, FLAG_ORIGIN, HEADER_BYTES, SealError,
};
use ironcache_formats::levels::RANGE;
use ironcache_formats::wire;
use ironcache_types::{Digest, KeyHash, Level, NodeId, RequestId};
use proptest::prelude::*;

const REQUEST: RequestId = RequestId(7);

fn sealed(kind: EntryKind) -> EntryBytes {
    entry::seal(&commands(kind)[0], REQUEST, RANGE.max).unwrap()
}

/// What another release would have sealed: `entry` with other bytes and a CRC that fits.
fn forged(entry: &EntryBytes, change: impl FnOnce(&mut Vec<u8>)) -> EntryBytes {
    let mut bytes = entry.as_bytes().to_vec();
    change(&mut bytes);
    let length = (bytes.len() - HEADER_BYTES) as u32;
    bytes[24..28].copy_from_slice(&length.to_le_bytes());
    let crc = crc32fast::hash(&[&bytes[..28], &bytes[HEADER_BYTES..]].concat());
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    EntryBytes::check(&bytes).unwrap()
}

fn with_field(entry: &EntryBytes, at: usize, value: u16) -> EntryBytes {
    forged(entry, |bytes| bytes[at..at + 2].copy_from_slice(&value.to_le_bytes()))
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    for kind in EntryKind::ALL {
        let entry = sealed(*kind);
        let good = entry.as_bytes();
        for at in 0..good.len() {
            assert!(EntryBytes::check(&good[..at]).is_err(), "{kind}, length {at}");
            let mut bad = good.to_vec();
            bad[at] ^= 1 << (at % 8);
            assert!(EntryBytes::check(&bad).is_err(), "{kind}, byte {at}");
        }
    }
}

#[test]
fn above_the_states_level_an_entry_is_not_yet_whatever_else_it_is() {
    let above = RANGE.max.next();
    for kind in EntryKind::ALL {
        let later = with_field(&sealed(*kind), 4, above.0);
        let unknown = with_field(&with_field(&later, 0, 999), 2, 999);
        let garbage = forged(&with_field(&unknown, 6, 0xffff), |bytes| bytes[HEADER_BYTES..].fill(0xff));
        for entry in [later, unknown, garbage] {
            match entry::open(&entry, RANGE.max) {
                Err(EntryError::NotYet { level, state }) => assert_eq!((level, state), (above, RANGE.max)),
                other => panic!("{entry}: {other:?}"),
            }
        }
    }
}

#[test]
fn at_or_below_the_states_level_what_cannot_be_read_is_named() {
    for kind in EntryKind::ALL {
        let good = sealed(*kind);
        let opened = |entry: &EntryBytes| entry::open(entry, RANGE.max).unwrap_err();
        assert!(matches!(opened(&with_field(&good, 0, 999)), EntryError::UnknownKind { kind: 999, .. }));
        let version = opened(&with_field(&good, 2, 999));
        assert!(matches!(version, EntryError::UnknownVersion { version: 999, .. }), "{version}");
        assert!(matches!(opened(&with_field(&good, 6, 2)), EntryError::UnknownFlags { flags: 2, .. }));
        let below = opened(&with_field(&good, 4, RANGE.min.0 - 1));
        assert!(matches!(below, EntryError::UnknownVersion { .. }), "{below}");
        let longer = opened(&forged(&good, |bytes| bytes.push(0)));
        assert!(matches!(longer, EntryError::Body { .. }), "{longer}");
        let shorter = opened(&forged(&good, |bytes| bytes.truncate(bytes.len() - 1)));
        assert!(matches!(shorter, EntryError::Body { .. }), "{shorter}");
    }
}

#[test]
fn the_text_of_a_version_is_looked_at() {
    let start = sealed(EntryKind::StartPlan);
    let bad = forged(&start, |bytes| bytes[HEADER_BYTES + 1] = b'x');
    let error = entry::open(&bad, RANGE.max).unwrap_err();
    assert!(matches!(error, EntryError::Field { kind: EntryKind::StartPlan, .. }), "{error}");
}

#[test]
fn nothing_is_sealed_above_the_levels_of_this_build() {
    for kind in EntryKind::ALL {
        let error = entry::seal(&commands(*kind)[0], REQUEST, RANGE.max.next()).unwrap_err();
        assert!(
            error.to_string().contains(&format!("the command {kind} does not exist at level")),
            "{error}"
        );
        assert!(entry::seal(&commands(*kind)[0], REQUEST, Level(0)).is_err());
    }
}

proptest! {
    #[test]
    fn any_bytes_for_a_body_are_read_or_refused_and_never_more(
        kind in 0..EntryKind::ALL.len(),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let entry = forged(&sealed(EntryKind::ALL[kind]), |bytes| {
            bytes.truncate(HEADER_BYTES);
            bytes.extend_from_slice(&body);
        });
        // What is read is written as the same bytes, or the body was not in the shortest form.
        if let Ok((request, command)) = entry::open(&entry, RANGE.max) {
            let again = entry::seal(&command, request, RANGE.max).unwrap();
            prop_assert!(again.as_bytes().len() <= entry.as_bytes().len());
            prop_assert_eq!(entry::open(&again, RANGE.max).unwrap(), (request, command));
        }
    }
}

fn origins() -> [Origin; 4] {
    let key = KeyHash(Digest(std::array::from_fn(|i| i as u8)));
    [
        Origin {
            by: Credential::Insecure,
            from: Some("10.0.0.7:40123".to_owned()),
            at_ms: 1_700_000_000_000,
        },
        Origin { by: Credential::Operator(key), from: Some("[::1]:9".to_owned()), at_ms: 1 },
        Origin::node(NodeId(0x0102_0304_0506_0708), u64::MAX),
        Origin::policy(0),
    ]
}

fn proposals() -> Vec<Proposal> {
    let command = || commands(EntryKind::Pause).remove(0);
    origins().into_iter().map(|origin| origin.asks(command())).collect()
}

#[test]
fn who_asked_stands_ahead_of_the_body_and_is_what_it_was() {
    let sealed: Vec<_> =
        proposals().iter().map(|one| entry::seal_proposal(one, REQUEST, RANGE.min).unwrap()).collect();
    let written: Vec<_> = sealed.iter().map(|entry| wire::hex(entry.as_bytes())).collect();
    expect_test::expect_file!["../golden/entry/origin-v1-at-1.hex"].assert_eq(&written.join("\n"));
    for (entry, proposal) in sealed.iter().zip(proposals()) {
        assert_eq!(entry.header().flags, FLAG_ORIGIN);
        assert_eq!(entry::open_proposal(entry, RANGE.max).unwrap(), (REQUEST, proposal.clone()));
        assert_eq!(entry::open(entry, RANGE.max).unwrap(), (REQUEST, proposal.command));
    }
}

#[test]
fn every_kind_may_be_asked_for_and_without_one_who_asked_nothing_is_said() {
    for kind in EntryKind::ALL {
        for command in commands(*kind) {
            let asked = Origin::policy(7).asks(command.clone());
            let entry = entry::seal_proposal(&asked, REQUEST, RANGE.max).unwrap();
            assert_eq!(entry::open_proposal(&entry, RANGE.max).unwrap(), (REQUEST, asked));
            let plain = entry::seal(&command, REQUEST, RANGE.max).unwrap();
            assert_eq!(plain.header().flags, 0);
            assert_eq!(entry::open_proposal(&plain, RANGE.max).unwrap(), (REQUEST, command.into()));
        }
    }
}

#[test]
fn an_entry_that_ends_or_errs_within_who_asked_is_named() {
    let good = entry::seal_proposal(&proposals()[0], REQUEST, RANGE.max).unwrap();
    let opened = |entry: &EntryBytes| entry::open_proposal(entry, RANGE.max).unwrap_err();
    for length in 0..24 {
        let cut = forged(&good, |bytes| bytes.truncate(HEADER_BYTES + length));
        assert!(matches!(opened(&cut), EntryError::OriginCut { kind: EntryKind::Pause, .. }), "{length}");
    }
    let stranger = forged(&good, |bytes| bytes[HEADER_BYTES + 2] = 99);
    assert!(matches!(opened(&stranger), EntryError::Origin { kind: EntryKind::Pause, .. }));
    let longer = forged(&good, |bytes| bytes[HEADER_BYTES] += 1);
    assert!(matches!(opened(&longer), EntryError::Origin { .. }));
    let unsaid = with_field(&good, 6, 0);
    assert!(matches!(opened(&unsaid), EntryError::Body { .. }), "without the flag all of it is the body");
}

#[test]
fn who_asked_is_short_enough_or_not_sealed() {
    let from = Some("x".repeat(1 << 16));
    let asked =
        Origin { by: Credential::Insecure, from, at_ms: 0 }.asks(commands(EntryKind::Pause).remove(0));
    let error = entry::seal_proposal(&asked, REQUEST, RANGE.max).unwrap_err();
    assert!(matches!(error, SealError::Origin { bytes } if bytes > 1 << 16), "{error}");
}
