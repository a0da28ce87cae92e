//! A whole comparison: the oracle, the commands that both have, and what came of it.

use crate::Side;
use crate::generate::Generator;
use crate::listening::{Listening, What};
use crate::oracle::Oracle;
use crate::remote::Remote;
use crate::run::{Plan, Summary, check};
use ironcache_resp::Value;
use std::collections::BTreeSet;

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Trial {
    pub seed: u64,
    /// Commands; none: all that both have.
    pub names: Vec<String>,
    pub commands: usize,
    pub differences_max: usize,
    pub listen: Listen,
}

/// Is it compared what clients are told of keys?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    No,
    ToKeys,
    /// And of those that they have read (`CLIENT TRACKING`).
    ToReadKeys,
}

impl Trial {
    /// Compares a node, the primary of a cluster of one shard, with a redis-server. Its dataset goes.
    ///
    /// # Errors
    /// One of them is missing, or does not answer.
    pub fn of_node(&self, addr: &str) -> Result<Summary, String> {
        let mut node = Remote::connect(addr).map_err(|error| format!("{addr}: {error}"))?;
        let known: BTreeSet<String> = match node.ask(&["COMMAND", "LIST"])? {
            Value::Array(names) => {
                let names = names.iter().filter_map(Value::as_bytes);
                names.map(|name| String::from_utf8_lossy(name).into_owned()).collect()
            }
            other => return Err(format!("COMMAND LIST: {other:?}")),
        };
        // Of a script's reads 7.0.15 remembers the keys that the script names, and not what it has read.
        let scripts = known.contains("eval") && self.listen != Listen::ToReadKeys;
        let around = if scripts { Around::TransactionsAndScripts } else { Around::Transactions };
        let known = |name: &str| known.contains(name);
        match self.listen {
            Listen::No => self.run(&mut node, around, known),
            Listen::ToKeys | Listen::ToReadKeys => {
                let listens = Remote::connect(addr).map_err(|error| format!("{addr}: {error}"))?;
                self.run(&mut Listening::to(node, listens, self.told())?, around, known)
            }
        }
    }

    /// Compares what has these commands and knows no transactions and no scripts.
    ///
    /// # Errors
    /// As [`Self::of_node`].
    pub fn of_commands(&self, side: &mut dyn Side, known: impl Fn(&str) -> bool) -> Result<Summary, String> {
        self.run(side, Around::Nothing, known)
    }

    fn told(&self) -> What {
        if self.listen == Listen::ToReadKeys { What::Invalidations } else { What::Changes }
    }

    fn run(
        &self,
        side: &mut dyn Side,
        around: Around,
        known: impl Fn(&str) -> bool,
    ) -> Result<Summary, String> {
        let oracle = Oracle::start().map_err(|error| error.to_string())?;
        let connect = || oracle.connect().map_err(|error| error.to_string());
        let mut theirs: Box<dyn Side> = match self.listen {
            Listen::No => Box::new(connect()?),
            Listen::ToKeys | Listen::ToReadKeys => {
                Box::new(Listening::to(connect()?, connect()?, self.told())?)
            }
        };
        let mut grammar = oracle.grammar().map_err(|error| error.to_string())?;
        grammar
            .keep(|name| known(name) && !(self.listen == Listen::ToReadKeys && invalidates_otherwise(name)));
        let dumps = grammar.names().any(|name| name == "restore");
        let mut generator = Generator::new(&grammar, &self.names, self.seed, around);
        let plan =
            Plan { seed: self.seed, commands: self.commands, differences_max: self.differences_max, dumps };
        check(&mut generator, side, &mut *theirs, plan)
    }
}

/// Which commands tell those who have read a key of more, or of less, than Redis does: what changes in a group of a stream shows in
/// `XPENDING`, a list of which nothing goes is as it was, and to count or merge a sketch that stays as it is changes nothing here. See `docs/redis-differences.md`.
fn invalidates_otherwise(name: &str) -> bool {
    const THESE: [&str; 11] = [
        "ltrim",
        "lmove",
        "pfcount",
        "pfmerge",
        "xack",
        "xautoclaim",
        "xclaim",
        "xgroup",
        "xinfo",
        "xreadgroup",
        "xsetid",
    ];
    THESE.iter().any(|this| name == *this || name.split('|').next() == Some(*this))
}

/// What commands are drawn within, beside none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Around {
    Nothing,
    Transactions,
    TransactionsAndScripts,
}
