//! What a script and its caller say to each other.

use ironcache_resp::Protocol;

/// A script stops, and its caller does something before it goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// `redis.call`: to be executed, and answered by [`Answer::Reply`] in `protocol`.
    Call { args: Vec<Vec<u8>>, protocol: Protocol },
    /// `redis.acl_check_cmd`: may it call that? Answered by [`Answer::Reply`], `:1` or `:0`, or an error if there is no such
    /// command.
    MayCall { args: Vec<Vec<u8>> },
    /// It has run for a while: is it to go on?
    Tick,
    /// `redis.log`.
    Log { level: LogLevel, text: String },
}

/// What a script is resumed with.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    GoOn,
    /// To a [`Step::Call`] or [`Step::MayCall`]: one reply. An error is one that begins with `-`.
    Reply(Vec<u8>),
    /// Nothing more of it is executed, whatever it catches.
    End(Ending),
}

/// Why a script is ended that would have gone on. `Display` is what its client is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ending {
    #[error("ERR Script killed by user with SCRIPT KILL...")]
    Killed,
    /// Of what it wrote nothing is undone.
    #[error("ERR Script was ended after {ms_max} ms (script-ms-max); what it had written stays")]
    TooLong { ms_max: u64 },
    /// Of a library.
    #[error("ERR FUNCTION LOAD timeout")]
    LoadTimeout,
    /// Nobody is there to be told.
    #[error("ERR Script was ended")]
    Dropped,
}

/// As `redis.LOG_…` number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Debug,
    Verbose,
    Notice,
    Warning,
}
