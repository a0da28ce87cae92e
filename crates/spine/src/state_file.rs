//! The `state` file: three frozen lines that every launcher reads, and the state itself as JSON.
//!
//! ```text
//! ironcache-state 1 crc32 89abcdef
//! run 0202020202020202020202020202020202020202020202020202020202020202
//! launcher 0101010101010101010101010101010101010101010101010101010101010101
//! {"phase":{"phase":"idle",…
//! ```
//! Frozen for ever, byte by byte: a launcher of any release, the image's after a pod was restarted say, reads these lines
//! before anything else and makes way for the launcher that they name. Text is ASCII, a line ends with one `\n`.
//!
//! | line | bytes |
//! | --- | --- |
//! | 1 | `ironcache-state `, the format in decimal without leading zeros (1 to 4294967295), ` crc32 `, eight lowercase hex digits |
//! | 2 | `run `, 64 lowercase hex digits: the sha256 of the slot whose daemon is to run |
//! | 3 | `launcher `, 64 lowercase hex digits: the sha256 of the slot whose launcher is to run |
//! | rest | at least one byte, the last one `\n`; in format 1 one line of strict JSON, a [`State`] |
//!
//! The digits are the CRC-32 (IEEE) of the file without them: of `ironcache-state 1 crc32 ` and of everything from the end
//! of the first line on. The format is that of the rest only. A slot is `slots/<sha256>/ironcache`.
//!
//! Whoever writes has to write a format that the launcher it names reads.
//!
//! *Invariant:* a reader meets the old state or the new one, whole, whatever moment the writer died at.
//! *Invariant:* what does not pass its checksum is never interpreted; it is set aside for people.
//! *Invariant:* lines 2 and 3 say what the JSON says; they are written from it.

use crate::data_dir::DataDir;
use crate::state::State;
use ironcache_store::disk;
use ironcache_store::{DiskError, at, read_durably, rename_durably, replace_durably};
use ironcache_types::Digest;
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

/// What the frozen lines of a whole `state` file say, whatever the format of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHead {
    pub format: u32,
    /// The slot whose daemon is to run.
    pub run: Digest,
    /// The slot whose launcher is to run.
    pub launcher: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum StateReadError {
    #[error(
        "{} has format {format} and this release reads up to {FORMAT}: a newer release wrote it; start the launcher of slot {}",
        path.display(), launcher.short()
    )]
    Newer { path: PathBuf, format: u32, launcher: Digest },
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

    fn bytes(&self) -> Result<Option<Vec<u8>>, DiskError> {
        read_durably(&self.path())
    }

    pub fn read(&self) -> Result<ReadState, StateReadError> {
        let Some(bytes) = self.bytes()? else { return Ok(ReadState::Missing) };
        match decode(&bytes) {
            Ok(state) => Ok(ReadState::Present(Box::new(state))),
            Err(DecodeError::Newer(StateHead { format, launcher, .. })) => {
                Err(StateReadError::Newer { path: self.path(), format, launcher })
            }
            Err(DecodeError::Corrupt { problem }) => Ok(ReadState::Corrupt { problem: problem.to_owned() }),
        }
    }

    /// The frozen lines, of a file in any format; `None` if there is no whole file.
    pub fn head(&self) -> Result<Option<StateHead>, DiskError> {
        Ok(self.bytes()?.and_then(|bytes| Some(split(&bytes).ok()?.0)))
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
            .find(|aside| !disk::exists(aside).unwrap_or(false))
            .expect("a directory has fewer than 2^32 files");
        rename_durably(&path, &aside)?;
        Ok(aside)
    }

    /// A corrupt state that nobody has looked at yet.
    pub(crate) fn aside(&self) -> Result<Option<PathBuf>, DiskError> {
        let root = self.dir.root();
        let mut found = Vec::new();
        for entry in disk::read_dir(root).map_err(at("list", root))? {
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
    let head = StateHead { format: FORMAT, run: state.to_run().digest, launcher: state.launcher };
    assemble(head, &json)
}

/// The file of a `head` and of the `rest`, a newline after it.
fn assemble(head: StateHead, rest: &str) -> String {
    let StateHead { format, run, launcher } = head;
    let before = format!("{MAGIC} {format} crc32 ");
    let after = format!("\nrun {run}\nlauncher {launcher}\n{rest}\n");
    let crc = crc_of(&before, &after);
    format!("{before}{crc}{after}")
}

fn crc_of(before: &str, after: &str) -> String {
    let mut crc = crc32fast::Hasher::new();
    crc.update(before.as_bytes());
    crc.update(after.as_bytes());
    format!("{:08x}", crc.finalize())
}

enum DecodeError {
    Newer(StateHead),
    Corrupt { problem: &'static str },
}

fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
    let corrupt = |problem| DecodeError::Corrupt { problem };
    let (head, rest) = split(bytes).map_err(corrupt)?;
    if head.format > FORMAT {
        return Err(DecodeError::Newer(head));
    }
    let json = rest.strip_suffix('\n').ok_or(corrupt("its last line is cut off"))?;
    let state: State =
        serde_json::from_str(json).map_err(|_| corrupt("it passes its checksum and is no state"))?;
    if (state.to_run().digest, state.launcher) != (head.run, head.launcher) {
        return Err(corrupt("its first lines and its state name different slots"));
    }
    Ok(state)
}

/// The frozen lines and the rest, of a file in any format.
fn split(bytes: &[u8]) -> Result<(StateHead, &str), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let end = text.find('\n').ok_or("it ends within its first line")?;
    let fields: Vec<&str> = text[..end].split(' ').collect();
    let [MAGIC, number, "crc32", crc] = fields[..] else {
        return Err("it does not start as a state file does");
    };
    if crc.len() != 8 || crc != crc_of(&text[..end - crc.len()], &text[end..]) {
        return Err("its checksum does not match");
    }
    let format: u32 = number.parse().map_err(|_| "its format number is not a number")?;
    if format == 0 || number != format.to_string() {
        return Err("its format number is none");
    }
    let after = &text[end + 1..];
    let (run, after) = after.split_once('\n').ok_or("it ends within its second line")?;
    let (launcher, rest) = after.split_once('\n').ok_or("it ends within its third line")?;
    let run = slot(run, "run ").ok_or("its second line names no slot to run")?;
    let launcher = slot(launcher, "launcher ").ok_or("its third line names no slot of the launcher")?;
    Ok((StateHead { format, run, launcher }, rest))
}

