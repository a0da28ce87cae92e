//! Values: few, so that they collide, and among them the edges.

use crate::random::Dice;

/// All keys share a slot. Which type a sequence first puts there is told by the first letter.
pub(crate) const KEYS: [&str; 18] = [
    "{k}s1", "{k}s2", "{k}s3", "{k}l1", "{k}l2", "{k}t1", "{k}t2", "{k}t3", "{k}z1", "{k}z2", "{k}h1",
    "{k}h2", "{k}g1", "{k}p1", "{k}p2", "{k}x1", "{k}x2", "{k}n1",
];

/// The first letters of the keys that commands of a group are mostly about.
fn letters(group: &str) -> &'static str {
    match group {
        "string" | "bitmap" => "ssn",
        "list" => "lln",
        "set" => "ttn",
        "sorted-set" => "zzzgtn",
        "hash" => "hhn",
        "geo" => "ggn",
        "hyperloglog" => "ppsn",
        "stream" => "xxxxxxxxxxxxn",
        _ => "sltzhgpxn",
    }
}

pub(crate) fn key(dice: &mut Dice, group: &str) -> Vec<u8> {
    if dice.percent(6) {
        return dice.pick(&KEYS).as_bytes().to_vec();
    }
    let letters = letters(group).as_bytes();
    let letter = *dice.pick(letters);
    let fitting: Vec<&&str> = KEYS.iter().filter(|key| key.as_bytes()[3] == letter).collect();
    dice.pick(&fitting).as_bytes().to_vec()
}

const ELEMENTS: [&[u8]; 16] =
    [b"a", b"b", b"c", b"d", b"e", b"f", b"ab", b"1", b"2", b"3", b"10", b"-1", b"foo", b"bar", b"5", b"A"];
const ODD_ELEMENTS: [&[u8]; 22] = [
    b"",
    b" ",
    b"1.5",
    b"-0",
    b"01",
    b"+1",
    b" 1",
    b"1 ",
    b"0x10",
    b"1e3",
    b"inf",
    b"nan",
    b"3.0e3",
    b"\x00",
    b"\xff\xfe",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"9223372036854775808",
    b"1e400",
    b"0.1",
    b"hello world",
    b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
];

pub(crate) fn element(dice: &mut Dice) -> Vec<u8> {
    let odd = dice.percent(15);
    if odd { dice.pick(&ODD_ELEMENTS).to_vec() } else { dice.pick(&ELEMENTS).to_vec() }
}

const INTEGERS: [&str; 12] = ["0", "1", "2", "-1", "3", "-2", "5", "10", "-3", "4", "100", "-100"];
const ODD_INTEGERS: [&str; 13] = [
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "4294967296",
    "2147483648",
    "-2147483649",
    "",
    "a",
    "1.0",
    "01",
    " 1",
    "-0",
    "1e2",
];

pub(crate) fn integer(dice: &mut Dice) -> Vec<u8> {
    let odd = dice.percent(8);
    if odd { dice.pick(&ODD_INTEGERS) } else { dice.pick(&INTEGERS) }.as_bytes().to_vec()
}

/// A count that is no wish for gigabytes: what draws repeatedly answers as much as it is asked for.
pub(crate) fn count(dice: &mut Dice) -> Vec<u8> {
    const COUNTS: [&str; 10] = ["1", "2", "0", "3", "-1", "-2", "10", "5", "-5", "100"];
    const ODD: [&str; 5] = ["", "a", "1.5", "9223372036854775808", "-9223372036854775809"];
    let odd = dice.percent(6);
    if odd { dice.pick(&ODD) } else { dice.pick(&COUNTS) }.as_bytes().to_vec()
}

const DOUBLES: [&str; 12] = ["0", "1", "2", "-1", "1.5", "3", "0.1", "-2.5", "10", "1e3", "100", "0.5"];
const ODD_DOUBLES: [&str; 20] = [
    "inf",
    "-inf",
    "+inf",
    "nan",
    "-0",
    "1e308",
    "-1e308",
    "1e-320",
    "1e400",
    "",
    " 1",
    "1 ",
    "abc",
    "0x10",
    "infinity",
    "9007199254740993",
    "1e17",
    "3.0e3",
    "1234567890123456789",
    "0.30000000000000004",
];

