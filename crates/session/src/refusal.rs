//! Why a request was refused, worded as Redis words it: clients match on these texts.
//!
//! *Invariant:* a refused request was not executed, and never will be.
//! *Invariant:* text is made once, where the reply is written, and nobody reads anything out of it.

use crate::site::Busy;
use ironcache_acl::{Denied, RuleError};
use ironcache_command::{CommandError, LibrariesError, Spec, WrongArity};
use ironcache_types::Slot;
use std::fmt;

/// `Display` is the reply without its leading `-`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("{text}")]
    UnknownCommand { text: String },
    #[error("{text}")]
    Subcommand { text: String },
    #[error("ERR unknown subcommand or wrong number of arguments for '{given}'. Try PUBSUB HELP.")]
    SubcommandSyntax { given: String },
    #[error(transparent)]
    Arity(WrongArity),
    /// Of an `EXEC`: as in Redis, it ends the transaction.
    #[error("EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")]
    ExecArity,
    #[error("NOAUTH Authentication required.")]
    NotAuthenticated,
    #[error(transparent)]
    Denied(Denied),
    /// Of an `EXEC`: it ends the transaction.
    #[error("EXECABORT Transaction discarded because of: {0}")]
    ExecDenied(Denied),
    #[error(transparent)]
    NotYet(CommandError),
    #[error("ERR '{name}' is not supported by ironcache")]
    NotSupported { name: &'static str },
    #[error("ERR a node is stopped by its service manager (SIGTERM to its launcher), not by a client")]
    Shutdown,

    // Who executes it.
    #[error("MOVED {0}")]
    Moved(Redirect),
    #[error("CLUSTERDOWN Hash slot not served")]
    Unowned,
    #[error("CROSSSLOT Keys in request don't hash to the same slot")]
    CrossSlot,
    #[error("READONLY You can't write against a read only replica.")]
    ReadOnlyReplica,
    #[error("NOREPLICAS Not enough good replicas to write.")]
    FewInSync,

    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    OutOfMemory,
    /// Of an `EXEC`: it ends the transaction.
    #[error(
        "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'."
    )]
    ExecOutOfMemory,
    // Scripts.
    #[error("{0}")]
    Busy(Busy),
    #[error("EXECABORT Transaction discarded because of: {0}")]
    ExecBusy(Busy),
    #[error("ERR Number of keys can't be negative")]
    NegativeKeys,
    #[error("ERR Number of keys can't be greater than number of args")]
    MoreKeysThanArgs,

    // Functions.
    #[error("ERR Bad number of keys provided")]
    NumberOfKeys,
    #[error("ERR Unknown option given: {option}")]
    LoadOption { option: String },
    #[error("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")]
    FlushMode,
    #[error("ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.")]
    RestorePolicy,
    #[error("ERR library name argument was not given")]
    NoPattern,
    #[error("ERR Unknown argument {option}")]
    ListOption { option: String },
    #[error("ERR {0}")]
    Libraries(LibrariesError),
    #[error("ERR unknown subcommand or wrong number of arguments for '{given}'. Try {container} HELP.")]
    Miscounted { container: &'static str, given: String },

    /// As Redis words it: a monitor is a kind of replica there.
    #[error("ERR Replica can't interact with the keyspace")]
    AtMonitor,

    #[error(
        "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
    )]
    WhileSubscribed { name: &'static str },

    // Transactions.
    #[error("ERR MULTI calls can not be nested")]
    NestedMulti,
    #[error("ERR WATCH inside MULTI is not allowed")]
    WatchInMulti,
    #[error("ERR WATCH without keys")]
    WatchWithoutKeys,
    #[error("ERR a client watches {most_bytes} bytes of keys at most")]
    WatchesTooMuch { most_bytes: usize },
    #[error("ERR MONITOR isn't allowed for DENY BLOCKING client")]
    MonitorInTransaction,
    #[error("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client")]
    ShardInTransaction,
    #[error("ERR EXEC without MULTI")]
    ExecWithoutMulti,
    #[error("ERR DISCARD without MULTI")]
    DiscardWithoutMulti,
    #[error("EXECABORT Transaction discarded because of previous errors.")]
    Spoilt,
    #[error("ERR Command not allowed inside a transaction")]
    NotInTransaction,
    #[error("ERR a transaction above {most_bytes} bytes")]
    TransactionTooLong { most_bytes: usize },

    // The connection.
    #[error("NOPROTO unsupported protocol version")]
    UnknownProtocol,
    #[error("ERR Protocol version is not an integer or out of range")]
    ProtocolNotAnInteger,
    #[error("ERR Syntax error in HELLO option '{option}'")]
    HelloOption { option: String },
    #[error(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time"
    )]
    HelloNotAuthenticated,
    /// Of `user`, given to the command that is called so.
    #[error("WRONGPASS invalid username-password pair or user is disabled.")]
    WrongPassword { command: Vec<u8>, user: Vec<u8> },
    #[error(
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"
    )]
    NoPassword,
    #[error("ERR SELECT is not allowed in cluster mode")]
    Select,
    #[error("ERR Client names cannot contain spaces, newlines or special characters.")]
    Name,
    #[error("ERR client attributes cannot contain spaces, newlines or special characters.")]
    Attribute,
    #[error("ERR Unrecognized option '{option}'")]
    UnknownOption { option: String },
    #[error("ERR Unknown client type '{kind}'")]
    ClientType { kind: String },
    #[error("ERR Invalid client ID")]
    ClientId,
    #[error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")]
    UnblockReason,
    #[error("UNBLOCKED client unblocked via CLIENT UNBLOCK")]
    Unblocked,
    #[error("ERR client-id should be greater than 0")]
    KillId,
    #[error("ERR No such user '{user}'")]
    NoSuchUser { user: String },
    #[error("ERR CLIENT PAUSE mode must be WRITE or ALL")]
    PauseMode,

    // What clients keep.
    #[error("ERR A client can only redirect to a single other client")]
    RedirectedTwice,
    #[error("ERR The client ID you want redirect to does not exist")]
    NobodyToRedirectTo,
    #[error("ERR PREFIX option requires BCAST mode to be enabled")]
    PrefixWithoutBroadcast,
    #[error(
        "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode."
    )]
    BroadcastSwitched,
    #[error("ERR OPTIN and OPTOUT are not compatible with BCAST")]
    BroadcastAndOptions,
    #[error("ERR You can't specify both OPTIN mode and OPTOUT mode")]
    OptInAndOut,
    #[error(
        "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode."
    )]
    OptionsSwitched,
    #[error(
        "ERR Prefix '{prefix}' overlaps with an existing prefix '{other}'. Prefixes for a single client must not overlap."
    )]
    PrefixExists { prefix: String, other: String },
    #[error(
        "ERR Prefix '{prefix}' overlaps with another provided prefix '{other}'. Prefixes for a single client must not overlap."
    )]
    PrefixesOverlap { prefix: String, other: String },
    #[error(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled"
    )]
    CachingWithoutTracking,
    #[error("ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")]
    CachingYes,
    #[error("ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")]
    CachingNo,

    // Users.
    #[error("{0}")]
    Rule(RuleError),
    #[error("ERR Usernames can't contain spaces or null characters")]
    UserName,
    #[error("ERR The 'default' user cannot be removed")]
    DefaultUserStays,
    #[error("ERR User '{name}' not found")]
    UnknownUser { name: String },
    #[error("ERR Unknown category '{category}'")]
    UnknownCategory { category: String },
    #[error("ERR Command '{name}' not found")]
    DryRunOfNothing { name: String },
    #[error(
        "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {most}"
    )]
    PasswordBits { most: i64 },
    /// Redis runs it there; here the log of the cluster has to take it first.
    #[error("ERR users and libraries are not changed, loaded or saved within a transaction")]
    OrderInTransaction,

    // Arguments.
    #[error("ERR syntax error")]
    Syntax,
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    #[error("ERR timeout is not an integer or out of range")]
    TimeoutNotAnInteger,
    #[error("ERR timeout is negative")]
    TimeoutNegative,
    #[error("ERR WAIT cannot be used with replica instances.")]
    WaitAtReplica,
    #[error("ERR Invalid command specified")]
    NoSuchCommand,
    #[error("ERR The command has no key arguments")]
    NoKeys,
    #[error("ERR Invalid number of arguments specified for command")]
    KeysArity,
    #[error("ERR Invalid arguments specified for command")]
    KeysArguments,
}

