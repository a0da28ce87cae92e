//! Whether two replies to the same command say the same.
//!
//! Mostly their bytes are equal. What Redis leaves open is compared as far as it is not: the order of what has none, the
//! shape of what is drawn at random, times up to the moment at which they were asked. What is left is a departure that is
//! meant, in [`is_meant`], with its reason in `docs/redis-differences.md`.

use crate::Args;
use crate::scripted::{self, Form};
use ironcache_resp::{Value, parse_value};

/// Moments that the two sides tell of the same key lie this close, in ms: one is asked after the other, on a busy machine.
const CLOCKS_MS: i64 = 60_000;

/// What of a reply counts.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Exact,
    /// A collection in no order; `width` elements of a flat one belong together.
    Unordered {
        width: usize,
    },
    /// How much it is, not which.
    Shape,
    /// That it is an answer of this kind.
    Kind,
    /// What of it tells when something happened, or how long ago, as a time; all else to the letter.
    Timed,
    /// A moment or a duration, in units of so many ms.
    Time {
        unit_ms: i64,
    },
    /// A cursor, and a collection of `width` in no order; only whole if both cursors are at their end.
    Scan {
        width: usize,
    },
}

fn measure(args: &Args) -> Measure {
    let name = String::from_utf8_lossy(&args[0]).to_lowercase();
    match &*name {
        "smembers" | "sinter" | "sunion" | "sdiff" | "hkeys" | "hvals" | "keys" => {
            Measure::Unordered { width: 1 }
        }
        "hgetall" => Measure::Unordered { width: 2 },
        "spop" | "srandmember" | "hrandfield" | "zrandmember" | "randomkey" | "dump" => Measure::Shape,
        "xpending" | "xinfo" => Measure::Timed,
        "xadd" if args.iter().any(|arg| arg == b"*") => Measure::Shape,
        "ttl" | "expiretime" => Measure::Time { unit_ms: 1000 },
        "pttl" | "pexpiretime" => Measure::Time { unit_ms: 1 },
        // A set that is not sorted has no order.
        "sort" | "sort_ro" if args.iter().any(|arg| arg.eq_ignore_ascii_case(b"by")) => Measure::Shape,
        // Where another cursor than the first leads is a server's own affair.
        "scan" | "hscan" | "sscan" | "zscan" if args[if name == "scan" { 1 } else { 2 }] != b"0" => {
            Measure::Kind
        }
        "scan" | "sscan" => Measure::Scan { width: 1 },
        "hscan" | "zscan" => Measure::Scan { width: 2 },
        _ => Measure::Exact,
    }
}

/// The replies to a sequence, of which each is `ours` or `theirs`: which is the first that differs.
pub(crate) fn first_difference(commands: &[Args], ours: &[Vec<u8>], theirs: &[Vec<u8>]) -> Option<usize> {
    let mut queued: Vec<&Args> = Vec::new();
    for (at, (args, (ours, theirs))) in commands.iter().zip(ours.iter().zip(theirs)).enumerate() {
        if args[0].eq_ignore_ascii_case(b"multi") {
            queued.clear();
        }
        let (ours_value, theirs_value) = (value(ours), value(theirs));
        if theirs_value == Value::Simple("QUEUED".to_owned()) {
            queued.push(args);
        }
        if ours == theirs {
            continue;
        }
        let same = match (&ours_value, &theirs_value) {
            (Value::Array(ours), Value::Array(theirs)) if args[0].eq_ignore_ascii_case(b"exec") => {
                ours.len() == theirs.len()
                    && queued.iter().zip(ours.iter().zip(theirs)).all(|(args, (a, b))| agree(args, a, b))
            }
            // An absent string and an absent array are told apart by RESP2, and by its clients.
            (Value::Null, Value::Null) => false,
            (a, b) => agree(args, a, b),
        };
        if !same {
            return Some(at);
        }
    }
    None
}