pub(crate) fn double(dice: &mut Dice) -> Vec<u8> {
    let odd = dice.percent(15);
    if odd { dice.pick(&ODD_DOUBLES) } else { dice.pick(&DOUBLES) }.as_bytes().to_vec()
}

/// An end of a range by rank, score or member.
pub(crate) fn bound(dice: &mut Dice, command: &str) -> Vec<u8> {
    const SCORES: [&str; 14] =
        ["-inf", "+inf", "inf", "0", "1", "2", "(1", "(2", "3", "10", "(-1", "-1", "1.5", "(0.1"];
    const ODD_SCORES: [&str; 12] =
        ["", " 0", "(", "( 1", "nan", "((1", "abc", "1 ", "(inf", "(+inf", "0x10", "1e400"];
    const MEMBERS: [&str; 12] = ["-", "+", "[a", "(a", "[b", "(b", "[c", "(", "[", "(d", "[f", "[foo"];
    const ODD_MEMBERS: [&str; 6] = ["", "a", "-inf", "--", "+a", "{a"];
    let odd = dice.percent(8);
    let form = if command.contains("bylex") || command == "zlexcount" {
        1
    } else if command.contains("byscore") || command == "zcount" {
        0
    } else if command.contains("byrank") || command == "zrevrange" {
        2
    } else {
        dice.below(4)
    };
    let one_of = match (form, odd) {
        (0, false) => &SCORES[..],
        (0, true) => &ODD_SCORES,
        (1, false) => &MEMBERS,
        (1, true) => &ODD_MEMBERS,
        _ => return integer(dice),
    };
    dice.pick(one_of).as_bytes().to_vec()
}

/// Far enough away that no key expires while it is looked at, or past.
pub(crate) fn time(dice: &mut Dice, unit_ms: u64, absolute: bool) -> Vec<u8> {
    const ODD: [&str; 8] =
        ["0", "-1", "9223372036854775807", "-9223372036854775808", "9223372036854775", "a", "", "1.5"];
    if dice.percent(20) {
        return dice.pick(&ODD).as_bytes().to_vec();
    }
    const HOUR_MS: u64 = 3_600_000;
    // In the year 2100, and later.
    let base = if absolute { 4_102_444_800_000 } else { 0 };
    // Seldom twice the same: which of two that are equal is later is told by the clock.
    let at = base + HOUR_MS + dice.below(18_000) as u64 * 1000;
    (at / unit_ms).to_string().into_bytes()
}

pub(crate) fn pattern(dice: &mut Dice) -> Vec<u8> {
    const PATTERNS: [&str; 14] =
        ["*", "a*", "?", "[a-c]*", "{k}*", "*1", "h?*", "[^a]*", "\\*", "nosort", "#", "x", "{k}s*", ""];
    dice.pick(&PATTERNS).as_bytes().to_vec()
}

pub(crate) fn bit_offset(dice: &mut Dice) -> Vec<u8> {
    const OFFSETS: [&str; 14] =
        ["0", "1", "7", "8", "9", "15", "16", "31", "63", "64", "100", "1000", "#0", "#3"];
    const ODD: [&str; 8] =
        ["-1", "4294967296", "#-1", "#", "a", "", "9223372036854775807", "#9223372036854775807"];
    let odd = dice.percent(8);
    if odd { dice.pick(&ODD) } else { dice.pick(&OFFSETS) }.as_bytes().to_vec()
}

pub(crate) fn encoding(dice: &mut Dice) -> Vec<u8> {
    const ENCODINGS: [&str; 14] =
        ["u8", "i8", "u4", "i4", "u1", "i1", "u16", "i16", "i64", "u63", "u32", "i32", "u7", "i13"];
    const ODD: [&str; 8] = ["u64", "i65", "u0", "i0", "x8", "u", "", "u8a"];
    let odd = dice.percent(8);
    if odd { dice.pick(&ODD) } else { dice.pick(&ENCODINGS) }.as_bytes().to_vec()
}

pub(crate) fn longitude(dice: &mut Dice) -> Vec<u8> {
    const AT: [&str; 12] = [
        "13.361389",
        "15.087269",
        "13.583333",
        "2.349014",
        "-122.27652",
        "0",
        "-180",
        "180",
        "179.9",
        "-179.9",
        "12.758489",
        "90",
    ];
    const ODD: [&str; 6] = ["180.1", "-181", "nan", "inf", "a", ""];
    let odd = dice.percent(6);
    // Mostly nearby, so that few distances are equal.
    if !odd && dice.percent(70) {
        let base: f64 = dice.pick(&AT[..5]).parse().expect("a number");
        return format!("{:.6}", base + dice.below(1_000_000) as f64 / 1e6).into_bytes();
    }
    if odd { dice.pick(&ODD) } else { dice.pick(&AT) }.as_bytes().to_vec()
}

