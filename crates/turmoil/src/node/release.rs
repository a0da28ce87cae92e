//! The two releases of this world: each a file with the stamp of a release in it, and bytes around it.
//!
//! What runs in both is this build: formats of two levels are the trains' (docs/train.md). What differs is what nodes, log
//! and launchers tell releases apart by: version and digest.

use ironcache_formats::levels;
use ironcache_spine::{LAUNCHER_PROTOCOL, inspect};
use ironcache_types::{Manifest, Release, Stamp, Version};

/// Some messages long on its way from node to node.
const FILLER_LEN: usize = 20_000;

#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub release: Release,
    pub bytes: Vec<u8>,
}

/// What the cluster begins with.
pub(crate) fn first() -> Built {
    build(Version::new(0, 1, 0))
}

pub(crate) fn second() -> Built {
    build(Version::new(0, 2, 0))
}

fn build(version: Version) -> Built {
    let manifest = Manifest {
        version,
        levels: levels::RANGE,
        launcher_protocol: LAUNCHER_PROTOCOL,
        min_from: None,
        critical: Vec::new(),
    };
    let stamp = Stamp::of(&manifest).expect("a manifest of a few words fits");
    let bytes = [&[0x90; FILLER_LEN][..], &stamp.0].concat();
    let artifact = inspect(&mut &bytes[..]).expect("memory can be read").artifact();
    Built { release: artifact.expect("it was stamped a moment ago").release, bytes }
}
