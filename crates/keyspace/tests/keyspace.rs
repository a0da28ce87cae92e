//! Expiry, scans and random keys over a whole keyspace.

use ironcache_keyspace::{Effect, Effects, Entry, Keyspace, ScanCursor, SetExpiry, apply_effects};
use ironcache_types::Level;
use std::collections::BTreeSet;

fn set(keyspace: &mut Keyspace, key: &str, expiry: SetExpiry) {
    let effect = Effect::SetString { key: key.as_bytes(), value: b"v", expiry };
    keyspace.apply(&effect).expect("a string fits anywhere");
}

#[test]
fn an_expired_key_reads_as_absent_and_stays_until_it_is_deleted() {
    let mut keyspace = Keyspace::new();
    set(&mut keyspace, "k", SetExpiry::At(100));
    assert!(keyspace.live(b"k", 99).is_some());
    assert!(keyspace.live(b"k", 100).is_none());
    assert_eq!(keyspace.len(), 1);
}

#[test]
fn the_cycle_deletes_what_is_due_within_its_budget_by_effects() {
    let mut keyspace = Keyspace::new();
    for i in 0..10_000u64 {
        set(&mut keyspace, &format!("k{i}"), SetExpiry::At(i / 3));
    }
    set(&mut keyspace, "stays", SetExpiry::Never);
    set(&mut keyspace, "k0", SetExpiry::At(1 << 40));
    let mut replica = Keyspace::new();
    let mut bytes = Vec::new();
    (0..ironcache_types::SLOT_COUNT).for_each(|slot| {
        keyspace.dump_slot(ironcache_types::Slot(slot), Level::FIRST, &mut bytes);
    });
    apply_effects(&mut replica, &bytes, Level::FIRST).expect("a dump");

    let mut effects = Effects::at(Level::FIRST);
    assert_eq!(keyspace.expire_cycle(99, 100, &mut effects), 100);
    assert_eq!(effects.count, 100);
    assert_eq!(keyspace.expire_cycle(99, 1000, &mut effects), 199);
    assert_eq!(keyspace.expire_cycle(99, 1000, &mut effects), 0);
    assert!(keyspace.entries().all(|entry| !entry.is_expired(99)));
    assert_eq!(keyspace.next_deadline_ms(), Some(100));
    apply_effects(&mut replica, &effects.bytes, Level::FIRST).expect("deletions");
    assert_eq!(replica.fingerprint(), keyspace.fingerprint());
    assert_eq!(keyspace.expire_cycle(1 << 39, 1 << 20, &mut effects), 10_000 - 300);
    assert_eq!(keyspace.len(), 2);
}

fn scan_all(
    keyspace: &mut Keyspace,
    count: usize,
    mut between: impl FnMut(&mut Keyspace),
) -> BTreeSet<Vec<u8>> {
    let (mut met, mut cursor) = (BTreeSet::new(), ScanCursor(0));
    loop {
        cursor = keyspace.scan(cursor, count, |entry| {
            met.insert(entry.key().to_vec());
        });
        assert!(cursor.0 < 1 << 46);
        if cursor == ScanCursor(0) {
            return met;
        }
        between(keyspace);
    }
}

#[test]
fn a_scan_meets_every_key_that_stays_also_in_one_giant_slot() {
    let mut keyspace = Keyspace::new();
    let mut expected = BTreeSet::new();
    for i in 0..2000 {
        for key in [format!("{{tag}}{i}"), format!("spread{i}")] {
            set(&mut keyspace, &key, SetExpiry::Never);
            if i % 2 == 0 {
                expected.insert(key.into_bytes());
            }
        }
    }
    let mut turn = 0;
    let met = scan_all(&mut keyspace, 10, |keyspace| {
        for key in [format!("{{tag}}{}", turn * 2 + 1), format!("spread{}", turn * 2 + 1)] {
            keyspace.apply(&Effect::Delete { key: key.as_bytes() }).expect("deletes");
        }
        set(keyspace, &format!("{{tag}}new{turn}"), SetExpiry::Never);
        turn += 1;
    });
    assert!(met.is_superset(&expected));
}

#[test]
fn any_cursor_is_safe() {
    let mut keyspace = Keyspace::new();
    set(&mut keyspace, "k", SetExpiry::Never);
    for cursor in [1, 16383, 16384, u64::MAX, u64::MAX / 3] {
        keyspace.scan(ScanCursor(cursor), 10, |_| {});
    }
}

#[test]
fn random_keys_are_fair() {
    let mut keyspace = Keyspace::new();
    assert!(keyspace.random_entry(7).is_none());
    for i in 0..10 {
        set(&mut keyspace, &format!("{{a}}{i}"), SetExpiry::Never);
        set(&mut keyspace, &format!("{i}"), SetExpiry::Never);
    }
    let met: BTreeSet<_> = (0..20).map(|r| keyspace.random_entry(r).expect("some").key().to_vec()).collect();
    assert_eq!(met.len(), 20);
}

#[test]
fn rename_takes_the_expiry_along() {
    let mut keyspace = Keyspace::new();
    set(&mut keyspace, "a", SetExpiry::At(50));
    set(&mut keyspace, "b", SetExpiry::At(20));
    keyspace.apply(&Effect::Rename { key: b"a", to: b"b" }).expect("moves");
    assert_eq!(keyspace.get(b"b").and_then(Entry::expire_at_ms), Some(50));
    assert_eq!((keyspace.len(), keyspace.expiring()), (1, 1));
    assert_eq!(keyspace.next_deadline_ms(), Some(50));
}
