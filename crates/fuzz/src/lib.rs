//! Fuzzing on a stable compiler: valid inputs are changed at random, and whoever parses them has to bear it.
//!
//! ```text
//!   valid inputs ──► Mutator ──► (resealed: checksums are right again) ──► the parser
//!        ▲                                                                    │
//!        └──────────── whatever had an outcome that was not seen before ──────┘
//! ```
//! The rule that every target holds its parser to: **bytes from a network, a disk or a person never panic, take no more
//! memory than they have bytes to justify, give it back, and are judged in time that does not explode.**
//!
//! A target is a test of the crate that has the parser, named `fuzz_*`. `cargo test` tries some thousand inputs of each,
//! always the same; `make fuzz MINUTES=30` goes on for so long.
//!
//! *Invariant:* an input depends on the target's corpus, the seed and the number of the input alone: a failure names the
//! two variables that repeat it.
//! *Invariant:* only tests link this crate: it replaces their allocator by one that counts.

#![doc = include_str!("../parsers.md")]

mod campaign;
mod dice;
mod folder;
mod memory;
mod mutator;

pub use campaign::Campaign;
pub use dice::Dice;
pub use folder::{Folder, refused_stays};
pub use memory::{Counted, live_bytes};
pub use mutator::Mutator;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

/// The kind of an error that is text, without what it quotes: that is as much as there are inputs.
pub fn first_words(error: &impl std::fmt::Display) -> String {
    let text = error.to_string();
    let words = text.split('"').step_by(2).flat_map(str::split_whitespace);
    words.filter(|word| !word.starts_with('`')).take(3).collect::<Vec<_>>().join(" ")
}

/// The inputs of a golden file: of each line what is hex pairs, behind its name if it has one (`name: 00 ff`).
pub fn of_golden_lines(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().map(|line| line.rsplit_once(": ").map_or(line, |(_, hex)| hex));
    lines.map(unhex).filter(|bytes| !bytes.is_empty()).collect()
}

/// The one input of a golden file.
pub fn of_golden(text: &str) -> Vec<u8> {
    text.lines().flat_map(unhex).collect()
}

/// Nothing of a line that is not all hex.
fn unhex(line: &str) -> Vec<u8> {
    let digits: Option<Vec<u8>> =
        line.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).map(|d| d as u8)).collect();
    digits.unwrap_or_default().chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}
