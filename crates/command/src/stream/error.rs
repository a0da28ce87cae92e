//! Why a stream command was refused, worded as Redis words it.

/// `Display` is the reply without its leading `-`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StreamError {
    #[error("ERR Invalid stream ID specified as stream command argument")]
    Id,
    #[error("ERR invalid start ID for the interval")]
    IntervalStart,
    #[error("ERR invalid end ID for the interval")]
    IntervalEnd,
    #[error("ERR The ID specified in XADD must be greater than 0-0")]
    IdZero,
    #[error("ERR The ID specified in XADD is equal or smaller than the target stream top item")]
    IdTooSmall,
    #[error("ERR The stream has exhausted the last possible ID, unable to add more items")]
    IdsExhausted,
    #[error("ERR Elements are too large to be stored")]
    TooLarge,
    #[error("ERR syntax error, MAXLEN and MINID options at the same time are not compatible")]
    TwoTrims,
    #[error("ERR The {option} argument must be >= 0.")]
    TrimNegative { option: &'static str },
    #[error("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy")]
    LimitOfNothing,
    #[error("ERR syntax error, LIMIT cannot be used without the special ~ option")]
    LimitOfExact,
    #[error("ERR syntax error, XTRIM must be called with a trimming strategy")]
    TrimToNothing,
    #[error("ERR entries_added must be positive")]
    AddedNegative,
    #[error("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id")]
    SetBelowDeleted,
    #[error("ERR The ID specified in XSETID is smaller than the target stream top item")]
    SetBelowTop,
    #[error("ERR The entries_added specified in XSETID is smaller than the target stream length")]
    AddedBelowLength,
    #[error("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")]
    Unbalanced,
    #[error("ERR The {option} option is only supported by XREADGROUP. You called XREAD instead.")]
    OnlyOfGroups { option: &'static str },
    #[error("ERR Missing GROUP option for XREADGROUP")]
    GroupMissing,
    #[error(
        "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set."
    )]
    LastOfGroup,
    #[error(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."
    )]
    NewOfNoGroup,
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotAnInteger,
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    #[error("NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option")]
    NoGroupToRead { key: String, group: String },
    #[error("NOGROUP the consumer group this client was blocked on no longer exists")]
    GroupGone,
    #[error("UNBLOCKED the stream key no longer exists")]
    KeyGone,
    #[error("NOGROUP No such key '{key}' or consumer group '{group}'")]
    NoKeyOrGroup { key: String, group: String },
    #[error("NOGROUP No such consumer group '{group}' for key name '{key}'")]
    NoGroup { key: String, group: String },
    #[error("BUSYGROUP Consumer Group name already exists")]
    BusyGroup,
    #[error(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to create an empty stream automatically."
    )]
    KeyMissing,
    #[error("ERR value for ENTRIESREAD must be positive or -1")]
    EntriesRead,
    #[error("ERR Invalid min-idle-time argument for {command}")]
    MinIdle { command: &'static str },
    #[error("ERR Invalid {option} option argument for XCLAIM")]
    ClaimOption { option: &'static str },
    #[error("ERR Unrecognized XCLAIM option '{option}'")]
    ClaimUnknown { option: String },
    #[error("ERR unknown subcommand '{subcommand}'. Try {command} HELP.")]
    UnknownSubcommand { command: &'static str, subcommand: String },
    #[error("ERR unknown subcommand or wrong number of arguments for '{subcommand}'. Try {command} HELP.")]
    SubcommandSyntax { command: &'static str, subcommand: String },
}

/// A name as errors show it.
pub(super) fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
