//! A listpack: small elements in one string of bytes, readable from both ends. Source: `listpack.c` of redis 7.
//!
//! ```text
//!   length, 4 bytes · elements, 2 bytes (65535: who knows) · element … · 0xff        numbers little-endian
//!   element: a first byte that says what it is · what is left of it · its length, readable backwards
//! ```
//!
//! *Invariant:* a text that is an integer is held as one, so that equal texts have equal bytes. (Unless another server
//! wrote it otherwise.)
//! *Invariant:* a [`Pack`] is well formed: [`Pack::check`] lets nothing else in. Walking one cannot leave it.

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element<'a> {
    Number(i64),
    Text(&'a [u8]),
}

impl<'a> Element<'a> {
    pub(super) fn of(text: &'a [u8]) -> Self {
        integer(text).map_or(Element::Text(text), Element::Number)
    }

    /// Whether it is this text.
    pub(super) fn is(&self, text: &[u8]) -> bool {
        match self {
            Element::Number(number) => integer(text) == Some(*number),
            Element::Text(own) => *own == text,
        }
    }

    pub(super) fn number(&self) -> Option<i64> {
        if let Element::Number(number) = self { Some(*number) } else { None }
    }
}

/// A decimal integer as it is shown: no other text is one.
fn integer(text: &[u8]) -> Option<i64> {
    /// Of the smallest.
    const DIGITS_MAX: usize = 20;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let shown = match digits {
        [b'0'] => text.len() == 1,
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !shown || text.len() > DIGITS_MAX {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

const HEADER_BYTES: usize = 6;
const END: u8 = 0xff;
/// More elements than this are not counted.
const COUNTED_MAX: u16 = u16::MAX;

#[derive(Clone)]
pub(super) struct Pack(Vec<u8>);

impl Pack {
    pub(super) fn new() -> Self {
        let mut pack = Pack(vec![0; HEADER_BYTES]);
        pack.0.push(END);
        pack.seal(0);
        pack
    }

    /// Bytes that are a listpack to the last, if they are.
    pub(super) fn check(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        let length = u32::from_le_bytes(header[..4].try_into().expect("four bytes"));
        let counted = u16::from_le_bytes(header[4..].try_into().expect("two bytes"));
        if length as usize != bytes.len() || bytes.last() != Some(&END) {
            return None;
        }
        let (mut at, mut count) = (HEADER_BYTES, 0_usize);
        while at + 1 < bytes.len() {
            let (_, len) = read(bytes, at)?;
            let back = back(len);
            let told = bytes.get(at + len..at + len + back.len())?;
            if told != back.as_slice() {
                return None;
            }
            at += len + back.len();
            count += 1;
        }
        let counts = counted == COUNTED_MAX || usize::from(counted) == count;
        (at + 1 == bytes.len() && counts).then(|| Pack(bytes.to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Where the first element is.
    pub(super) const fn begin() -> usize {
        HEADER_BYTES
    }

    /// Behind the last element.
    pub(super) fn end(&self) -> usize {
        self.0.len() - 1
    }

    /// The element at a place, and where the next one is; `None` behind the last.
    pub(super) fn at(&self, at: usize) -> Option<(Element<'_>, usize)> {
        if at >= self.end() {
            return None;
        }
        let (element, len) = read(&self.0, at).expect("a pack is well formed");
        Some((element, at + len + back(len).len()))
    }

    /// The number at a place, and where the next element is.
    pub(super) fn number(&self, at: usize) -> Option<(i64, usize)> {
        let (element, next) = self.at(at)?;
        Some((element.number()?, next))
    }

    /// Where the element is that ends at this place; it is not the beginning.
    pub(super) fn before(&self, mut at: usize) -> usize {
        let (mut len, mut shift) = (0, 0);
        loop {
            at -= 1;
            len |= usize::from(self.0[at] & 0x7f) << shift;
            if self.0[at] & 0x80 == 0 {
                return at - len;
            }
            shift += 7;
        }
    }

    pub(super) fn push(&mut self, element: Element<'_>) {
        self.0.pop();
        let begin = self.0.len();
        match element {
            Element::Number(number) => self.0.extend_from_slice(encode(number).as_slice()),
            Element::Text(text) => {
                put_text_length(&mut self.0, text.len());
                self.0.extend_from_slice(text);
            }
        }
        let back = back(self.0.len() - begin);
        self.0.extend_from_slice(back.as_slice());
        self.0.push(END);
        self.seal(1);
    }

    /// Puts a number where an element is.
    pub(super) fn replace(&mut self, at: usize, number: i64) {
        let (_, next) = self.at(at).expect("there is an element");
        let mut new = encode(number);
        for byte in back(new.len).as_slice() {
            new.push(*byte);
        }
        if new.len == next - at {
            self.0[at..next].copy_from_slice(new.as_slice());
        } else {
            self.0.splice(at..next, new.as_slice().iter().copied());
            self.seal(0);
        }
    }

    /// Says in the header how long it is, and that so many elements were added.
    fn seal(&mut self, added: u16) {
        let length = u32::try_from(self.0.len()).expect("an entry has at most a gigabyte");
        self.0[..4].copy_from_slice(&length.to_le_bytes());
        let count = u16::from_le_bytes([self.0[4], self.0[5]]).saturating_add(added);
        self.0[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
    }
}

/// A few bytes.
struct Short {
    bytes: [u8; 16],
    len: usize,
}

impl Short {
    fn of(bytes: &[u8]) -> Self {
        let mut short = Short { bytes: [0; 16], len: bytes.len() };
        short.bytes[..bytes.len()].copy_from_slice(bytes);
        short
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

fn encode(number: i64) -> Short {
    let bytes = number.to_le_bytes();
    let wide = |first: u8, width: usize| {
        let mut short = Short::of(&[first]);
        bytes[..width].iter().for_each(|byte| short.push(*byte));
        short
    };
    match number {
        0..128 => Short::of(&[bytes[0]]),
        -4096..4096 => Short::of(&[0xc0 | bytes[1] & 0x1f, bytes[0]]),
        -0x8000..0x8000 => wide(0xf1, 2),
        -0x80_0000..0x80_0000 => wide(0xf2, 3),
        -0x8000_0000..0x8000_0000 => wide(0xf3, 4),
        _ => wide(0xf4, 8),
    }
}

fn put_text_length(out: &mut Vec<u8>, len: usize) {
    match len {
        0..64 => out.push(0x80 | len as u8),
        64..4096 => out.extend_from_slice(&[0xe0 | (len >> 8) as u8, len as u8]),
        _ => {
            out.push(0xf0);
            let len = u32::try_from(len).expect("a text has at most a gigabyte");
            out.extend_from_slice(&len.to_le_bytes());
        }
    }
}

/// The length of an element as it stands behind it: the highest seven bits first, all but them marked.
fn back(len: usize) -> Short {
    let width = match len {
        0..128 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    };
    let mut short = Short::of(&[(len >> (7 * (width - 1)) & 0x7f) as u8]);
    for place in (0..width - 1).rev() {
        short.push(0x80 | (len >> (7 * place)) as u8);
    }
    short
}

/// The element that begins at a place, and how long it is without what stands behind it.
fn read(bytes: &[u8], at: usize) -> Option<(Element<'_>, usize)> {
    let first = *bytes.get(at)?;
    let text = |head: usize, len: usize| {
        let text = bytes.get(at + head..(at + head).checked_add(len)?)?;
        Some((Element::Text(text), head + len))
    };
    let wide = |width: usize| {
        let low = bytes.get(at + 1..at + 1 + width)?;
        let number = low.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        let unused = 64 - 8 * width as u32;
        Some((Element::Number((number << unused) as i64 >> unused), 1 + width))
    };
    match first {
        0..0x80 => Some((Element::Number(first.into()), 1)),
        0x80..0xc0 => text(1, (first & 0x3f).into()),
        0xc0..0xe0 => {
            let number = i64::from(first & 0x1f) << 8 | i64::from(*bytes.get(at + 1)?);
            Some((Element::Number(number << 51 >> 51), 2))
        }
        0xe0..0xf0 => text(2, usize::from(first & 0x0f) << 8 | usize::from(*bytes.get(at + 1)?)),
        0xf0 => {
            let len = bytes.get(at + 1..at + 5)?;
            text(5, u32::from_le_bytes(len.try_into().expect("four bytes")) as usize)
        }
        0xf1 => wide(2),
        0xf2 => wide(3),
        0xf3 => wide(4),
        0xf4 => wide(8),
        0xf5..=0xff => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn walk(pack: &Pack) -> Vec<Element<'_>> {
        let mut at = Pack::begin();
        std::iter::from_fn(|| {
            let (element, next) = pack.at(at)?;
            at = next;
            Some(element)
        })
        .collect()
    }

    #[test]
    fn every_length_and_width_is_read_from_both_ends_as_it_was_written() {
        let numbers =
            [0, 127, 128, -1, 4095, 4096, -4096, -4097, 32767, 32768, -32769, 8_388_607, -8_388_609];
        let large = [i64::from(i32::MAX), i64::from(i32::MIN) - 1, i64::MAX, i64::MIN];
        let texts: Vec<Vec<u8>> = [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16_380, 70_000, 2_100_000]
            .map(|len| vec![b'x'; len])
            .into();
        let mut pack = Pack::new();
        numbers.iter().chain(&large).for_each(|number| pack.push(Element::Number(*number)));
        texts.iter().for_each(|text| pack.push(Element::of(text)));
        let all = walk(&pack);
        let expected: Vec<Element<'_>> = numbers.iter().chain(&large).map(|n| Element::Number(*n)).collect();
        assert_eq!(all[..expected.len()], expected);
        assert!(all[expected.len()..].iter().zip(&texts).all(|(element, text)| element.is(text)));
        let mut at = pack.end();
        for element in all.iter().rev() {
            at = pack.before(at);
            assert_eq!(pack.at(at).expect("there is one").0, *element);
        }
        assert_eq!(at, Pack::begin());
        assert_eq!(Pack::check(pack.bytes()).expect("well formed").bytes(), pack.bytes());
    }

    #[test]
    fn texts_that_are_integers_are_numbers_and_no_others() {
        for text in ["0", "-1", "9223372036854775807", "-9223372036854775808", "10"] {
            assert!(Element::of(text.as_bytes()).number().is_some(), "{text}");
            assert!(Element::of(text.as_bytes()).is(text.as_bytes()), "{text}");
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1 ", "9223372036854775808", "00", "1.0", "\u{0661}"] {
            assert_eq!(Element::of(text.as_bytes()), Element::Text(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_is_replaced_by_one_of_any_width(numbers in prop::collection::vec(any::<i64>(), 1..20), at in any::<prop::sample::Index>(), shift in 0u32..64, to in any::<i64>()) {
            let mut pack = Pack::new();
            numbers.iter().for_each(|number| pack.push(Element::Number(*number)));
            let at = at.index(numbers.len());
            let place = (0..at).fold(Pack::begin(), |place, _| pack.at(place).expect("one").1);
            pack.replace(place, to >> shift);
            let mut expected = numbers;
            expected[at] = to >> shift;
            prop_assert_eq!(walk(&pack), expected.into_iter().map(Element::Number).collect::<Vec<_>>());
            prop_assert!(Pack::check(pack.bytes()).is_some());
        }

        #[test]
        fn any_bytes_are_a_listpack_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            bytes.push(END);
            let length = bytes.len() + HEADER_BYTES;
            let whole = [&(length as u32).to_le_bytes()[..], &[0xff, 0xff], &bytes].concat();
            if let Some(pack) = Pack::check(&whole) {
                let count = walk(&pack).len();
                let mut at = pack.end();
                (0..count).for_each(|_| at = pack.before(at));
                prop_assert_eq!(at, Pack::begin());
            }
        }
    }
}
