//! What can be wrong with bytes from a peer. After any of these the stream has no next command: answer, then close.

/// Why bytes from a client are no command. `Display` is Redis 7's text; the reply is `-ERR ` and that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The count after `*` is no integer, or exceeds [`Limits::args_max`](crate::Limits::args_max).
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The length after `$` is no integer, is negative, or exceeds [`Limits::bulk_bytes_max`](crate::Limits::bulk_bytes_max).
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// A client that must authenticate first claims more arguments than that takes.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// A client that must authenticate first claims a longer argument than that takes.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// An argument starts with another byte than `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(*got))]
    ExpectedBulk { got: u8 },
    /// An argument is longer or shorter than its header said. Redis skips these two bytes unread; a stream that
    /// lost its framing is refused here, so that no value is ever run as a command.
    #[error("Protocol error: expected CRLF after bulk")]
    ExpectedBulkEnd,
    /// No line end within [`Limits::inline_bytes_max`](crate::Limits::inline_bytes_max) after `*`.
    #[error("Protocol error: too big mbulk count string")]
    TooBigMultibulkCount,
    /// No line end within [`Limits::inline_bytes_max`](crate::Limits::inline_bytes_max) after `$`.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkCount,
    /// An inline command is longer than [`Limits::inline_bytes_max`](crate::Limits::inline_bytes_max).
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// An inline command has a quote that is not closed, or one with text right after its close.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Why bytes from a server are no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("reply starts with byte 0x{got:02x}, which is no RESP type; close the connection")]
    UnknownType { got: u8 },
    #[error("the line of a reply of type '{}' is malformed; close the connection", char::from(*kind))]
    MalformedLine { kind: u8 },
    #[error("the line of a reply exceeds {limit_bytes} bytes; close the connection")]
    TooBigLine { limit_bytes: usize },
    #[error("a reply of type '{}' claims length {length}, at most {limit} is accepted; close the connection", char::from(*kind))]
    InvalidLength { kind: u8, length: i64, limit: i64 },
    #[error("a string reply of {length_bytes} bytes is not followed by CRLF; close the connection")]
    ExpectedEnd { length_bytes: usize },
    #[error("replies are nested deeper than {limit} levels; close the connection")]
    TooDeep { limit: usize },
}
