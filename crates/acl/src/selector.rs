//! One set of permissions: which commands, on which keys and channels, all of them together. A user has one, its root, and
//! may have more: a command is allowed if one of them allows all of it.
//!
//! *Invariant:* what is allowed follows from base and rules alone, the last rule about a command being the one that holds;
//! the bits are what they come to.
//! *Invariant:* no rule is kept that a later one has made void: of each subject there is one.

use crate::catalogue::{Categories, catalogue};
use crate::keys::{Channel, Need};
use ironcache_command::glob_matches;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub commands: Commands,
    pub keys: Patterns<KeyPattern>,
    pub channels: Patterns<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Patterns<T> {
    All,
    /// In the order in which they came; none of them twice.
    These(Vec<T>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPattern {
    pub pattern: Vec<u8>,
    pub for_: Need,
}

/// What holds for commands that no rule is about, and for those that are still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Allow,
    Deny,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    pub base: Permit,
    pub rules: Vec<CommandRule>,
    /// By the catalogue's ids.
    bits: Vec<Permit>,
    /// Of commands that are not allowed as such: the first arguments with which they are.
    first_args: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandRule {
    pub permit: Permit,
    pub about: About,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A command with its subcommands, or one of those.
    Command(usize),
    /// Only ever allowed.
    FirstArg(usize, Vec<u8>),
    Category(Categories),
}

impl Default for Selector {
    /// Nothing.
    fn default() -> Self {
        Self {
            commands: Commands::new(Permit::Deny),
            keys: Patterns::These(Vec::new()),
            channels: Patterns::These(Vec::new()),
        }
    }
}

impl Selector {
    pub(crate) fn everything() -> Self {
        Self { commands: Commands::new(Permit::Allow), keys: Patterns::All, channels: Patterns::All }
    }

    pub(crate) fn is_everything(&self) -> bool {
        self.commands.is_all() && self.keys == Patterns::All && self.channels == Patterns::All
    }

    pub(crate) fn allows_key(&self, key: &[u8], need: Need) -> bool {
        match &self.keys {
            Patterns::All => true,
            Patterns::These(patterns) => {
                patterns.iter().any(|known| known.for_.includes(need) && glob_matches(&known.pattern, key))
            }
        }
    }

    pub(crate) fn allows_channel(&self, channel: &[u8], kind: Channel) -> bool {
        match (&self.channels, kind) {
            (Patterns::All, _) => true,
            (Patterns::These(patterns), Channel::Name) => {
                patterns.iter().any(|pattern| glob_matches(pattern, channel))
            }
            (Patterns::These(patterns), Channel::Pattern) => {
                patterns.iter().any(|pattern| pattern == channel)
            }
        }
    }
}

impl Commands {
    pub(crate) fn new(base: Permit) -> Self {
        let bits = vec![base; catalogue().entries.len()];
        Self { base, rules: Vec::new(), bits, first_args: Vec::new() }
    }

    /// All there are, and all there will be.
    pub(crate) fn is_all(&self) -> bool {
        self.base == Permit::Allow && self.rules.iter().all(|rule| rule.permit == Permit::Allow)
    }

    /// `args` begin with the name.
    pub(crate) fn allows(&self, id: usize, args: &[&[u8]]) -> bool {
        if self.bits[id] == Permit::Allow {
            return true;
        }
        let Some(given) = args.get(1) else { return false };
        self.first_args.iter().any(|(of, arg)| *of == id && arg.eq_ignore_ascii_case(given))
    }

    pub(crate) fn add(&mut self, rule: CommandRule) {
        if let About::FirstArg(id, arg) = &rule.about
            && self.first_args.iter().any(|(of, known)| of == id && known == arg)
        {
            return;
        }
        self.put_in_force(&rule);
        self.rules.retain(|old| !is_void(&old.about, &rule.about));
        // What the base says already needs no rule, as long as none before it says otherwise.
        let is_said = self.rules.is_empty() && rule.permit == self.base;
        if !is_said {
            self.rules.push(rule);
        }
    }

    fn put_in_force(&mut self, CommandRule { permit, about }: &CommandRule) {
        match about {
            About::Command(id) => self.set(*id, *permit),
            About::Category(categories) => {
                for (id, entry) in catalogue().entries.iter().enumerate() {
                    if entry.categories.meets(*categories) {
                        self.set(id, *permit);
                    }
                }
            }
            About::FirstArg(id, arg) => self.first_args.push((*id, arg.clone())),
        }
    }

    fn set(&mut self, id: usize, permit: Permit) {
        let subcommands = &catalogue().entries[id].subcommands;
        for id in [id].iter().chain(subcommands) {
            self.bits[*id] = permit;
            self.first_args.retain(|(of, _)| of != id);
        }
    }
}

/// Is all that the old rule is about in the hands of the new one?
fn is_void(old: &About, new: &About) -> bool {
    match (old, new) {
        (About::Command(old), About::Command(new)) => {
            old == new || catalogue().entries[*new].subcommands.contains(old)
        }
        (About::FirstArg(old, _), About::Command(new)) => old == new,
        (old, new) => old == new,
    }
}
