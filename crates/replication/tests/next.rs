//! The message of the feature `next`.
#![cfg(feature = "next")]

use expect_test::expect_file;
use ironcache_replication::{
    EncodeError, FrameError, LINK_VERSIONS, LinkVersion, LinkVersions, Message, decode, encode,
};

const CLOCK: Message<'static> = Message::Clock { unix_ms: 1_700_000_000_123 };

#[test]
fn it_is_said_at_version_2_and_never_at_version_1() {
    let mut bytes = Vec::new();
    let refused = encode(&CLOCK, LinkVersion(1), &mut bytes);
    assert!(matches!(refused, Err(EncodeError::AboveVersion { since: LinkVersion(2), .. })), "{refused:?}");
    encode(&CLOCK, LinkVersion(2), &mut bytes).unwrap();
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    expect_file!["golden/next/link.hex"].assert_eq(&format!("clock: {hex}\n"));
    assert_eq!(decode(&bytes, LinkVersion(2)), Ok(Some((CLOCK, bytes.len()))));
    assert!(matches!(decode(&bytes, LinkVersion(1)), Err(FrameError::AboveVersion { .. })));
}

#[test]
fn with_the_release_before_version_1_is_spoken() {
    assert_eq!(LINK_VERSIONS.common(LinkVersions::new(1, 1)), Some(LinkVersion(1)));
    assert_eq!(LINK_VERSIONS.common(LINK_VERSIONS), Some(LinkVersion(2)));
}
