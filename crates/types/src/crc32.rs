//! CRC-32 (IEEE 802.3, the one of zlib), where the compiler has to compute it.

/// The checksum of `bytes` after whatever `state` stands for; [`START`] stands for nothing. [`finish`] ends it.
pub(crate) const fn update(mut state: u32, bytes: &[u8]) -> u32 {
    let mut i = 0;
    while i < bytes.len() {
        state ^= bytes[i] as u32;
        let mut bit = 0;
        while bit < 8 {
            state = if state & 1 == 1 { state >> 1 ^ POLYNOMIAL } else { state >> 1 };
            bit += 1;
        }
        i += 1;
    }
    state
}

pub(crate) const START: u32 = !0;

pub(crate) const fn finish(state: u32) -> u32 {
    !state
}

/// Reflected.
const POLYNOMIAL: u32 = 0xedb8_8320;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_crc_that_everybody_computes() {
        assert_eq!(finish(update(START, b"123456789")), 0xcbf4_3926);
        assert_eq!(finish(update(update(START, b"1234"), b"56789")), 0xcbf4_3926);
    }
}