fn value(reply: &[u8]) -> Value {
    match parse_value(reply) {
        Ok(Some((value, _))) => value,
        Ok(None) | Err(_) => Value::Error("no reply at all".to_owned()),
    }
}

fn agree(args: &Args, ours: &Value, theirs: &Value) -> bool {
    if let Some((form, command)) = scripted::inner(args) {
        return match (form, ours, theirs) {
            (Form::Caught, Value::Array(a), Value::Array(b)) if a.len() == 2 && b.len() == 2 => {
                a[1] == b[1] && agree(&command, &a[0], &b[0])
            }
            (Form::Whole | Form::Caught, a, b) => agree(&command, a, b),
        };
    }
    if equal(ours, theirs) || is_meant(args, ours, theirs) {
        return true;
    }
    if matches!(ours, Value::Error(_)) || matches!(theirs, Value::Error(_)) {
        return false;
    }
    match measure(args) {
        Measure::Exact => false,
        Measure::Unordered { width } => {
            same_kind(ours, theirs) && sorted(ours, width) == sorted(theirs, width)
        }
        Measure::Kind => same_kind(ours, theirs),
        Measure::Timed => same_but_for_times(ours, theirs),
        Measure::Shape => shape(ours) == shape(theirs),
        Measure::Time { unit_ms } => match (ours, theirs) {
            (Value::Int(a), Value::Int(b)) => *a >= 0 && *b >= 0 && (a - b).abs() <= CLOCKS_MS / unit_ms,
            _ => false,
        },
        Measure::Scan { width } => match (ours, theirs) {
            (Value::Array(a), Value::Array(b)) if a.len() == 2 && b.len() == 2 => {
                let ended = |v: &Value| v.as_bytes() == Some(b"0");
                !ended(&a[0]) || !ended(&b[0]) || sorted(&a[1], width) == sorted(&b[1], width)
            }
            _ => false,
        },
    }
}

/// Doubles are equal as numbers: their texts are those of redis 7.2, the shortest that read back.
fn equal(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) | (Value::Set(a), Value::Set(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(&a.0, &b.0) && equal(&a.1, &b.1))
        }
        (Value::Bulk(a), Value::Bulk(b)) => a == b || same_double(a, b),
        (a, b) => a == b,
    }
}

/// What streams tell of times: as a field of that name, or of a pending entry behind its id, and behind whose it is.
fn same_but_for_times(ours: &Value, theirs: &Value) -> bool {
    let is_time = |name: &Value| matches!(name.as_bytes(), Some(b"idle" | b"seen-time"));
    let near = |a: &Value, b: &Value| match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.wrapping_sub(*b).unsigned_abs() <= CLOCKS_MS as u64,
        _ => false,
    };
    match (ours, theirs) {
        (Value::Array(a), Value::Array(b)) => {
            let pending_at = match &a[..] {
                [Value::Bulk(_), Value::Bulk(_), Value::Int(_), Value::Int(_)] => Some(2),
                [Value::Bulk(_), Value::Int(_), Value::Int(_)] => Some(1),
                _ => None,
            };
            a.len() == b.len()
                && a.iter().zip(b).enumerate().all(|(at, (x, y))| {
                    let named = at > 0 && is_time(&a[at - 1]) && is_time(&b[at - 1]);
                    same_but_for_times(x, y) || (named || pending_at == Some(at)) && near(x, y)
                })
        }
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((name, x), (other, y))| {
                    name == other && (same_but_for_times(x, y) || is_time(name) && near(x, y))
                })
        }
        (a, b) => a == b,
    }
}

/// Whether these are doubles, as RESP2 shows them, and equal.
fn same_double(a: &[u8], b: &[u8]) -> bool {
    let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<f64>().ok();
    let shown = |text: &[u8]| text.iter().any(|b| matches!(b, b'.' | b'e'));
    (shown(a) || shown(b)) && parse(a).is_some_and(|a| Some(a) == parse(b))
}

fn same_kind(a: &Value, b: &Value) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b)
}

