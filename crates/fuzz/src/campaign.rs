//! One target's run: input by input, each judged.

use crate::dice::Dice;
use crate::memory::{live_bytes, peak_of};
use crate::mutator::Mutator;
use rustix::time::{ClockId, clock_gettime};
use std::collections::{BTreeSet, HashSet};
use std::fmt::{Debug, Write};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

/// What `cargo test` tries of each target: it costs a fraction of a second, and is the same every time.
const INPUTS: u64 = 3_000;
/// How long each target goes on instead.
const SECONDS: &str = "FUZZ_SECONDS";
/// Another sequence of inputs; a failure says which.
const SEED: &str = "FUZZ_SEED";
/// Processor time of one input of 64 KiB at most, in a debug build. What is quadratic there takes minutes.
const CPU_MAX: Duration = Duration::from_secs(3);
/// Inputs that are remembered for their outcome. More, and those that were given are hardly chosen any more.
const LEARNED_MAX: usize = 512;
/// For what a parser keeps by itself: tables, the first buffers, the text of an error.
const FIXED_BYTES: usize = 256 << 10;
/// A list of empty elements costs a byte each on the wire, and some words each in memory; text that is decoded grows too.
const PER_BYTE: usize = 64;

/// Makes the checksums of an input right again.
type Reseal = Box<dyn Fn(&mut Vec<u8>)>;

/// One parser, and what it is tried with.
pub struct Campaign {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    reseal: Option<Reseal>,
    fixed_bytes: usize,
    inputs: u64,
}

impl Campaign {
    /// `name` is shown with a failure.
    pub fn of(name: &'static str) -> Self {
        let (corpus, words) = (Vec::new(), Vec::new());
        Self { name, corpus, words, reseal: None, fixed_bytes: FIXED_BYTES, inputs: INPUTS }
    }

    /// Inputs to begin with: valid ones, and one of each kind.
    pub fn from<B: Into<Vec<u8>>>(mut self, inputs: impl IntoIterator<Item = B>) -> Self {
        self.corpus.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// Pieces that mean something to the parser.
    pub fn words<B: AsRef<[u8]>>(mut self, words: impl IntoIterator<Item = B>) -> Self {
        self.words.extend(words.into_iter().map(|word| word.as_ref().to_vec()));
        self
    }

    /// Makes the checksums right again. Half of all inputs are resealed: so what lies behind a checksum is reached,
    /// and so is the checksum.
    pub fn resealed(self, reseal: impl Fn(&mut [u8]) + 'static) -> Self {
        self.rewritten(move |bytes| reseal(bytes))
    }

    /// As [`Self::resealed`], for a checksum that is text: the right one may be longer than the one that stands there.
    pub fn rewritten(mut self, reseal: impl Fn(&mut Vec<u8>) + 'static) -> Self {
        self.reseal = Some(Box::new(reseal));
        self
    }

    /// The parser keeps more by itself than most do.
    pub fn keeps(mut self, bytes: usize) -> Self {
        self.fixed_bytes = bytes;
        self
    }

    /// The parser makes much for each input: `cargo test` tries a tenth of what it tries of others.
    pub fn costly(mut self) -> Self {
        self.inputs /= 10;
        self
    }

    /// Hands inputs to `parse`, until the number or the time is up. What it returns is the outcome by which an input is
    /// remembered; numbers in it do not count, but for those of `std::mem::discriminant`.
    ///
    /// # Panics
    /// At the first input that the parser panics at, takes too much memory or time for, or loses memory by.
    pub fn run<R: Debug>(self, mut parse: impl FnMut(&[u8]) -> R) {
        let seed = variable(SEED).unwrap_or(0);
        let until = variable::<f64>(SECONDS).map(|s| Instant::now() + Duration::from_secs_f64(s));
        for valid in &self.corpus {
            self.judge(seed, "a valid input", valid, &mut parse);
        }
        let mut mutator = Mutator::new(self.corpus.clone(), self.words.clone());
        let (mut outcomes, mut learned, mut input) = (BTreeSet::new(), HashSet::new(), 0);
        let before = live_bytes();
        while until.map_or(input < self.inputs, |until| Instant::now() < until) {
            // Each from a seed of its own: the corpus is the only thing that inputs hand on.
            let mut dice = Dice::new(seed ^ u64::wrapping_mul(input, 0xD134_2543_DE82_EF95));
            let mut bytes = mutator.next(&mut dice);
            if let Some(reseal) = self.reseal.as_ref().filter(|_| dice.once_in(2)) {
                reseal(&mut bytes);
            }
            let outcome = self.judge(seed, &format!("input {input}"), &bytes, &mut parse);
            if mutator.corpus().len() < self.corpus.len() + LEARNED_MAX
                && outcomes.insert(outcome)
                && learned.insert(bytes.clone())
            {
                mutator.learn(bytes);
            }
            input += 1;
        }
        let held = live_bytes() - before;
        // Fixed: a table of outcomes, and twice each input that was learned.
        let allowed = learned.iter().map(|input| 4 * input.len() + 256).sum::<usize>() + self.fixed_bytes;
        assert!(held <= allowed as isize, "{}: {held} bytes are still held after {input} inputs", self.name);
        println!("{}: {input} inputs, {} outcomes", self.name, outcomes.len());
    }

    /// The outcome as a number.
    fn judge<R: Debug>(
        &self,
        seed: u64,
        which: &str,
        bytes: &[u8],
        parse: &mut impl FnMut(&[u8]) -> R,
    ) -> u64 {
        let started = cpu_time();
        let judged = catch_unwind(AssertUnwindSafe(|| {
            let (outcome, peak) = peak_of(|| parse(bytes));
            (signature(&outcome), peak)
        }));
        let took = cpu_time() - started;
        let (outcome, peak) = match judged {
            Ok(judged) => judged,
            Err(panic) => {
                self.show(seed, which, bytes);
                resume_unwind(panic);
            }
        };
        let allowed = self.fixed_bytes + PER_BYTE * bytes.len();
        if peak > allowed as isize || took > CPU_MAX {
            self.show(seed, which, bytes);
            panic!(
                "{}: {} bytes took {peak} bytes of memory ({allowed} allowed) and {took:?} ({CPU_MAX:?} allowed)",
                self.name,
                bytes.len()
            );
        }
        outcome
    }

    fn show(&self, seed: u64, which: &str, bytes: &[u8]) {
        let mut hex = String::new();
        for byte in bytes.iter().take(4096) {
            let _ = write!(hex, "{byte:02x}");
        }
        eprintln!("{}: {which} of {SEED}={seed}, {} bytes:\n{hex}", self.name, bytes.len());
        eprintln!("{}", String::from_utf8_lossy(&bytes[..bytes.len().min(512)]).escape_debug());
    }
}

impl Debug for Campaign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Campaign").field("name", &self.name).finish_non_exhaustive()
    }
}

