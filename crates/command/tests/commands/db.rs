//! A keyspace to run commands on, written as people write them.

use ironcache_command::{Context, Effects, Expiry, Lookups, execute, lookup};
use ironcache_keyspace::Keyspace;
use ironcache_resp::Protocol;
use ironcache_types::LEVELS;

pub(crate) struct Db {
    pub keyspace: Keyspace,
    pub context: Context,
    pub effects: Effects,
    /// Of the last command.
    pub lookups: Lookups,
}

impl Db {
    pub(crate) fn new() -> Self {
        let context =
            Context { now_ms: 1_000_000, random: 7, expiry: Expiry::Delete, protocol: Protocol::Resp2 };
        Db {
            keyspace: Keyspace::new(),
            context,
            effects: Effects::at(LEVELS.max),
            lookups: Lookups::default(),
        }
    }

    /// Runs one command; answers the raw reply. `effects` holds what it changed.
    pub(crate) fn run_args(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.effects.clear();
        let mut out = Vec::new();
        let spec =
            lookup(args[0]).unwrap_or_else(|| panic!("{:?} is no command", String::from_utf8_lossy(args[0])));
        match spec.check_arity(args.len()) {
            Err(error) => out.extend(format!("-{error}\r\n").bytes()),
            Ok(()) => {
                self.lookups =
                    execute(spec, args, &mut self.keyspace, &self.context, &mut out, &mut self.effects);
            }
        }
        self.context.random = self.context.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        out
    }

    /// Runs words split at spaces, `""` being the empty one; answers the reply on one line.
    pub(crate) fn run(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> =
            line.split(' ').map(|word| if word == "\"\"" { &b""[..] } else { word.as_bytes() }).collect();
        let reply = self.run_args(&args);
        String::from_utf8_lossy(&reply).trim_end().replace("\r\n", " ")
    }
}
