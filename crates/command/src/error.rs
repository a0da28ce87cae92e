//! Error replies, worded as Redis words them: clients match on these texts.

use ironcache_types::Level;

/// Why a data command was refused. `Display` is the reply without its leading `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
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
    #[error("ERR no such key")]
    NoSuchKey,
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
