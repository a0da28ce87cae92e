//! Streams to begin with, and what commands say of them.

use crate::Args;
use crate::grammar::Kind;
use crate::pool;
use crate::random::Dice;

fn words(words: &[&str]) -> Args {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A stream, sometimes of several blocks, and mostly a group that has read some of it.
pub(crate) fn fill(commands: &mut Vec<Args>, key: &str, dice: &mut Dice) {
    /// More than a block has entries, or bytes.
    const MANY: usize = 230;
    if dice.percent(20) {
        return;
    }
    let large = dice.percent(12);
    let entries = if large { MANY } else { 1 + dice.below(6) };
    let long = large && dice.percent(50);
    for at in 0..entries {
        let id = format!("{}-{}", 1 + at / 4, 1 + at % 4);
        let mut args = words(&["XADD", key, &id, "f"]);
        args.push(if long { vec![b'v'; 10 + 37 * (at % 9)] } else { pool::element(dice) });
        if dice.percent(15) {
            args.extend([pool::element(dice), pool::element(dice)]);
        }
        commands.push(args);
    }
    if dice.percent(85) {
        let (from, count) = (*dice.pick(&["0", "0", "1-2", "$"]), *dice.pick(&["1", "2", "3", "120"]));
        commands.push(words(&["XGROUP", "CREATE", key, "g1", from]));
        commands.push(words(&["XREADGROUP", "GROUP", "g1", "c1", "COUNT", count, "STREAMS", key, ">"]));
    }
}

const IDS: [&str; 18] = [
    "0", "0-0", "1", "1-1", "1-2", "1-3", "2-1", "2-2", "2", "3-1", "3", "5-0", "9-1", "9-2", "20-1", "40-3",
    "100-1", "58-2",
];
const ODD_IDS: [&str; 20] = [
    "",
    "a",
    "1-",
    "-1",
    "1-1-1",
    "18446744073709551615",
    "18446744073709551615-18446744073709551615",
    "18446744073709551616",
    "0-18446744073709551615",
    "01-01",
    "+1",
    " 1",
    "1--0",
    "-",
    "+",
    "1-*",
    "$",
    ">",
    "(1-1",
    "(",
];

fn id(dice: &mut Dice) -> &'static str {
    let odd = dice.percent(8);
    let ids: &[&'static str] = if odd { &ODD_IDS } else { &IDS };
    let id: &&str = dice.pick(ids);
    id
}

/// What is drawn for an argument of a stream command.
pub(crate) fn value(dice: &mut Dice, command: &str, name: &str, kind: Kind) -> Vec<u8> {
    let is = |part: &str| name.contains(part);
    // An hour and more apart, so that it does not matter when they are asked.
    const DURATIONS: [&str; 12] =
        ["0", "0", "0", "0", "0", "0", "3600000", "7200000", "100000000", "3600000", "-1", "a"];
    const TIMES: [&str; 7] = ["0", "1", "1000000", "1000000000000", "9223372036854775807", "-1", "a"];
    let text = match (command, name) {
        _ if is("group") => *dice.pick(&["g1", "g1", "g1", "g1", "g1", "g1", "g2", "g3"]),
        _ if is("consumer") => *dice.pick(&["c1", "c1", "c1", "c2", "c3", "c"]),
        _ if is("idle") || name == "ms" => *dice.pick(&DURATIONS),
        _ if is("unix-time") => *dice.pick(&TIMES),
        (_, "entries_added" | "entries_read") => *dice.pick(&["-1", "0", "1", "2", "5", "300", "-2", "a"]),
        ("xadd", "id") => match dice.below(4) {
            0 => id(dice),
            _ => *dice.pick(&["9-*", "58-*", "100-*", "100-*", "3-*", "60-1", "101-1", "0-*"]),
        },
        ("xadd" | "xtrim", "count") => *dice.pick(&["0", "1", "5", "99", "100", "150", "200", "-1", "a"]),
        (_, "threshold") => match dice.below(3) {
            0 => id(dice),
            _ => *dice.pick(&["0", "1", "2", "3", "5", "100", "101", "129", "130", "229", "-1", "a"]),
        },
        ("xread", "id") if dice.percent(20) => "$",
        ("xreadgroup", "id") if dice.percent(60) => ">",
        (_, "start") if dice.percent(40) => "-",
        (_, "end") if dice.percent(40) => "+",
        (_, "start" | "end") if dice.percent(20) => {
            *dice.pick(&["(1-1", "(2", "(0", "(3-1", "(1-2", "(0-0", "(-", "(18446744073709551615"])
        }
        (_, "id" | "start" | "end" | "last-id" | "max_deleted_entry_id") => id(dice),
        _ if kind == Kind::Integer && is("count") => return pool::count(dice),
        _ if kind == Kind::Integer => return pool::integer(dice),
        _ => return pool::element(dice),
    };
    text.as_bytes().to_vec()
}
