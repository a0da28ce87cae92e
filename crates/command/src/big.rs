//! Natural numbers of any length, as far as reading and showing numbers needs them.

/// Little-endian, without zeros at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Big(Vec<u32>);

impl From<u64> for Big {
    fn from(value: u64) -> Self {
        let mut it = Big(vec![value as u32, (value >> 32) as u32]);
        it.trim();
        it
    }
}

impl Big {
    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for limb in &mut self.0 {
            carry += u64::from(*limb) * u64::from(factor);
            *limb = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            self.0.push(carry as u32);
        }
    }

    /// Divides, and answers the remainder.
    pub(crate) fn divide(&mut self, divisor: u32) -> u32 {
        let mut remainder = 0_u64;
        for limb in self.0.iter_mut().rev() {
            remainder = remainder << 32 | u64::from(*limb);
            *limb = (remainder / u64::from(divisor)) as u32;
            remainder %= u64::from(divisor);
        }
        self.trim();
        remainder as u32
    }

    pub(crate) fn shift_left(&mut self, bits: usize) {
        if self.is_zero() {
            return;
        }
        self.multiply_add(1 << (bits % 32), 0);
        self.0.splice(0..0, std::iter::repeat_n(0, bits / 32));
    }

    pub(crate) fn bits(&self) -> usize {
        self.0.last().map_or(0, |last| self.0.len() * 32 - last.leading_zeros() as usize)
    }

    /// The number as its highest 128 bits at most, how many bits are below them, and whether one of those is set.
    pub(crate) fn highest(&self) -> (u128, usize, bool) {
        let below = self.bits().saturating_sub(128);
        let (limb, bit) = (below / 32, below % 32);
        let lost = self.0[..limb].iter().any(|limb| *limb != 0)
            || self.0.get(limb).is_some_and(|limb| limb & ((1 << bit) - 1) != 0);
        let mut high = 0;
        for (i, limb) in self.0.iter().enumerate().skip(limb) {
            let at = (i * 32) as isize - below as isize;
            high |= if at < 0 { u128::from(*limb) >> -at } else { u128::from(*limb) << at };
        }
        (high, below, lost)
    }

    /// In decimal.
    pub(crate) fn show(mut self) -> String {
        const STEP: u32 = 1_000_000_000;
        let mut parts = Vec::new();
        while !self.is_zero() {
            parts.push(self.divide(STEP));
        }
        let first = parts.pop().unwrap_or(0).to_string();
        parts.iter().rev().fold(first, |text, part| text + &format!("{part:09}"))
    }
}
