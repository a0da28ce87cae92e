//! Changes valid inputs: bits, numbers in any width and as text, pieces that go, come twice, or come from elsewhere.

use crate::dice::Dice;

/// Numbers around which lengths and counts break.
const EDGES: [u64; 22] = [
    0,
    1,
    2,
    7,
    8,
    15,
    16,
    31,
    63,
    64,
    127,
    128,
    255,
    256,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];

/// The longest input that is made. Longer finds little more, and tries fewer.
const BYTES_MAX: usize = 1 << 16;
/// Changes of one input, at most. More, and nothing of what was valid is left.
const CHANGES_MAX: usize = 6;

/// What inputs are made of.
#[derive(Clone, Debug, Default)]
pub struct Mutator {
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    pub fn new(corpus: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self { corpus, words }
    }

    pub fn corpus(&self) -> &[Vec<u8>] {
        &self.corpus
    }

    /// Inputs are made of this one too.
    pub fn learn(&mut self, input: Vec<u8>) {
        self.corpus.push(input);
    }

    /// A valid input, changed between once and `CHANGES_MAX` times.
    pub fn next(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = dice.pick(&self.corpus).cloned().unwrap_or_default();
        for _ in 0..=dice.below(CHANGES_MAX) {
            self.change(&mut bytes, dice);
        }
        bytes.truncate(BYTES_MAX);
        bytes
    }

    fn change(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let at = dice.below(bytes.len());
        match dice.below(12) {
            0 | 1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << dice.below(8)),
            2 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = dice.next_u64() as u8),
            3 => put_number(bytes, at, dice),
            4 => put_digits(bytes, at, dice),
            5 => bytes.truncate(at),
            6 => drop(bytes.drain(piece(bytes.len(), at, dice))),
            7 => {
                let twice = bytes[piece(bytes.len(), at, dice)].to_vec();
                insert(bytes, at, &twice);
            }
            8 => {
                // Much of the same: nesting, and long runs.
                let run = bytes[at..(at + 1 + dice.below(4)).min(bytes.len())].to_vec();
                let most = 1 << dice.below(11);
                insert(bytes, at, &run.repeat(1 + dice.below(most)));
            }
            9 => {
                let word = dice.pick(&self.words).cloned().unwrap_or_else(|| vec![dice.next_u64() as u8]);
                insert(bytes, at, &word);
            }
            10 => {
                let Some(other) = dice.pick(&self.corpus) else { return };
                let from = dice.below(other.len());
                insert(bytes, at, &other[piece(other.len(), from, dice)]);
            }
            _ => {
                let Some(other) = dice.pick(&self.corpus) else { return };
                bytes.truncate(at);
                bytes.extend_from_slice(&other[dice.below(other.len())..]);
            }
        }
    }
}

/// From `at`, mostly short.
fn piece(len: usize, at: usize, dice: &mut Dice) -> std::ops::Range<usize> {
    let longest = 1 << dice.below(12);
    at..(at + 1 + dice.below(longest)).min(len)
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let room = BYTES_MAX.saturating_sub(bytes.len());
    bytes.splice(at..at, piece.iter().copied().take(room));
}

/// A number of one to eight bytes, in either order: an edge, or what stands there and a little more or less.
fn put_number(bytes: &mut [u8], at: usize, dice: &mut Dice) {
    let width = 1 << dice.below(4);
    let Some(place) = bytes.get_mut(at..at + width) else { return };
    let is_little = dice.once_in(2);
    let mut full = [0_u8; 8];
    full[..width].copy_from_slice(place);
    if !is_little {
        full[..width].reverse();
    }
    let there = u64::from_le_bytes(full);
    let edge = dice.pick(&EDGES).copied().unwrap_or_default();
    let near = dice.below(9) as u64;
    let number = if dice.once_in(2) { edge } else { there.wrapping_add(near).wrapping_sub(4) };
    full = number.to_le_bytes();
    if !is_little {
        full[..width].reverse();
    }
    place.copy_from_slice(&full[..width]);
}

/// The digits at or after `at` become another number.
fn put_digits(bytes: &mut Vec<u8>, at: usize, dice: &mut Dice) {
    let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|digit| at + digit) else { return };
    let until = bytes[from..].iter().position(|b| !b.is_ascii_digit()).map_or(bytes.len(), |end| from + end);
    let edge = dice.pick(&EDGES).copied().unwrap_or_default();
    let text = match dice.below(5) {
        0 => format!("-{edge}"),
        1 => format!("{edge}9"),
        2 => format!("{}", dice.below(100)),
        3 => format!("00{edge}"),
        _ => edge.to_string(),
    };
    bytes.splice(from..until, text.into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_dice_make_the_same_inputs_and_all_are_bounded() {
        let corpus = vec![b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec(), vec![0; BYTES_MAX]];
        let mutator = Mutator::new(corpus, vec![b"\r\n".to_vec()]);
        let made = |seed| {
            let mut dice = Dice::new(seed);
            (0..500).map(|_| mutator.next(&mut dice)).collect::<Vec<_>>()
        };
        assert_eq!(made(7), made(7));
        assert_ne!(made(7), made(8));
        assert!(made(7).iter().all(|input| input.len() <= BYTES_MAX + 8 * CHANGES_MAX));
    }

    #[test]
    fn nothing_at_all_can_be_changed() {
        let mut dice = Dice::new(1);
        for corpus in [Vec::new(), vec![Vec::new()]] {
            let mutator = Mutator::new(corpus, Vec::new());
            assert!((0..2_000).map(|_| mutator.next(&mut dice)).any(|input| !input.is_empty()));
        }
    }
}