impl Refusal {
    /// Was it refused before it began? What was not, failed: so `INFO commandstats` tells them apart.
    pub fn is_rejection(&self) -> bool {
        matches!(
            self,
            Refusal::UnknownCommand { .. }
                | Refusal::Subcommand { .. }
                | Refusal::Arity(_)
                | Refusal::ExecArity
                | Refusal::NotAuthenticated
                | Refusal::Busy(_)
                | Refusal::ExecBusy(_)
                | Refusal::NotYet(_)
                | Refusal::Denied(_)
                | Refusal::ExecDenied(_)
                | Refusal::NotSupported { .. }
                | Refusal::Moved(_)
                | Refusal::Unowned
                | Refusal::CrossSlot
                | Refusal::ReadOnlyReplica
                | Refusal::FewInSync
                | Refusal::AtMonitor
                | Refusal::NotInTransaction
                | Refusal::OrderInTransaction
                | Refusal::TransactionTooLong { .. }
        )
    }

    pub(crate) fn denied(command: &Spec, denied: Denied) -> Self {
        if command.name == "exec" { Refusal::ExecDenied(denied) } else { Refusal::Denied(denied) }
    }

    /// Does it spoil the transaction that it falls into? As in Redis, not if it is about no command of it: `EXEC` then runs
    /// what was queued.
    pub(crate) fn spoils(&self) -> bool {
        !matches!(self, Refusal::NestedMulti | Refusal::WatchInMulti)
    }
}

/// Where a slot is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    pub slot: Slot,
    pub endpoint: Endpoint,
}

/// As a client dials it. An IPv6 address stands without brackets: so Redis writes it, and its clients read it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, endpoint: Endpoint { host, port } } = self;
        write!(f, "{slot} {host}:{port}")
    }
}
