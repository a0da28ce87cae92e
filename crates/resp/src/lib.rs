//! The Redis serialization protocol, RESP2 and RESP3, without any I/O.
//!
//! ```text
//! bytes from a client ──> CommandParser ──> Args (slices of those bytes)
//! replies             ──> Writer        ──> bytes in the protocol that the client chose
//! bytes from a server ──> parse_value   ──> Value (clients, tools, tests)
//! ```
//!
//! *Invariant:* no input bytes can make anything here panic, loop, or reserve memory that they did not pay for.
//! *Invariant:* parsing a multibulk command allocates nothing once the scratch has grown to the usual argument count.
//! *Invariant:* a command that arrives in pieces costs time linear in its bytes, however small the pieces are.
//! *Invariant:* absent here are sockets, clocks and the meaning of commands.

mod ahead;
mod args;
mod command;
mod double;
mod error;
mod inline;
mod integer;
mod protocol;
mod value;
mod write;

pub use ahead::FirstArguments;
pub use args::{Args, ArgsIter, OwnedArgs};
pub use command::{CommandParser, Limits, Parsed, Trust};
pub use double::{DoubleText, format_double};
pub use error::{ProtocolError, ReplyError};
pub use inline::split_words;
pub use integer::parse_integer;
pub use protocol::Protocol;
pub use value::{Value, parse_value};
pub use write::{Writer, encode_command};
