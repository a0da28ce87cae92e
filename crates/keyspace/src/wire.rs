//! The primitives of the effect encoding: bytes, LEB128 numbers, length-prefixed strings, doubles.

use crate::effect::EffectError;

pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Numbers close to zero of either sign become small.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Reads what the functions above wrote; every method fails with `Truncated` at the end of the bytes.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    pub bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], EffectError> {
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or(EffectError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, EffectError> {
        Ok(self.take(1)?[0])
    }

    pub fn number(&mut self) -> Result<u64, EffectError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                break;
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(EffectError::NumberTooLarge)
    }

    pub fn string(&mut self) -> Result<&'a [u8], EffectError> {
        let len = usize::try_from(self.number()?).map_err(|_| EffectError::NumberTooLarge)?;
        self.take(len)
    }

    pub fn double(&mut self) -> Result<f64, EffectError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(f64::from_le_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            let mut reader = Reader { bytes: &out };
            assert_eq!(reader.number(), Ok(value));
            assert!(reader.bytes.is_empty());
        }
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(value)), value);
        }
    }

    #[test]
    fn a_number_beyond_64_bits_is_refused() {
        assert_eq!(Reader { bytes: &[0xff; 11] }.number(), Err(EffectError::NumberTooLarge));
        let mut bytes = [0x80; 10];
        bytes[9] = 2;
        assert_eq!(Reader { bytes: &bytes }.number(), Err(EffectError::NumberTooLarge));
    }
}