fn slot(line: &str, word: &str) -> Option<Digest> {
    let hex = line.strip_prefix(word)?;
    hex.parse().ok().filter(|digest: &Digest| digest.to_string() == hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::StepRef;
    use crate::state::Event;
    use ironcache_types::{Epoch, PlanId, Release, Version};
    use std::fs;

    fn release(n: u8) -> Release {
        Release { version: Version::new(0, n.into(), 0), digest: Digest([n; 32]) }
    }

    fn on_trial() -> State {
        let step = StepRef { plan: PlanId(3), epoch: Epoch(41) };
        let activate =
            Event::Activate { release: release(2), step, attempts_max: 3, confirm_timeout_ms: 60_000 };
        State::new(release(1))
            .on(&activate)
            .unwrap()
            .on(&Event::AttemptStarts { now_unix_ms: 1_700_000_000_000 })
            .unwrap()
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

    #[test]
    fn the_frozen_lines_name_the_slots_to_run() {
        let (_temp, file) = file();
        assert_eq!(file.head().unwrap(), None);
        file.write(&on_trial()).unwrap();
        let head = StateHead { format: 1, run: release(2).digest, launcher: release(1).digest };
        assert_eq!(file.head().unwrap(), Some(head));
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
        let is_corrupt = |bytes: &[u8]| matches!(decode(bytes), Err(DecodeError::Corrupt { .. }));
        for len in 0..good.len() {
            assert!(is_corrupt(&good[..len]), "cut to {len} bytes");
        }
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bytes = good.clone();
                bytes[at] ^= 1 << bit;
                assert!(is_corrupt(&bytes), "bit {bit} of byte {at} flipped");
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
    fn a_newer_format_is_refused_and_left_alone_and_its_frozen_lines_are_read() {
        let (temp, file) = file();
        let path = temp.path().join("state");
        let head = StateHead { format: 2, run: Digest([2; 32]), launcher: Digest([3; 32]) };
        fs::write(&path, assemble(head, "whatever the future\nneeds")).unwrap();
        assert!(
            matches!(file.read(), Err(StateReadError::Newer { format: 2, launcher, .. }) if launcher == head.launcher)
        );
        assert_eq!(file.head().unwrap(), Some(head));
        assert!(path.exists());
    }

    #[test]
    fn lines_that_disagree_with_the_state_are_corrupt() {
        let json = serde_json::to_string(&on_trial()).unwrap();
        let right = StateHead { format: 1, run: release(2).digest, launcher: release(1).digest };
        assert!(decode(assemble(right, &json).as_bytes()).is_ok());
        for wrong in [StateHead { run: right.launcher, ..right }, StateHead { launcher: right.run, ..right }]
        {
            assert!(decode(assemble(wrong, &json).as_bytes()).is_err());
        }
    }

    /// The checksum as a launcher would have written it.
    fn reseal(bytes: &mut Vec<u8>) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        let Some((first, after)) = text.split_once('\n') else { return };
        let Some((before, _)) = first.rsplit_once(' ') else { return };
        let (before, after) = (format!("{before} "), format!("\n{after}"));
        *bytes = format!("{before}{}{after}", crc_of(&before, &after)).into_bytes();
    }

    #[test]
    fn fuzz_states_are_written_as_they_were_read() {
        let rolling_back = on_trial().on(&Event::DeadlineMissed).unwrap();
        let states = [State::new(release(1)), on_trial(), rolling_back].map(|state| encode(&state));
        ironcache_fuzz::Campaign::of("the launcher's state").from(states).rewritten(reseal).run(|bytes| {
            let read = decode(bytes);
            if let Ok(state) = &read {
                drop(state.needs());
                assert!(decode(encode(state).as_bytes()).is_ok_and(|again| again == *state));
            }
            match read {
                Ok(state) => format!("{:?}", std::mem::discriminant(&state.phase)),
                Err(DecodeError::Newer(_)) => "newer".to_owned(),
                Err(DecodeError::Corrupt { problem }) => problem.to_owned(),
            }
        });
    }
}
