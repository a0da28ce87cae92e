//! The registers of a HyperLogLog as Redis keeps them in a string, byte for byte. Source: `hyperloglog.c` of redis 7.
//!
//! ```text
//!   HYLL · encoding · 3 zeros · cardinality, 8 bytes, the highest bit: it is out of date · registers
//!   dense:   16384 registers of 6 bits, from the lowest bit on
//!   sparse:  00llllll        l+1 registers of 0
//!            01llllll l…     so many, in 14 bits
//!            1vvvvvll        l+1 registers of v+1
//! ```
//!
//! *Invariant:* any bytes are either refused by [`Hll::parse`] or [`Corrupt`] when they are looked into; nothing panics.

const REGISTERS: usize = 1 << P;
const P: u32 = 14;
/// Bits of a hash that a register counts the zeros of.
const Q: u32 = 64 - P;
const HEADER_BYTES: usize = 16;
const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS * 6 / 8;
/// Redis' `hll-sparse-max-bytes`: a sparse one that would grow beyond becomes dense.
const SPARSE_BYTES_MAX: usize = 3000;
const SPARSE_VALUE_MAX: u8 = 32;
const SPARSE_RUN_MAX: usize = 4;
const ZERO_RUN_MAX: usize = 64;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// The runs of a sparse one do not make up all registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// One, as the bytes of its string.
#[derive(Clone, Debug)]
pub(crate) struct Hll(Vec<u8>);

/// A run of equal registers of a sparse one.
#[derive(Clone, Copy)]
struct Run {
    value: u8,
    len: usize,
    bytes: usize,
}

impl Run {
    /// The one that begins at `at`.
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let first = *bytes.get(at)?;
        Some(match first >> 6 {
            0 => Run { value: 0, len: usize::from(first & 0x3f) + 1, bytes: 1 },
            1 => {
                let low = usize::from(*bytes.get(at + 1)?);
                Run { value: 0, len: (usize::from(first & 0x3f) << 8 | low) + 1, bytes: 2 }
            }
            _ => Run { value: (first >> 2 & 0x1f) + 1, len: usize::from(first & 3) + 1, bytes: 1 },
        })
    }

    fn write(value: u8, len: usize, out: &mut Vec<u8>) {
        match (value, len) {
            (_, 0) => {}
            (0, 1..=ZERO_RUN_MAX) => out.push((len - 1) as u8),
            (0, _) => out.extend([0x40 | ((len - 1) >> 8) as u8, (len - 1) as u8]),
            (_, _) => out.push(0x80 | (value - 1) << 2 | (len - 1) as u8),
        }
    }
}

impl Hll {
    /// No elements, sparse.
    pub(crate) fn new() -> Self {
        let mut bytes = b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0".to_vec();
        Run::write(0, REGISTERS, &mut bytes);
        Hll(bytes)
    }

    /// `None`: this is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let well_formed = bytes.len() >= HEADER_BYTES
            && bytes.starts_with(b"HYLL")
            && (bytes[4] == SPARSE || bytes[4] == DENSE && bytes.len() == DENSE_BYTES);
        well_formed.then(|| Hll(bytes.to_vec()))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn is_dense(&self) -> bool {
        self.0[4] == DENSE
    }

    /// The cardinality that is kept in the header is not that of the registers any more.
    pub(crate) fn invalidate(&mut self) {
        self.0[15] |= 0x80;
    }

    /// The cardinality kept, if it is that of the registers.
    fn kept(&self) -> Option<u64> {
        let kept = u64::from_le_bytes(self.0[8..16].try_into().expect("eight bytes"));
        (kept >> 63 == 0).then_some(kept)
    }

    /// Whether an element changed a register.
    pub(crate) fn add(&mut self, element: &[u8]) -> Result<bool, Corrupt> {
        let hash = murmur(element, 0xadc8_3b19);
        let index = hash as usize & (REGISTERS - 1);
        let zeros = (hash >> P | 1 << Q).trailing_zeros();
        self.raise(index, zeros as u8 + 1)
    }

    /// Raises a register to `value`; whether it was lower.
    pub(crate) fn raise(&mut self, index: usize, value: u8) -> Result<bool, Corrupt> {
        if self.is_dense() {
            return Ok(self.raise_dense(index, value));
        }
        self.raise_sparse(index, value)
    }

    fn dense_register(&self, index: usize) -> u8 {
        let (byte, bit) = (HEADER_BYTES + index * 6 / 8, index * 6 % 8);
        let pair = u16::from(self.0[byte]) | u16::from(self.0.get(byte + 1).copied().unwrap_or(0)) << 8;
        (pair >> bit) as u8 & 63
    }

    fn raise_dense(&mut self, index: usize, value: u8) -> bool {
        if self.dense_register(index) >= value {
            return false;
        }
        let (byte, bit) = (HEADER_BYTES + index * 6 / 8, index * 6 % 8);
        let (mask, set) = (63_u16 << bit, u16::from(value) << bit);
        self.0[byte] = self.0[byte] & !(mask as u8) | set as u8;
        if let Some(next) = self.0.get_mut(byte + 1) {
            *next = *next & !((mask >> 8) as u8) | (set >> 8) as u8;
        }
        true
    }

