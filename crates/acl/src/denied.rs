//! Why a user may not do something, in Redis' words for each place where that is told.

use std::fmt;

/// What was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub reason: Reason,
    /// The command, the key or the channel.
    pub object: Vec<u8>,
    /// The command, with its subcommand.
    pub command: Vec<u8>,
}

/// From the farthest to the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    Command,
    Key,
    Channel,
}

/// The reply to the command, without its leading `-`.
impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NOPERM this user has no permissions to ")?;
        match self.reason {
            Reason::Command => write!(f, "run the '{}' command", String::from_utf8_lossy(&self.command)),
            Reason::Key => f.write_str("access one of the keys used as arguments"),
            Reason::Channel => f.write_str("access one of the channels used as arguments"),
        }
    }
}

impl Denied {
    /// What `ACL DRYRUN` answers.
    pub fn dry_run(&self) -> String {
        let object = String::from_utf8_lossy(&self.object);
        let what = match self.reason {
            Reason::Command => format!("run the '{object}' command"),
            Reason::Key => format!("access the '{object}' key"),
            Reason::Channel => format!("access the '{object}' channel"),
        };
        format!("This user has no permissions to {what}")
    }

    /// What a script is told of a command that it called.
    pub fn in_script(&self) -> String {
        let what = match self.reason {
            Reason::Command => "run this command or subcommand",
            Reason::Key => "access at least one of the keys mentioned in the command arguments",
            Reason::Channel => "publish to the channel mentioned in the command",
        };
        format!("ERR The user executing the script can't {what}")
    }

    /// What `EXEC` answers for a command that was allowed when it was queued.
    pub fn at_exec(&self) -> String {
        let reason = match self.reason {
            Reason::Command => "no permission to execute the command or subcommand",
            Reason::Key => "no permission to touch the specified keys",
            Reason::Channel => "no permission to access one of the channels used as arguments",
        };
        format!(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command \
             is no longer allowed for the following reason: {reason}"
        )
    }
}

impl std::error::Error for Denied {}
