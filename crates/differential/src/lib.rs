//! redis-server as the oracle: random commands by its own grammar, run on it and on us, and compared.
//!
//! ```text
//!   COMMAND DOCS ──Grammar──▶ Generator(seed) ──sequence──▶ Side: redis-server ──▶ replies, dataset ─┐
//!                                                  └──────▶ Side: the one tried ──▶ replies, dataset ─┴─▶ compare ──▶ minimise
//! ```
//!
//! A sequence empties the dataset, fills a few keys of every type, and then runs commands that collide on them, some in
//! transactions, some called by scripts, in RESP2 or RESP3. Compared are all replies, and afterwards of each key the type, the expiry and the
//! value; on demand also what clients are told of keys, a command. A sequence that differs is made as short as it can be and still differ.
//!
//! For tests and tools alone. The oracle runs in cluster mode, owning every slot, as a node of ours does.
//!
//! *Invariant:* a seed repeats its sequences, given the same redis-server and the same commands.
//! *Invariant:* a missing redis-server is an error that says so, never a silent success.

mod compare;
mod generate;
mod grammar;
mod listening;
mod oracle;
mod pool;
mod random;
mod remote;
mod run;
mod scripted;
mod stream;
mod trial;

pub use oracle::{Oracle, OracleError};
pub use remote::Remote;
pub use run::{Difference, Summary};
pub use trial::{Listen, Trial};

use ironcache_resp::Protocol;

/// One command: its name, and its arguments.
pub type Args = Vec<Vec<u8>>;

/// What commands are run on.
pub trait Side {
    /// Runs the commands on a connection that speaks `protocol`; answers the bytes of a reply each.
    ///
    /// # Errors
    /// What went wrong, in words: the comparison ends there.
    fn run(&mut self, protocol: Protocol, commands: &[Args]) -> Result<Vec<Vec<u8>>, String>;

    /// What clients were told of keys by each command of the last run, `channel payload, …`; nothing at all if nobody listens.
    fn told(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// A command as people write it.
pub(crate) fn show(args: &[Vec<u8>]) -> String {
    let word = |arg: &Vec<u8>| {
        let plain = !arg.is_empty() && arg.iter().all(|b| b.is_ascii_graphic() && *b != b'"' && *b != b'\\');
        if plain { String::from_utf8_lossy(arg).into_owned() } else { format!("\"{}\"", arg.escape_ascii()) }
    };
    args.iter().map(word).collect::<Vec<_>>().join(" ")
}
