//! What the commands know of the binary that they are part of.

use ironcache_types::Version;

/// Handed in by the binary: nothing in this crate can ask it.
#[derive(Clone, Debug)]
pub struct Program {
    /// What the running binary says of itself.
    pub version: Version,
    /// Variables by which a launcher speaks to its daemon: nodes that are started here must not inherit them.
    pub private_variables: &'static [&'static str],
}

impl Program {
    /// The version after this one: the next minor one.
    pub fn next_version(&self) -> Version {
        Version::new(self.version.major, self.version.minor + 1, 0)
    }
}