    fn raise_sparse(&mut self, index: usize, value: u8) -> Result<bool, Corrupt> {
        if value > SPARSE_VALUE_MAX {
            self.make_dense()?;
            return Ok(self.raise_dense(index, value));
        }
        let (mut at, mut first, mut before) = (HEADER_BYTES, 0, HEADER_BYTES);
        let run = loop {
            let run = Run::read(&self.0, at).ok_or(Corrupt)?;
            if index < first + run.len {
                break run;
            }
            (before, at, first) = (at, at + run.bytes, first + run.len);
        };
        if run.value >= value {
            return Ok(false);
        }
        let mut runs = Vec::with_capacity(5);
        Run::write(run.value, index - first, &mut runs);
        Run::write(value, 1, &mut runs);
        Run::write(run.value, first + run.len - 1 - index, &mut runs);
        let grows = runs.len() > run.bytes;
        if grows && self.0.len() + runs.len() - run.bytes > SPARSE_BYTES_MAX {
            self.make_dense()?;
            return Ok(self.raise_dense(index, value));
        }
        self.0.splice(at..at + run.bytes, runs);
        self.merge_runs(before);
        self.invalidate();
        Ok(true)
    }

    /// Makes one of equal neighbours among the five runs from `at` on.
    fn merge_runs(&mut self, mut at: usize) {
        const LOOKED_AT: usize = 5;
        for _ in 0..LOOKED_AT {
            let Some(run) = Run::read(&self.0, at) else { return };
            let next = Run::read(&self.0, at + run.bytes);
            match next.filter(|next| run.value > 0 && next.value == run.value) {
                Some(next) if run.len + next.len <= SPARSE_RUN_MAX => {
                    let mut merged = Vec::with_capacity(1);
                    Run::write(run.value, run.len + next.len, &mut merged);
                    self.0.splice(at..at + 2, merged);
                }
                Some(_) | None => at += run.bytes,
            }
        }
    }

    /// Changes the encoding, and no register.
    pub(crate) fn make_dense(&mut self) -> Result<(), Corrupt> {
        if self.is_dense() {
            return Ok(());
        }
        let mut registers = Registers::new();
        registers.merge(self)?;
        let mut dense = vec![0; DENSE_BYTES];
        dense[..HEADER_BYTES].copy_from_slice(&self.0[..HEADER_BYTES]);
        dense[4] = DENSE;
        *self = Hll(dense);
        for (index, value) in registers.raised() {
            self.raise_dense(index, value);
        }
        Ok(())
    }

    /// The cardinality: that of the header, or one computed.
    pub(crate) fn count(&self) -> Result<u64, Corrupt> {
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let mut registers = Registers::new();
        registers.merge(self)?;
        Ok(registers.count())
    }
}

/// All registers, a byte each.
pub(crate) struct Registers(Box<[u8]>);

impl Registers {
    pub(crate) fn new() -> Self {
        Registers(vec![0; REGISTERS].into_boxed_slice())
    }

    /// Raises each to that of `hll`.
    pub(crate) fn merge(&mut self, hll: &Hll) -> Result<(), Corrupt> {
        if hll.is_dense() {
            for (index, register) in self.0.iter_mut().enumerate() {
                *register = (*register).max(hll.dense_register(index));
            }
            return Ok(());
        }
        let (mut at, mut first) = (HEADER_BYTES, 0);
        while at < hll.0.len() {
            let run = Run::read(&hll.0, at).ok_or(Corrupt)?;
            let registers = self.0.get_mut(first..first + run.len).ok_or(Corrupt)?;
            registers.iter_mut().for_each(|register| *register = (*register).max(run.value));
            (at, first) = (at + run.bytes, first + run.len);
        }
        if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
    }

    /// Those that are not 0.
    pub(crate) fn raised(&self) -> impl Iterator<Item = (usize, u8)> {
        self.0.iter().copied().enumerate().filter(|(_, value)| *value > 0)
    }

    /// Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv:1702.01284.
    pub(crate) fn count(&self) -> u64 {
        const ALPHA: f64 = 0.721_347_520_444_481_7;
        let mut histogram = [0_u32; 64];
        self.0.iter().for_each(|value| histogram[usize::from(value & 63)] += 1);
        let m = REGISTERS as f64;
        let q = Q as usize;
        let mut z = m * tau((m - f64::from(histogram[q + 1])) / m);
        for count in histogram[1..=q].iter().rev() {
            z = (z + f64::from(*count)) * 0.5;
        }
        z += m * sigma(f64::from(histogram[0]) / m);
        (ALPHA * m * m / z).round() as u64
    }
}

fn sigma(mut x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if before == z {
            return z / 3.0;
        }
    }
}

/// MurmurHash64A (Austin Appleby, public domain).
fn murmur(bytes: &[u8], seed: u64) -> u64 {
    const M: u64 = 0xc6a4_a793_5bd1_e995;
    const R: u32 = 47;
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = (hash ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u64::from(*byte));
        hash = (hash ^ tail).wrapping_mul(M);
    }
    hash ^= hash >> R;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> R
}
