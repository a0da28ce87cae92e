//! Which binary a starting launcher runs.
//!
//! *Invariant:* what `state` says. Without it: the only verified slot; without any slot and without
//! a trace of a former state: the launcher's own binary. Nothing is guessed among several.

use crate::artifact::ArtifactError;
use crate::data_dir::DataDir;
use crate::slot_store::SlotStore;
use crate::state::State;
use crate::state_file::{ReadState, StateFile, StateReadError};
use ironcache_store::DiskError;
use ironcache_types::Release;
use std::path::{Path, PathBuf};

/// What a launcher starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    pub state: State,
    /// Why upgrades are refused, for as long as they are.
    pub degraded: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum BootError {
    #[error(
        "the state was lost ({}) and {} slots hold a valid binary ({}): move all but the one to run out of {}, and start again",
        lost.as_deref().map_or_else(|| "no state file".to_owned(), |path| path.display().to_string()),
        found.len(),
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        slots.display()
    )]
    SeveralBinaries { lost: Option<PathBuf>, found: Vec<Release>, slots: PathBuf },
    #[error(
        "the state was lost ({}) and no slot in {} holds a valid binary: put one back, or remove {} to run the launcher's own binary",
        lost.display(), slots.display(), lost.display()
    )]
    NoBinary { lost: PathBuf, slots: PathBuf },
    #[error("the launcher's own binary cannot be installed")]
    Install(#[from] ArtifactError),
    #[error(transparent)]
    State(#[from] StateReadError),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Finds the state to start from, and makes it durable. Only under the data directory's lock.
/// `own_exe` is what a first start installs.
pub fn boot(dir: &DataDir, store: &SlotStore, own_exe: &Path) -> Result<Boot, BootError> {
    store.remove_abandoned_copies()?;
    let file = StateFile::new(dir);
    let present = match file.read()? {
        ReadState::Present(state) => Some(*state),
        ReadState::Missing => None,
        ReadState::Corrupt { problem } => {
            let aside = file.set_aside()?;
            tracing::error!(%problem, aside = %aside.display(), "the state file is corrupt and was set aside");
            None
        }
    };
    let aside = file.aside()?;
    let state = match present {
        Some(state) => state,
        None => {
            let state = State::new(only_binary(dir, store, own_exe, aside.as_deref())?);
            file.write(&state)?;
            state
        }
    };
    let degraded = aside.map(|aside| {
        format!(
            "the state file was corrupt and was set aside as {}: upgrades are refused until that file is removed and the node restarted",
            aside.display()
        )
    });
    Ok(Boot { state, degraded })
}

fn only_binary(
    dir: &DataDir,
    store: &SlotStore,
    own_exe: &Path,
    lost: Option<&Path>,
) -> Result<Release, BootError> {
    let mut found = store.verified()?;
    match (found.len(), lost) {
        (0, None) => Ok(store.install_file(own_exe)?.release),
        (0, Some(lost)) => Err(BootError::NoBinary { lost: lost.to_owned(), slots: dir.slots() }),
        (1, _) => Ok(found.remove(0)),
        (_, lost) => {
            Err(BootError::SeveralBinaries { lost: lost.map(Path::to_owned), found, slots: dir.slots() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binary::testing::stamped;
    use std::fs;

    struct Fixture {
        temp: tempfile::TempDir,
        dir: DataDir,
        store: SlotStore,
    }

    impl Fixture {
        fn new() -> Self {
            let temp = tempfile::tempdir().unwrap();
            let dir = DataDir::new(temp.path().join("data"));
            let store = SlotStore::open(&dir).unwrap();
            Fixture { temp, dir, store }
        }

        fn executable(&self, version: &str) -> PathBuf {
            let path = self.temp.path().join(version);
            fs::write(&path, stamped(version)).unwrap();
            path
        }

        fn boot(&self) -> Result<Boot, BootError> {
            boot(&self.dir, &self.store, &self.executable("9.0.0"))
        }

        fn tear_state(&self) {
            fs::write(self.dir.root().join("state"), "ironcache-state 1 crc32 0000").unwrap();
        }
    }

    #[test]
    fn a_first_start_installs_the_own_binary() {
        let fixture = Fixture::new();
        let boot = fixture.boot().unwrap();
        assert_eq!(boot.state.to_run().version.to_string(), "9.0.0");
        assert_eq!(boot.degraded, None);
        assert_eq!(fixture.boot().unwrap(), boot);
    }

    #[test]
    fn the_state_outranks_the_own_binary() {
        let fixture = Fixture::new();
        let release = fixture.store.install_file(&fixture.executable("1.0.0")).unwrap().release;
        StateFile::new(&fixture.dir).write(&State::new(release.clone())).unwrap();
        assert_eq!(*fixture.boot().unwrap().state.to_run(), release);
        assert_eq!(fixture.store.list().unwrap(), [release.digest]);
    }

    #[test]
    fn an_install_killed_before_its_state_was_written_is_completed() {
        let fixture = Fixture::new();
        let release = fixture.store.install_file(&fixture.executable("9.0.0")).unwrap().release;
        fs::write(fixture.dir.staged().join("copy-77-0.part"), "half a copy").unwrap();
        let boot = fixture.boot().unwrap();
        assert_eq!((boot.state, boot.degraded), (State::new(release), None));
    }

    #[test]
    fn a_corrupt_state_runs_the_only_valid_slot_and_refuses_upgrades() {
        let fixture = Fixture::new();
        let release = fixture.store.install_file(&fixture.executable("1.0.0")).unwrap().release;
        let altered = fixture.store.install_file(&fixture.executable("1.1.0")).unwrap().release;
        fs::write(fixture.dir.binary(&altered.digest), "altered").unwrap();
        fixture.tear_state();
        let first = fixture.boot().unwrap();
        assert_eq!(*first.state.to_run(), release);
        assert!(first.degraded.as_ref().unwrap().contains("state.corrupt-1"));
        assert_eq!(fixture.boot().unwrap(), first, "a restart does not lift it");
        fs::remove_file(fixture.dir.root().join("state.corrupt-1")).unwrap();
        assert_eq!(fixture.boot().unwrap().degraded, None);
    }

    #[test]
    fn a_corrupt_state_with_several_valid_slots_is_not_guessed() {
        let fixture = Fixture::new();
        fixture.store.install_file(&fixture.executable("1.0.0")).unwrap();
        fixture.store.install_file(&fixture.executable("1.1.0")).unwrap();
        fixture.tear_state();
        for _ in 0..2 {
            let error = fixture.boot().unwrap_err();
            assert!(
                matches!(&error, BootError::SeveralBinaries { found, .. } if found.len() == 2),
                "{error}"
            );
        }
    }

    #[test]
    fn a_corrupt_state_without_a_valid_slot_is_not_guessed() {
        let fixture = Fixture::new();
        fixture.tear_state();
        for _ in 0..2 {
            assert!(matches!(fixture.boot(), Err(BootError::NoBinary { .. })));
        }
    }

    #[test]
    fn each_corrupt_state_is_kept() {
        let fixture = Fixture::new();
        fixture.store.install_file(&fixture.executable("1.0.0")).unwrap();
        for n in 1..=2 {
            fixture.tear_state();
            fixture.boot().unwrap();
            assert!(fixture.dir.root().join(format!("state.corrupt-{n}")).exists());
        }
    }
}
