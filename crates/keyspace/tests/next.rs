//! The effect of the feature `next`.
#![cfg(feature = "next")]

use expect_test::expect_file;
use ironcache_keyspace::{Effect, EffectError, Keyspace, SetExpiry, Value, apply_effects};
use ironcache_types::{Level, NEXT};

const TOUCHED: Effect<'static> = Effect::Touched { key: b"key", times: 300 };

#[test]
fn its_bytes_are_those_of_its_golden_and_mean_a_number() {
    let mut bytes = Vec::new();
    let before = Effect::SetString { key: b"key", value: b"299", expiry: SetExpiry::At(7) };
    for effect in [before, TOUCHED] {
        effect.encode(NEXT, &mut bytes).unwrap();
    }
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    expect_file!["golden/next/effects.hex"].assert_eq(&format!("{hex}\n"));
    let mut keyspace = Keyspace::new();
    assert_eq!(apply_effects(&mut keyspace, &bytes, NEXT), Ok(2));
    let place = keyspace.find(b"key").unwrap();
    assert!(matches!(keyspace.at(place).value(), Value::String(text) if text[..] == b"300"[..]));
    assert!(keyspace.at(place).is_expired(8), "the expiry is kept");
}

#[test]
fn the_level_before_neither_writes_nor_reads_it() {
    let (mut bytes, below) = (Vec::new(), Level(NEXT.0 - 1));
    assert!(TOUCHED.encode(below, &mut bytes).is_err());
    assert!(bytes.is_empty());
    TOUCHED.encode(NEXT, &mut bytes).unwrap();
    let refused = apply_effects(&mut Keyspace::new(), &bytes, below);
    assert!(matches!(refused, Err(EffectError::OpcodeAboveLevel { since: NEXT, .. })), "{refused:?}");
}
