//! The `state` file: one line that names the format and the checksum, one line of JSON.
//!
//! ```text
//! ironcache-state 1 crc32 89abcdef
//! {"phase":{"phase":"idle",…
//! ```
//!
//! *Invariant:* written tmp → fsync → rename → fsync(dir): a reader meets the old state or the new
//! one, whole, whatever moment the writer died at.
//! *Invariant:* what does not pass its checksum is never interpreted; it is set aside for people.

use crate::data_dir::DataDir;
use crate::state::State;
use ironcache_store::{DiskError, at, replace_durably, sync_dir};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The format that this build writes, and the newest that it reads.
const FORMAT: u32 = 1;
const MAGIC: &str = "ironcache-state";

#[derive(Clone, Debug)]
pub struct StateFile {
    dir: DataDir,
}

/// What a `state` file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadState {
    Present(Box<State>),
    Missing,
    Corrupt { problem: String },
}

#[derive(Debug, thiserror::Error)]
pub enum StateReadError {
    #[error(
        "{} has format {format} and this release reads up to {FORMAT}: a newer release wrote it; start that release's launcher",
        path.display()
    )]
    Newer { path: PathBuf, format: u32 },
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StateFile {
    pub fn new(dir: &DataDir) -> Self {
        StateFile { dir: dir.clone() }
    }

    fn path(&self) -> PathBuf {
        self.dir.root().join("state")
    }

    pub fn read(&self) -> Result<ReadState, StateReadError> {
        let path = self.path();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(ReadState::Missing),
            Err(error) => return Err(at("read", &path)(error).into()),
        };
        match decode(&bytes) {
            Ok(state) => Ok(ReadState::Present(Box::new(state))),
            Err(DecodeError::Newer { format }) => Err(StateReadError::Newer { path, format }),
            Err(DecodeError::Corrupt { problem }) => Ok(ReadState::Corrupt { problem: problem.to_owned() }),
        }
    }

    /// Returns once `state` is durable. After an error either state may be on the disk.
    pub fn write(&self, state: &State) -> Result<(), DiskError> {
        replace_durably(&self.path(), encode(state).as_bytes())
    }

    /// Moves a corrupt `state` to the first free `state.corrupt-<n>`.
    pub(crate) fn set_aside(&self) -> Result<PathBuf, DiskError> {
        let path = self.path();
        let aside = (1u32..)
            .map(|n| self.dir.root().join(format!("{ASIDE_PREFIX}{n}")))
            .find(|aside| !aside.exists())
            .expect("a directory has fewer than 2^32 files");
        fs::rename(&path, &aside).map_err(at("set aside", &path))?;
        sync_dir(self.dir.root())?;
        Ok(aside)
    }

    /// A corrupt state that nobody has looked at yet.
    pub(crate) fn aside(&self) -> Result<Option<PathBuf>, DiskError> {
        let root = self.dir.root();
        let mut found = Vec::new();
        for entry in fs::read_dir(root).map_err(at("list", root))? {
            let entry = entry.map_err(at("list", root))?;
            if entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE_PREFIX)) {
                found.push(entry.path());
            }
        }
        Ok(found.into_iter().min())
    }
}

const ASIDE_PREFIX: &str = "state.corrupt-";

fn encode(state: &State) -> String {
    let json = serde_json::to_string(state).expect("a State has only string keys and finite numbers");
    format!("{MAGIC} {FORMAT} crc32 {:08x}\n{json}\n", crc32fast::hash(json.as_bytes()))
}

enum DecodeError {
    Newer { format: u32 },
    Corrupt { problem: &'static str },
}

fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
    let corrupt = |problem| DecodeError::Corrupt { problem };
    let text = std::str::from_utf8(bytes).map_err(|_| corrupt("it is not text"))?;
    let (head, body) = text.split_once('\n').ok_or(corrupt("it ends within its first line"))?;
    let fields: Vec<&str> = head.split(' ').collect();
    let [MAGIC, format, rest @ ..] = &fields[..] else {
        return Err(corrupt("it does not start as a state file does"));
    };
    let format: u32 = format.parse().map_err(|_| corrupt("its format number is not a number"))?;
    if format == 0 {
        return Err(corrupt("its format number is zero"));
    }
    if format > FORMAT {
        return Err(DecodeError::Newer { format });
    }
    let ["crc32", crc] = rest else {
        return Err(corrupt("its first line does not name a checksum"));
    };
    let json = body.strip_suffix('\n').ok_or(corrupt("its last line is cut off"))?;
    if *crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
        return Err(corrupt("its checksum does not match"));
    }
    serde_json::from_str(json).map_err(|_| corrupt("it passes its checksum and is no state"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::StepRef;
    use crate::state::Event;
    use ironcache_types::{Digest, Epoch, PlanId, Release, Version};

    fn release(n: u8) -> Release {
        Release { version: Version::new(0, n.into(), 0), digest: Digest([n; 32]) }
    }

    fn on_trial() -> State {
        let step = StepRef { plan: PlanId(3), epoch: Epoch(41) };
        let activate = Event::Activate {
            release: release(2),
            step,
            attempts_max: 3,
            confirm_timeout_ms: 60_000,
            now_unix_ms: 1_700_000_000_000,
        };
        State::new(release(1)).on(&activate).unwrap().on(&Event::AttemptStarts).unwrap()
    }

    fn file() -> (tempfile::TempDir, StateFile) {
        let temp = tempfile::tempdir().unwrap();
        let file = StateFile::new(&DataDir::new(temp.path()));
        (temp, file)
    }

    #[test]
    fn what_was_written_is_read() {
        let (_temp, file) = file();
        assert_eq!(file.read().unwrap(), ReadState::Missing);
        let rolling_back = on_trial().on(&Event::DeadlineMissed).unwrap();
        for state in [State::new(release(1)), on_trial(), rolling_back] {
            file.write(&state).unwrap();
            assert_eq!(file.read().unwrap(), ReadState::Present(Box::new(state)));
        }
    }

    /// This file never changes: each later release reads it.
    #[test]
    fn the_first_format_stays_readable() {
        let golden = include_bytes!("../tests/golden/state-1");
        assert_eq!(encode(&on_trial()).as_bytes(), golden);
        assert!(decode(golden).is_ok_and(|state| state == on_trial()));
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let good = encode(&on_trial()).into_bytes();
        for len in 0..good.len() {
            assert!(decode(&good[..len]).is_err(), "cut to {len} bytes");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(decode(&bytes).is_err(), "bit {bit} of byte {at} flipped");
            }
        }
    }

    #[test]
    fn a_torn_temporary_file_is_not_the_state() {
        let (temp, file) = file();
        file.write(&State::new(release(1))).unwrap();
        fs::write(temp.path().join("state.tmp"), &encode(&on_trial()).as_bytes()[..30]).unwrap();
        assert_eq!(file.read().unwrap(), ReadState::Present(Box::new(State::new(release(1)))));
        file.write(&on_trial()).unwrap();
        assert_eq!(file.read().unwrap(), ReadState::Present(Box::new(on_trial())));
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let (temp, file) = file();
        let path = temp.path().join("state");
        fs::write(&path, "ironcache-state 2 whatever the future needs\n{}\n").unwrap();
        assert!(matches!(file.read(), Err(StateReadError::Newer { format: 2, .. })));
        assert!(path.exists());
    }
}