pub(crate) fn latitude(dice: &mut Dice) -> Vec<u8> {
    const AT: [&str; 12] = [
        "38.115556",
        "37.502669",
        "37.316667",
        "48.864716",
        "37.80574",
        "0",
        "85.05112878",
        "-85.05112878",
        "85",
        "-85",
        "38.788135",
        "45",
    ];
    const ODD: [&str; 6] = ["85.06", "-86", "nan", "inf", "a", ""];
    let odd = dice.percent(6);
    // Mostly nearby, so that few distances are equal.
    if !odd && dice.percent(70) {
        let base: f64 = dice.pick(&AT[..5]).parse().expect("a number");
        return format!("{:.6}", base + dice.below(1_000_000) as f64 / 1e6).into_bytes();
    }
    if odd { dice.pick(&ODD) } else { dice.pick(&AT) }.as_bytes().to_vec()
}

pub(crate) fn distance(dice: &mut Dice) -> Vec<u8> {
    const FAR: [&str; 10] = ["100", "200", "0", "1", "1000", "5000", "20000", "500000", "10.5", "1e7"];
    const ODD: [&str; 5] = ["-1", "nan", "inf", "a", ""];
    let odd = dice.percent(6);
    if odd { dice.pick(&ODD) } else { dice.pick(&FAR) }.as_bytes().to_vec()
}

/// What redis-server answered to `DUMP` of values in each of its forms.
const PAYLOADS: [&[u8]; 10] = [
    b"\x00\xc190\x0a\x00\x9d\x94\xea'\x93\xfc\x08\xb9",
    b"\x00\xc3\x0e@d\x01xx\xe01\x00\x00y\xe0\x1c\x00\x01yy\x0a\x00\xacS\xc6\x9d\xc0\xebNu",
    b"\x12\x01\x02\xc3 @`\x18`\x00\x00\x00\x06\x00\x81a\x02\x81b\x02\x01\x01\xde\xd4\x02\xf2\xa0\x86\x01\x04\xe0Fx\xe0<\x00\x01H\xff\x0a\x00\xe0Dt\xb4\x1aW\xab\xff",
    b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0a\x00\xe5\x10\xb2\x8e{\x95)\xaa",
    b"\x02\x03\x01b\x01a\xc0\x01\x0a\x00\x17\xa8\x9f4\x071\xc3\xde",
    b"\x10\x1e\x1e\x00\x00\x00\x06\x00\x81a\x02\x01\x01\x81b\x02\x85hello\x06\x81c\x02\xf2\x90\xee\xfe\x04\xff\x0a\x00\x1b\x19\x83\x1dL\x09tc",
    b"\x11\"\"\x00\x00\x00\x08\x00\x81d\x02\xdf\xfd\x02\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81c\x02\x83inf\x04\xff\x0a\x00\xf8!\xe3Lz\xae[\x14",
    b"\x04\x02\x01b\xc0\x01\x01a\xc3\x09@F\x01xx\xe09\x00\x01xx\x0a\x00\xf63^\x1bW\xaa\xe6\x15",
    b"\x05\x02\x01b\x00\x00\x00\x00\x00\x00\x00@\xc3\x09@F\x01xx\xe09\x00\x01xx\x00\x00\x00\x00\x00\x00\xf0?\x0a\x00b\x19~\x7f\x1eS\xd6C",
    b"\x0b\x10\x04\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00p\x11\x01\x00\x0a\x00'5Cn\xfdfV\xc4",
];

/// Mostly sound; else cut, or with a byte altered.
pub(crate) fn payload(dice: &mut Dice) -> Vec<u8> {
    let mut payload = dice.pick(&PAYLOADS).to_vec();
    match dice.below(10) {
        0 => payload.truncate(dice.below(payload.len())),
        1 => {
            let at = dice.below(payload.len());
            payload[at] ^= 1 << dice.below(8);
        }
        _ => {}
    }
    payload
}
