//! What every part that keeps files shares: the disk and the clock, the one durable replace, the one durable read, and the
//! file `level`.
//!
//! *Invariant:* no async runtime and no network: the launcher stands on this.

pub mod clock;
pub mod disk;
mod disk_error;
mod level_file;
mod read;
mod replace;
#[cfg(turmoil)]
pub mod simulated;

pub use disk_error::{DiskError, at};
pub use level_file::{LevelError, LevelFile};
pub use read::read_durably;
pub use replace::{
    publish, publish_new, remove_durably, rename_durably, replace_durably, replace_keeping_mode, sync_dir,
    sync_parent,
};
