//! A user as text: what `ACL LIST` tells and a file holds, and its parts, which `ACL GETUSER` tells.
//!
//! *Invariant:* read as rules, on a new user, the text makes the same one.

use crate::catalogue::catalogue;
use crate::keys::Need;
use crate::selector::{About, CommandRule, Commands, KeyPattern, Patterns, Permit, Selector};
use crate::user::{Passwords, Sanitize, State, User};

/// The parts of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub flags: Vec<&'static str>,
    /// Hashes, as hexadecimal digits.
    pub passwords: Vec<String>,
    pub root: ShownSelector,
    pub selectors: Vec<ShownSelector>,
}

/// Each as its rules, with a blank between them; empty for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownSelector {
    pub commands: Vec<u8>,
    pub keys: Vec<u8>,
    pub channels: Vec<u8>,
}

impl User {
    pub fn shown(&self) -> Shown {
        let Self { state, sanitize, passwords, root, selectors } = self;
        let mut flags = vec![match state {
            State::On => "on",
            State::Off => "off",
        }];
        let passwords = match passwords {
            Passwords::Any => {
                flags.push("nopass");
                Vec::new()
            }
            Passwords::These(hashes) => hashes.iter().map(ToString::to_string).collect(),
        };
        match sanitize {
            Sanitize::Unsaid => {}
            Sanitize::Yes => flags.push("sanitize-payload"),
            Sanitize::No => flags.push("skip-sanitize-payload"),
        }
        Shown { flags, passwords, root: shown(root), selectors: selectors.iter().map(shown).collect() }
    }

    /// All rules in one line; the name is not among them.
    pub fn text(&self) -> Vec<u8> {
        let Shown { flags, passwords, root, selectors } = self.shown();
        let mut words: Vec<Vec<u8>> = flags.into_iter().map(Into::into).collect();
        words.extend(passwords.into_iter().map(|hash| format!("#{hash}").into_bytes()));
        words.push(line(root));
        words.extend(selectors.into_iter().map(|selector| [b"(", &line(selector)[..], b")"].concat()));
        words.join(&b' ')
    }
}

fn line(ShownSelector { commands, keys, channels }: ShownSelector) -> Vec<u8> {
    let mut words = Vec::new();
    if !keys.is_empty() {
        words.push(keys);
    }
    if channels != b"&*" {
        words.push(b"resetchannels".to_vec());
    }
    if !channels.is_empty() {
        words.push(channels);
    }
    words.push(commands);
    words.join(&b' ')
}

fn shown(Selector { commands, keys, channels }: &Selector) -> ShownSelector {
    let keys = match keys {
        Patterns::All => b"~*".to_vec(),
        Patterns::These(patterns) => patterns.iter().map(key_rule).collect::<Vec<_>>().join(&b' '),
    };
    let channels = match channels {
        Patterns::All => b"&*".to_vec(),
        Patterns::These(patterns) => {
            patterns.iter().map(|pattern| [b"&", &pattern[..]].concat()).collect::<Vec<_>>().join(&b' ')
        }
    };
    ShownSelector { commands: command_rules(commands), keys, channels }
}

fn key_rule(KeyPattern { pattern, for_ }: &KeyPattern) -> Vec<u8> {
    let sign: &[u8] = match *for_ {
        Need::READ => b"%R~",
        Need::WRITE => b"%W~",
        _ => b"~",
    };
    [sign, pattern].concat()
}

fn command_rules(commands: &Commands) -> Vec<u8> {
    let name = |id: &usize| catalogue().entries[*id].name.as_bytes();
    let mut text = [sign(commands.base), b"@all"].concat();
    for CommandRule { permit, about } in &commands.rules {
        text.push(b' ');
        text.extend_from_slice(sign(*permit));
        match about {
            About::Command(id) => text.extend_from_slice(name(id)),
            About::FirstArg(id, arg) => text.extend([name(id), b"|", arg].concat()),
            About::Category(category) => text.extend([b"@", category.name().as_bytes()].concat()),
        }
    }
    text
}

fn sign(permit: Permit) -> &'static [u8] {
    match permit {
        Permit::Allow => b"+",
        Permit::Deny => b"-",
    }
}