/// The elements, those that belong together as one, in an order of their own.
fn sorted(value: &Value, width: usize) -> Vec<String> {
    let mut elements: Vec<String> = match value {
        Value::Array(all) | Value::Set(all) => {
            all.chunks(width).map(|chunk| chunk.iter().map(text).collect::<Vec<_>>().join(" ")).collect()
        }
        Value::Map(all) => all.iter().map(|(key, value)| format!("{} {}", text(key), text(value))).collect(),
        other => vec![text(other)],
    };
    elements.sort();
    elements
}

/// A value, and of a double, as RESP2 shows it, the number.
fn text(value: &Value) -> String {
    let bytes = value.as_bytes().filter(|bytes| bytes.iter().any(|b| matches!(b, b'.' | b'e')));
    let double = bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()?.parse::<f64>().ok());
    double.map_or_else(|| format!("{value:?}"), |double| double.to_string())
}

fn shape(value: &Value) -> String {
    match value {
        Value::Array(all) => format!("array {:?}", all.iter().map(shape).collect::<Vec<_>>()),
        Value::Set(all) => format!("set {:?}", all.iter().map(shape).collect::<Vec<_>>()),
        Value::Map(all) => format!("map {}", all.len()),
        Value::Null => "null".to_owned(),
        Value::Int(_) => "integer".to_owned(),
        Value::Double(_) => "double".to_owned(),
        Value::Simple(_) | Value::Bulk(_) | Value::Verbatim { .. } | Value::BigNumber(_) => {
            "string".to_owned()
        }
        Value::Error(text) => format!("error {text}"),
        Value::Boolean(_) => "boolean".to_owned(),
        Value::Push(_) => "push".to_owned(),
    }
}

/// Where we depart, and mean it.
fn is_meant(args: &Args, _ours: &Value, theirs: &Value) -> bool {
    // The option WITHSCORE is of redis 7.2.
    let ranks = args[0].eq_ignore_ascii_case(b"zrank") || args[0].eq_ignore_ascii_case(b"zrevrank");
    // Redis negates it, which overflows.
    let overflows =
        args[0].eq_ignore_ascii_case(b"lpos") && args.iter().any(|arg| arg == b"-9223372036854775808");
    // Of a key called "store" Redis looks at another one than it writes to.
    let stores = |arg: &&Vec<u8>| arg.eq_ignore_ascii_case(b"store");
    let sorts = args[0].eq_ignore_ascii_case(b"sort") && args.iter().filter(stores).count() > 1;
    overflows || sorts || ranks && args.len() > 3 && matches!(theirs, Value::Error(_))
}

/// Which transaction did redis-server refuse that is executed here, for a count of keys that is no number? What follows it has
/// other data.
pub(crate) fn parted_at(commands: &[Args], theirs: &[Vec<u8>]) -> Option<usize> {
    let mut odd = false;
    commands.iter().zip(theirs).position(|(args, theirs)| {
        let is = |name: &[u8]| args[0].eq_ignore_ascii_case(name);
        odd = !is(b"multi") && (odd || counts_oddly(args));
        odd && is(b"exec") && theirs.starts_with(b"-CROSSSLOT")
    })
}

/// Of a count of keys that is no number but begins with one Redis reads the beginning, and looks for the slots of other words.
fn counts_oddly(args: &Args) -> bool {
    const COUNTED: [&[u8]; 12] = [
        b"zunion",
        b"zinter",
        b"zdiff",
        b"zunionstore",
        b"zinterstore",
        b"zdiffstore",
        b"zintercard",
        b"sintercard",
        b"lmpop",
        b"zmpop",
        b"blmpop",
        b"bzmpop",
    ];
    let odd =
        |arg: &Vec<u8>| arg.first().is_some_and(u8::is_ascii_digit) && !arg.iter().all(u8::is_ascii_digit);
    COUNTED.iter().any(|name| args[0].eq_ignore_ascii_case(name)) && args.iter().skip(1).take(2).any(odd)
}