fn variable<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Of this thread: others may use the machine.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("time used is not negative")
}

/// Hashes the outcome's text without its numbers: "37 bytes are missing" is no news after 36, but another variant of an
/// enum is. Writes no text.
fn signature(outcome: &impl Debug) -> u64 {
    /// Behind it the number is all that there is.
    const KIND: &[u8] = b"Discriminant(";
    struct Letters {
        hash: u64,
        /// Of `KIND`, those that were the last letters.
        matched: usize,
    }
    impl Write for Letters {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for byte in text.bytes() {
                let is_kind = self.matched == KIND.len();
                if is_kind || !byte.is_ascii_digit() {
                    self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
                self.matched = match is_kind {
                    true if byte == b')' => 0,
                    true => KIND.len(),
                    false if byte == KIND[self.matched] => self.matched + 1,
                    false => usize::from(byte == KIND[0]),
                };
            }
            Ok(())
        }
    }
    let mut letters = Letters { hash: 0xcbf2_9ce4_8422_2325, matched: 0 };
    let _ = write!(letters, "{outcome:?}");
    BuildHasherDefault::<DefaultHasher>::default().hash_one(letters.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(parse: impl FnMut(&[u8]) -> usize) -> String {
        let run = || Campaign::of("a parser").from(["1234", "abcd"]).run(parse);
        let panic = catch_unwind(AssertUnwindSafe(run)).expect_err("it is found");
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("it is text")
    }

    #[test]
    fn a_panic_is_found() {
        assert!(
            fails(|bytes| bytes.iter().map(|b| usize::from(b.checked_add(1).expect("too large"))).sum())
                .contains("too large")
        );
    }

    #[test]
    fn memory_for_a_claim_is_found() {
        let claimed = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or([0; 4])) as usize;
        assert!(
            fails(|bytes| Vec::<u8>::with_capacity(claimed(bytes) / 4).len()).contains("bytes of memory")
        );
    }

    #[test]
    fn outcomes_differ_by_their_words_and_by_the_variant_but_not_by_their_numbers() {
        let kind = |error: &std::num::IntErrorKind| std::mem::discriminant(error);
        let (empty, zero) = (kind(&std::num::IntErrorKind::Empty), kind(&std::num::IntErrorKind::Zero));
        assert_ne!(signature(&empty), signature(&zero));
        assert_ne!(signature(&format!("{empty:?}")), signature(&format!("{zero:?}")));
        assert_eq!(signature(&(empty, 36)), signature(&(empty, 37)));
        assert_eq!(signature(&"36 are missing"), signature(&"7 are missing"));
        assert_ne!(signature(&"36 are missing"), signature(&"36 are too many"));
    }

    #[test]
    fn a_leak_is_found() {
        let mut leak: Vec<Vec<u8>> = Vec::new();
        let leaks = |_: &[u8]| {
            leak.push(vec![0; 1000]);
            0
        };
        assert!(fails(leaks).contains("are still held"));
    }
}
