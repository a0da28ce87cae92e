//! The message of the feature `next`.
#![cfg(feature = "next")]

use expect_test::expect_file;
use ironcache_replication::{
    EncodeError, FrameError, LINK_NEXT, LINK_VERSIONS, LinkVersion, LinkVersions, Message, decode, encode,
};

/// What the release before speaks.
const BELOW: LinkVersion = LinkVersion(LINK_NEXT.0 - 1);
const CLOCK: Message<'static> = Message::Clock { unix_ms: 1_700_000_000_123 };

#[test]
fn it_is_said_at_its_version_and_never_below() {
    let mut bytes = Vec::new();
    let refused = encode(&CLOCK, BELOW, &mut bytes);
    assert!(matches!(refused, Err(EncodeError::AboveVersion { since: LINK_NEXT, .. })), "{refused:?}");
    encode(&CLOCK, LINK_NEXT, &mut bytes).unwrap();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    expect_file!["golden/next/link.hex"].assert_eq(&format!("clock: {hex}\n"));
    assert_eq!(decode(&bytes, LINK_NEXT), Ok(Some((CLOCK, bytes.len()))));
    assert!(matches!(decode(&bytes, BELOW), Err(FrameError::AboveVersion { .. })));
}

#[test]
fn with_the_release_before_its_version_is_spoken() {
    assert_eq!(LINK_VERSIONS.common(LinkVersions::new(1, BELOW.0)), Some(BELOW));
    assert_eq!(LINK_VERSIONS.common(LINK_VERSIONS), Some(LINK_NEXT));
}
