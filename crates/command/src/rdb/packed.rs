//! Redis' compact collections: a string that holds all elements.

use super::RestoreError;

/// Takes bytes from the front; `None` where there are too few.
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], RestoreError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RestoreError::Value)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, RestoreError> {
        Ok(self.take(1)?[0])
    }

    /// A number of up to eight bytes, the lowest first, its sign kept.
    pub(super) fn integer(&mut self, bytes: usize) -> Result<i64, RestoreError> {
        let unsigned =
            self.take(bytes)?.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let unused = 64 - 8 * bytes as u32;
        Ok((unsigned << unused) as i64 >> unused)
    }

    /// A number of up to eight bytes, the highest first.
    pub(super) fn big_endian(&mut self, bytes: usize) -> Result<u64, RestoreError> {
        Ok(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }
}

fn text(number: i64) -> Box<[u8]> {
    Box::from(itoa::Buffer::new().format(number).as_bytes())
}

/// All elements of a listpack.
pub(super) fn listpack(bytes: &[u8]) -> Result<Vec<Box<[u8]>>, RestoreError> {
    let total = bytes.len();
    let mut rest = Bytes(bytes);
    if rest.integer(4)? as u32 as usize != total {
        return Err(RestoreError::Value);
    }
    let count = rest.integer(2)? as u16;
    let mut all = Vec::new();
    loop {
        let before = rest.0.len();
        let first = rest.byte()?;
        let element = match first {
            0xff if rest.0.is_empty() => break,
            0..0x80 => text(first.into()),
            0x80..0xc0 => Box::from(rest.take((first & 0x3f).into())?),
            0xc0..0xe0 => {
                let number = i64::from(first & 0x1f) << 8 | i64::from(rest.byte()?);
                text(number << 51 >> 51)
            }
            0xe0..0xf0 => {
                let len = usize::from(first & 0x0f) << 8 | usize::from(rest.byte()?);
                Box::from(rest.take(len)?)
            }
            0xf0 => {
                let len = rest.integer(4)? as u32 as usize;
                Box::from(rest.take(len)?)
            }
            0xf1 => text(rest.integer(2)?),
            0xf2 => text(rest.integer(3)?),
            0xf3 => text(rest.integer(4)?),
            0xf4 => text(rest.integer(8)?),
            _ => return Err(RestoreError::Value),
        };
        all.push(element);
        // The length once more, so that it can be read backwards: seven bits a byte.
        rest.take(match before - rest.0.len() {
            0..128 => 1,
            128..16_383 => 2,
            16_383..2_097_151 => 3,
            2_097_151..268_435_455 => 4,
            _ => 5,
        })?;
    }
    if count != u16::MAX && usize::from(count) != all.len() {
        return Err(RestoreError::Value);
    }
    Ok(all)
}

/// All elements of a ziplist, which was the listpack of redis 6.
pub(super) fn ziplist(bytes: &[u8]) -> Result<Vec<Box<[u8]>>, RestoreError> {
    let total = bytes.len();
    let mut rest = Bytes(bytes);
    if rest.integer(4)? as u32 as usize != total {
        return Err(RestoreError::Value);
    }
    let (_last, count) = (rest.integer(4)?, rest.integer(2)? as u16);
    let mut all = Vec::new();
    loop {
        // The length of the element before.
        match rest.byte()? {
            0xff if rest.0.is_empty() => break,
            0xfe => {
                rest.take(4)?;
            }
            0xff => return Err(RestoreError::Value),
            0..0xfe => {}
        }
        let first = rest.byte()?;
        all.push(match first {
            0..0x40 => Box::from(rest.take(first.into())?),
            0x40..0x80 => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(rest.byte()?);
                Box::from(rest.take(len)?)
            }
            0x80..0xc0 => {
                let len = rest.big_endian(4)? as usize;
                Box::from(rest.take(len)?)
            }
            0xc0 => text(rest.integer(2)?),
            0xd0 => text(rest.integer(4)?),
            0xe0 => text(rest.integer(8)?),
            0xf0 => text(rest.integer(3)?),
            0xfe => text(rest.integer(1)?),
            0xf1..=0xfd => text(i64::from(first & 0x0f) - 1),
            _ => return Err(RestoreError::Value),
        });
    }
    if count != u16::MAX && usize::from(count) != all.len() {
        return Err(RestoreError::Value);
    }
    Ok(all)
}

/// All members of an intset.
pub(super) fn intset(bytes: &[u8]) -> Result<Vec<Box<[u8]>>, RestoreError> {
    let mut rest = Bytes(bytes);
    let width = rest.integer(4)?;
    let count = rest.integer(4)? as u32 as usize;
    if !matches!(width, 2 | 4 | 8) || count.checked_mul(width as usize) != Some(rest.0.len()) {
        return Err(RestoreError::Value);
    }
    (0..count).map(|_| rest.integer(width as usize).map(text)).collect()
}

/// What LZF (Marc Lehmann) made smaller, `len` bytes.
pub(super) fn lzf(bytes: &[u8], len: usize) -> Result<Vec<u8>, RestoreError> {
    /// No input byte stands for more.
    const EXPANSION_MAX: usize = 264;
    if len > bytes.len().saturating_mul(EXPANSION_MAX) {
        return Err(RestoreError::Value);
    }
    let (mut rest, mut out) = (Bytes(bytes), Vec::with_capacity(len));
    while !rest.0.is_empty() {
        let control = usize::from(rest.byte()?);
        if control < 32 {
            out.extend(rest.take(control + 1)?);
            continue;
        }
        let mut run = control >> 5;
        if run == 7 {
            run += usize::from(rest.byte()?);
        }
        let distance = (control & 0x1f) << 8 | usize::from(rest.byte()?);
        let start = out.len().checked_sub(distance + 1).ok_or(RestoreError::Value)?;
        if out.len() + run + 2 > len {
            return Err(RestoreError::Value);
        }
        // It may reach into what it writes.
        (start..start + run + 2).for_each(|at| out.push(out[at]));
    }
    if out.len() == len { Ok(out) } else { Err(RestoreError::Value) }
}
