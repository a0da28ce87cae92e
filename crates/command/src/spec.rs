//! What the table says about one command.

use crate::call::Call;
use crate::error::{CommandError, WrongArity};
use crate::subcommands::{SUBCOMMANDS_LEN, subcommand};
use crate::table::TABLE_LEN;
use ironcache_resp::parse_integer;
use ironcache_types::Level;

/// Executes a data command. On an error it has recorded no effect, and what it wrote is discarded.
pub type Handler = fn(&mut Call<'_>) -> Result<(), CommandError>;

/// Who executes a command.
#[derive(Clone, Copy)]
pub enum Run {
    /// This crate, on the keyspace.
    Data(Handler),
    /// The node: it is about the connection, the server, transactions or the cluster.
    Server,
}

/// A set of command flags, named as `COMMAND INFO` names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

impl Flags {
    pub const NONE: Flags = Flags(0);
    /// May change data; only a primary executes it.
    pub const WRITE: Flags = Flags(1);
    pub const READONLY: Flags = Flags(1 << 1);
    /// May make the data larger.
    pub const DENYOOM: Flags = Flags(1 << 2);
    pub const ADMIN: Flags = Flags(1 << 3);
    pub const NOSCRIPT: Flags = Flags(1 << 4);
    pub const LOADING: Flags = Flags(1 << 5);
    pub const STALE: Flags = Flags(1 << 6);
    pub const FAST: Flags = Flags(1 << 7);
    /// Allowed before authentication.
    pub const NO_AUTH: Flags = Flags(1 << 8);
    /// First key, last key and step do not tell all keys: [`Spec::more_keys`] does.
    pub const MOVABLE_KEYS: Flags = Flags(1 << 9);
    /// May wait until a key holds what it wants: [`attempt`](crate::attempt) says that it has to.
    pub const BLOCKING: Flags = Flags(1 << 10);
    /// It is about channels; what stands where keys do are names of channels.
    pub const PUBSUB: Flags = Flags(1 << 11);

    const NAMES: [&'static str; 12] = [
        "write",
        "readonly",
        "denyoom",
        "admin",
        "noscript",
        "loading",
        "stale",
        "fast",
        "no_auth",
        "movablekeys",
        "blocking",
        "pubsub",
    ];

    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, name)| *name)
    }
}

/// Where keys are beyond those of `first_key`, `last_key` and `step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoreKeys {
    None,
    /// The argument at this position says how many keys follow it.
    Counted(usize),
    /// The second argument is a key, if the first is one of these. Redis tells it of the subcommands.
    Under(&'static [&'static str]),
    /// The last of these options that stands at `from` or later, with an argument after it, names a key. Options of
    /// `skipped` are passed over with so many arguments, which may be called as an option is.
    Option {
        from: usize,
        named: &'static [&'static str],
        skipped: &'static [(&'static str, usize)],
    },
    /// The first half of what follows the word STREAMS, which stands behind options; those of `skipped` have so many
    /// arguments.
    OfStreams {
        skipped: &'static [(&'static str, usize)],
    },
}

impl MoreKeys {
    pub(crate) fn of<'a, 'b>(self, args: &'b [&'a [u8]]) -> &'b [&'a [u8]] {
        match self {
            MoreKeys::None => &[],
            MoreKeys::Counted(at) => {
                let count = args.get(at).and_then(|count| parse_integer(count));
                let count = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
                args.get(at + 1..).and_then(|rest| rest.get(..count)).unwrap_or(&[])
            }
            MoreKeys::Under(subcommands) => {
                let is = |name: &&str| args[1].eq_ignore_ascii_case(name.as_bytes());
                if args.len() > 2 && subcommands.iter().any(is) { &args[2..3] } else { &[] }
            }
            MoreKeys::Option { from, named, skipped } => {
                let (mut at, mut key) = (from, &[][..]);
                while let Some(option) = args.get(at) {
                    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
                    if named.iter().any(|name| is(name)) && at + 1 < args.len() {
                        key = &args[at + 1..at + 2];
                        at += 1;
                    } else if let Some((_, skip)) = skipped.iter().find(|(name, _)| is(name)) {
                        at += skip;
                    }
                    at += 1;
                }
                key
            }
            MoreKeys::OfStreams { skipped } => {
                let mut at = 1;
                while let Some(option) = args.get(at) {
                    let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
                    if is("streams") {
                        let rest = &args[at + 1..];
                        return if rest.len().is_multiple_of(2) { &rest[..rest.len() / 2] } else { &[] };
                    }
                    let Some((_, skip)) = skipped.iter().find(|(name, _)| is(name)) else { break };
                    at += 1 + skip;
                }
                &[]
            }
        }
    }
}

