//! What a file says of itself as it passes: whether it is whole, and the manifest in its stamp section.
//!
//! Whoever stages, receives, fetches or starts an artifact reads it through here, so that all refuse the same files by
//! the same names.
//!
//! *Invariant:* memory does not grow with the file.

use crate::elf::ElfExtent;
use crate::stamp::{Manifest, STAMP_LEN, Stamp, StampError};

/// The longest binary that is taken. None of ours comes near it, unstripped ones included; without a limit a wrong size
/// fills the disk.
pub const MAX_ARTIFACT_BYTES: u64 = 1 << 30;

/// Why a file is no release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    #[error("the file is empty")]
    Empty,
    #[error("the file is cut: its headers speak of {claimed_bytes} bytes, and it has {present_bytes}")]
    Cut { claimed_bytes: u64, present_bytes: u64 },
    #[error(transparent)]
    Stamp(#[from] StampError),
}

/// Reads a file in chunks of any length.
#[derive(Debug, Default)]
pub struct BinaryReader {
    size_bytes: u64,
    extent: ElfExtent,
    scanner: StampScanner,
}

impl BinaryReader {
    /// The next bytes of the file.
    pub fn feed(&mut self, chunk: &[u8]) {
        self.size_bytes += chunk.len() as u64;
        self.extent.feed(chunk);
        self.scanner.feed(chunk);
    }

    /// The file has ended.
    ///
    /// # Errors
    /// Why it is no release. A cut one is called so, also if its stamp went with what is missing.
    pub fn finish(self) -> Result<Manifest, BinaryError> {
        let BinaryReader { size_bytes, extent, scanner } = self;
        let claimed_bytes = extent.claimed_bytes();
        if size_bytes == 0 {
            return Err(BinaryError::Empty);
        }
        if claimed_bytes > size_bytes {
            return Err(BinaryError::Cut { claimed_bytes, present_bytes: size_bytes });
        }
        Ok(scanner.finish()?)
    }
}

/// Finds the stamp in a stream of chunks.
#[derive(Debug, Default)]
struct StampScanner {
    window: Vec<u8>,
    found: Option<Stamp>,
    count: usize,
}

impl StampScanner {
    fn feed(&mut self, chunk: &[u8]) {
        self.window.extend_from_slice(chunk);
        for at in Stamp::positions(&self.window) {
            // One that goes on in the next chunk is carried over whole.
            if let Ok(stamp) = Stamp::at(&self.window[at..]) {
                self.found = Some(stamp);
                self.count += 1;
            }
        }
        // One byte less than a stamp: what is carried over holds no whole stamp, so none counts twice.
        let carried = self.window.len().min(STAMP_LEN - 1);
        self.window.drain(..self.window.len() - carried);
    }

    fn finish(self) -> Result<Manifest, StampError> {
        let cut = Stamp::positions(&self.window).first().copied();
        match (self.count, self.found, cut) {
            (1, Some(stamp), None) => stamp.manifest(),
            (0, _, Some(at)) => Err(StampError::Cut { present: self.window.len() - at }),
            (0, _, None) | (1, None, _) => Err(StampError::Missing),
            (count, _, cut) => Err(StampError::Several { count: count + usize::from(cut.is_some()) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::testing::executable;
    use crate::{LevelRange, WireRange};

    fn manifest_of(version: &str) -> Manifest {
        Manifest {
            version: version.parse().unwrap(),
            levels: LevelRange::new(1, 1),
            launcher_protocol: WireRange { min: 1, max: 1 },
            min_from: None,
            critical: Vec::new(),
        }
    }

    fn binary(stamps: &[&str]) -> Vec<u8> {
        let mut bytes = vec![1; 200];
        for stamp in stamps {
            bytes.extend(Stamp::of(&manifest_of(stamp)).unwrap().0);
            bytes.extend([2; 150]);
        }
        bytes
    }

    fn read(bytes: &[u8], step: usize) -> Result<Manifest, BinaryError> {
        let mut reader = BinaryReader::default();
        bytes.chunks(step).for_each(|chunk| reader.feed(chunk));
        reader.finish()
    }

    /// Around the length of a stamp the carrying over is at its edges.
    const STEPS: [usize; 7] = [1, 7, STAMP_LEN - 1, STAMP_LEN, STAMP_LEN + 1, 1500, 100_000];

    #[test]
    fn a_stamp_is_found_wherever_a_chunk_ends() {
        for step in STEPS {
            assert_eq!(read(&binary(&["1.2.3"]), step), Ok(manifest_of("1.2.3")), "chunks of {step}");
        }
    }

    #[test]
    fn two_stamps_are_refused_wherever_a_chunk_ends() {
        let bytes = binary(&["1.2.3", "1.2.4"]);
        for step in STEPS {
            let refused = Err(StampError::Several { count: 2 }.into());
            assert_eq!(read(&bytes, step), refused, "chunks of {step}");
        }
    }

    #[test]
    fn a_stamp_that_is_cut_off_is_no_stamp_wherever_a_chunk_ends() {
        let mut bytes = binary(&["1.2.3"]);
        bytes.truncate(200 + 500);
        let mut second = binary(&["1.2.3", "1.2.4"]);
        second.truncate(200 + STAMP_LEN + 150 + 500);
        for step in STEPS {
            let cut = Err(StampError::Cut { present: 500 }.into());
            assert_eq!(read(&bytes, step), cut, "chunks of {step}");
            let several = Err(StampError::Several { count: 2 }.into());
            assert_eq!(read(&second, step), several, "chunks of {step}");
        }
    }

    #[test]
    fn a_cut_executable_is_called_so_wherever_it_ends() {
        let whole = executable(&binary(&["1.2.3"]));
        assert_eq!(read(&whole, 1500), Ok(manifest_of("1.2.3")));
        for len in [4, 63, 64, 100, 500, 1000, whole.len() - 200, whole.len() - 1] {
            let cut = read(&whole[..len], 1500);
            let present_bytes = len as u64;
            assert!(
                matches!(cut, Err(BinaryError::Cut { present_bytes: found, .. }) if found == present_bytes),
                "{len}: {cut:?}"
            );
        }
    }

    #[test]
    fn an_empty_file_is_called_so() {
        assert_eq!(read(b"", 1), Err(BinaryError::Empty));
    }
}
