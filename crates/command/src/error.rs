//! Error replies, worded as Redis words them: clients match on these texts.

use crate::stream::StreamError;
use ironcache_types::Level;

/// Why a data command was refused. `Display` is the reply without its leading `-`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CommandError {
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")]
    LimitByRank,
    #[error("ERR syntax error, WITHSCORES not supported in combination with BYLEX")]
    ScoresByLex,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR value is out of range")]
    OutOfRange,
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    #[error("ERR value is not a valid float")]
    NotAFloat,
    #[error("ERR value is NaN or Infinity")]
    NotFinite,
    #[error("ERR hash value is not an integer")]
    HashValueNotAnInteger,
    #[error("ERR hash value is not a float")]
    HashValueNotAFloat,
    #[error("ERR increment or decrement would overflow")]
    IncrementOverflow,
    #[error("ERR decrement would overflow")]
    DecrementOverflow,
    #[error("ERR increment would produce NaN or Infinity")]
    IncrementNotFinite,
    #[error("ERR resulting score is not a number (NaN)")]
    ScoreNotANumber,
    #[error("ERR min or max is not a float")]
    ScoreRange,
    #[error("ERR min or max not valid string range item")]
    LexRange,
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    #[error(
        "NOTYET '{command}' exists since level {since}, and the cluster is at level {level}: finalize the rollout first"
    )]
    NotYet { command: &'static str, since: Level, level: Level },
    #[error("ERR timeout is not a float or out of range")]
    TimeoutNotAFloat,
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    #[error("ERR no such key")]
    NoSuchKey,
    #[error("ERR source and destination objects are the same")]
    SameObject,
    #[error("ERR DB index is out of range")]
    DbIndex,
    #[error("ERR Copying to another database is not allowed in cluster mode")]
    CopyToOtherDb,
    #[error("ERR {what} should be greater than 0")]
    NotAboveZero { what: &'static str },
    #[error("ERR {what} can't be negative")]
    Negative { what: &'static str },
    #[error("ERR value is out of range, value must between {min} and {max}")]
    NotBetween { min: i64, max: i64 },
    #[error("ERR Number of keys can't be greater than number of args")]
    MoreKeysThanArgs,
    #[error("ERR at least 1 input key is needed for '{command}' command")]
    NoInputKey { command: &'static str },
    #[error("ERR weight value is not a float")]
    WeightNotAFloat,
    #[error(
        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list"
    )]
    RankZero,
    #[error("ERR The specified keys must contain string values")]
    LcsNotStrings,
    #[error("ERR If you want both the length and indexes, please just use IDX.")]
    LcsLenAndIndexes,
    #[error("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len")]
    LcsTooLarge,
    #[error("ERR {option} option of SORT denied in Cluster mode.")]
    SortDenied { option: &'static str },
    #[error("ERR One or more scores can't be converted into double")]
    SortNotNumbers,
    #[error("WRONGTYPE Key is not a valid HyperLogLog string value.")]
    NotAnHll,
    #[error("INVALIDOBJ Corrupted HLL object detected")]
    HllCorrupt,
    #[error("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")]
    NoSuchPlace { longitude: f64, latitude: f64 },
    #[error("ERR unsupported unit provided. please use M, KM, FT, MI")]
    DistanceUnit,
    #[error("ERR need numeric radius")]
    RadiusNotANumber,
    #[error("ERR radius cannot be negative")]
    RadiusNegative,
    #[error("ERR need numeric width")]
    WidthNotANumber,
    #[error("ERR need numeric height")]
    HeightNotANumber,
    #[error("ERR height or width cannot be negative")]
    BoxNegative,
    #[error("ERR could not decode requested zset member")]
    NoSuchMember,
    #[error("ERR COUNT must be > 0")]
    CountNotPositive,
    #[error("ERR {what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options")]
    StoreWithOptions { what: &'static str },
    #[error("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {command}")]
    NoMiddle { command: String },
    #[error("ERR exactly one of BYRADIUS and BYBOX can be specified for {command}")]
    NoShape { command: String },
    #[error("ERR the ANY argument requires COUNT argument")]
    AnyWithoutCount,
    #[error("BUSYKEY Target key name already exists.")]
    BusyKey,
    #[error("ERR DUMP payload version or checksum are wrong")]
    DumpFooter,
    #[error("ERR Bad data format")]
    DumpValue,
    #[error("ERR Invalid TTL value, must be >= 0")]
    RestoreTtl,
    #[error("ERR Invalid IDLETIME value, must be >= 0")]
    RestoreIdle,
    #[error("ERR Invalid FREQ value, must be >= 0 and <= 255")]
    RestoreFrequency,
    #[error("ERR bit offset is not an integer or out of range")]
    BitOffset,
    #[error("ERR bit is not an integer or out of range")]
    BitValue,
    #[error("ERR The bit argument must be 1 or 0.")]
    BitArgument,
    #[error("ERR BITOP NOT must be called with a single source key.")]
    BitopNot,
    #[error(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
    )]
    BitfieldType,
    #[error("ERR Invalid OVERFLOW type specified")]
    BitfieldOverflow,
    #[error("ERR BITFIELD_RO only supports the GET subcommand")]
    BitfieldReadOnly,
    #[error("ERR index out of range")]
    IndexOutOfRange,
    #[error("ERR invalid cursor")]
    InvalidCursor,
    #[error("ERR invalid expire time in '{command}' command")]
    InvalidExpiry { command: &'static str },
    #[error("ERR Unsupported option {option}")]
    UnsupportedOption { option: String },
    #[error("ERR NX and XX, GT or LT options at the same time are not compatible")]
    ExpireNxWithOthers,
    #[error("ERR GT and LT options at the same time are not compatible")]
    ExpireGtWithLt,
    #[error("ERR XX and NX options at the same time are not compatible")]
    ZaddXxWithNx,
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    ZaddGtLtNx,
    #[error("ERR INCR option supports a single increment-element pair")]
    ZaddIncrPairs,
    #[error("ERR wrong number of arguments for '{command}' command")]
    WrongArity { command: &'static str },
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("ERR '{command}' is executed by the server, not on the data")]
    NotADataCommand { command: &'static str },
}

/// The number of arguments does not fit the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ERR wrong number of arguments for '{command}' command")]
pub struct WrongArity {
    pub command: &'static str,
}

/// The text for a wrong number of arguments; `command` is `get`, or `client|setname`.
pub fn wrong_arity(command: &str) -> String {
    format!("ERR wrong number of arguments for '{command}' command")
}

/// The text for a command that does not exist. `args` has its name first, and may be empty.
pub fn unknown_command(args: &[&[u8]]) -> String {
    /// As Redis: of the name, and of all arguments together.
    const SHOWN_BYTES_MAX: usize = 128;
    let shown =
        |bytes: &[u8], max: usize| String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned();
    let (name, rest) = args.split_first().map_or((&[][..], &[][..]), |(name, rest)| (*name, rest));
    let mut beginning = String::new();
    for arg in rest {
        let Some(left) = SHOWN_BYTES_MAX.checked_sub(beginning.len()).filter(|left| *left > 0) else {
            break;
        };
        beginning += &format!("'{}' ", shown(arg, left));
    }
    let name = shown(name, SHOWN_BYTES_MAX);
    format!("ERR unknown command '{name}', with args beginning with: {beginning}")
}

/// The text for a subcommand that does not exist; `command` is the container in upper case.
pub fn unknown_subcommand(command: &str, subcommand: &[u8]) -> String {
    let subcommand = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    format!("ERR unknown subcommand '{subcommand}'. Try {command} HELP.")
}

/// The text for arguments of a subcommand, in a number that it may have, of which it can make nothing.
pub fn unfit_subcommand(command: &str, subcommand: &[u8]) -> String {
    let subcommand = String::from_utf8_lossy(&subcommand[..subcommand.len().min(128)]);
    format!("ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {command} HELP.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_commands_are_described_as_redis_does() {
        assert_eq!(
            unknown_command(&[b"foo", b"a", b"b"]),
            "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
        );
        assert_eq!(unknown_command(&[b"foo"]), "ERR unknown command 'foo', with args beginning with: ");
        let long = vec![b'x'; 1000];
        assert!(unknown_command(&[&long, &long, &long]).len() < 400);
    }
}