/// One command. `arity`, `first_key`, `last_key` and `step` mean what they mean in `COMMAND INFO`.
#[derive(Clone, Copy)]
pub struct Spec {
    /// In lower case.
    pub name: &'static str,
    /// The number of arguments, name included; negative: at least that many.
    pub arity: i32,
    pub flags: Flags,
    /// 0: the command takes no keys.
    pub first_key: usize,
    /// Negative: counted from the end, -1 being the last argument.
    pub last_key: i32,
    pub step: usize,
    pub more_keys: MoreKeys,
    pub group: &'static str,
    /// The version of Redis that first had it.
    pub since: &'static str,
    pub summary: &'static str,
    /// Since which level of the cluster it exists; below it, the command is an error that says so.
    pub level: Level,
    pub run: Run,
    /// Its own among all commands and subcommands, from 0 on: below [`Spec::COUNT`].
    pub number: usize,
    /// Has it subcommands, with rows of their own?
    pub is_container: bool,
}

impl Spec {
    /// Of commands and subcommands together.
    pub const COUNT: usize = TABLE_LEN + SUBCOMMANDS_LEN;

    /// What `args`, which begin with this command's name, ask for: a subcommand if they name one that there is.
    #[inline]
    pub fn named(&'static self, args: &[&[u8]]) -> &'static Spec {
        if !self.is_container {
            return self;
        }
        args.get(1).and_then(|name| subcommand(self, name)).unwrap_or(self)
    }

    /// As [`Spec::named`]; `None` of a command whose subcommand does not exist. Redis looks commands up by both.
    pub fn found(&'static self, args: &[&[u8]]) -> Option<&'static Spec> {
        let named = self.named(args);
        let lacks = self.is_container && args.len() > 1 && named.number == self.number;
        (!lacks).then_some(named)
    }

    /// Whether it may change data.
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }

    /// Refuses the command in a cluster that is at `level`, if it came later.
    ///
    /// # Errors
    /// [`CommandError::NotYet`], whose text is the reply.
    pub fn check_level(&self, level: Level) -> Result<(), CommandError> {
        if self.level <= level {
            return Ok(());
        }
        Err(CommandError::NotYet { command: self.name, since: self.level, level })
    }

    /// Checks the number of arguments, name included.
    ///
    /// # Errors
    /// [`WrongArity`], whose text is the reply.
    pub fn check_arity(&self, argc: usize) -> Result<(), WrongArity> {
        let wanted = self.arity.unsigned_abs() as usize;
        let fits = if self.arity < 0 { argc >= wanted } else { argc == wanted };
        if fits { Ok(()) } else { Err(WrongArity { command: self.name }) }
    }

    /// The keys among `args` (name first). None if there are too few arguments for any.
    pub fn keys<'a>(&self, args: &'a [&'a [u8]]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let end = match usize::try_from(self.last_key) {
            Ok(last) => (last + 1).min(args.len()),
            Err(_) => (args.len() + 1).saturating_sub(self.last_key.unsigned_abs() as usize),
        };
        let keys = if self.first_key == 0 { &[][..] } else { args.get(self.first_key..end).unwrap_or(&[]) };
        keys.iter().copied().step_by(self.step.max(1)).chain(self.more_keys.of(args).iter().copied())
    }

    /// Whether any of its arguments may be a key.
    pub fn takes_keys(&self) -> bool {
        self.first_key != 0 || self.more_keys != MoreKeys::None
    }
}
