//! The rules of `ACL SETUSER`: what each does to a user, and why one is none.
//!
//! *Invariant:* nothing is accepted that the text of a user could not say again: no blank in a first argument, and no rule
//! within a selector that ends in a parenthesis. (Redis takes both, and reads another user from the file that it wrote.)

use crate::catalogue::{Categories, catalogue};
use crate::keys::Need;
use crate::password::PasswordHash;
use crate::selector::{About, CommandRule, Commands, KeyPattern, Patterns, Permit, Selector};
use crate::user::{Passwords, Sanitize, State, User};

/// `Display` is the reply of `ACL SETUSER`, without its leading `-`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("ERR Error in ACL SETUSER modifier '{}': {why}", String::from_utf8_lossy(rule))]
    Refused { rule: Vec<u8>, why: Why },
    #[error("ERR Unmatched parenthesis in acl selector starting at '{}'.", String::from_utf8_lossy(from))]
    Unmatched { from: Vec<u8> },
}

/// What is wrong with one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    #[error("Syntax error")]
    Syntax,
    #[error("Unknown command or category name in ACL")]
    Unknown,
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgOfSubcommand,
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
    )]
    KeysAfterAll,
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelsAfterAll,
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    NoHash,
}

/// May a user be called so?
pub fn check_name(name: &[u8]) -> bool {
    !has_blanks(name)
}

fn has_blanks(text: &[u8]) -> bool {
    // As C counts them: the vertical tab is one.
    text.iter().any(|byte| byte.is_ascii_whitespace() || matches!(byte, 0 | 0x0b))
}

/// Arguments, from one that opens a selector to the one that closes it made one.
pub(crate) fn merge_selectors(args: &[&[u8]]) -> Result<Vec<Vec<u8>>, RuleError> {
    let mut rules: Vec<Vec<u8>> = Vec::new();
    // Where the selector began that is not closed yet.
    let mut open = None;
    for arg in args {
        let closes = arg.ends_with(b")");
        match (open, rules.last_mut()) {
            (Some(_), Some(selector)) => {
                selector.push(b' ');
                selector.extend_from_slice(arg);
                open = open.filter(|_| !closes);
            }
            _ => {
                rules.push(arg.to_vec());
                open = (arg.starts_with(b"(") && !closes).then_some(*arg);
            }
        }
    }
    match open {
        None => Ok(rules),
        Some(from) => Err(RuleError::Unmatched { from: from.to_vec() }),
    }
}

/// One rule of a user, or of its root selector.
pub(crate) fn apply(user: &mut User, rule: &[u8]) -> Result<(), Why> {
    match rule.to_ascii_lowercase().as_slice() {
        b"" => {}
        b"on" => user.state = State::On,
        b"off" => user.state = State::Off,
        b"sanitize-payload" => user.sanitize = Sanitize::Yes,
        b"skip-sanitize-payload" => user.sanitize = Sanitize::No,
        b"nopass" => user.passwords = Passwords::Any,
        b"resetpass" => user.passwords = Passwords::These(Vec::new()),
        b"clearselectors" => user.selectors.clear(),
        b"reset" => *user = User { sanitize: Sanitize::Yes, ..User::default() },
        [b'>', ..] => add_password(user, PasswordHash::of(&rule[1..])),
        [b'#', ..] => add_password(user, PasswordHash::parse(&rule[1..]).ok_or(Why::NoHash)?),
        [b'<', ..] => remove_password(user, PasswordHash::of(&rule[1..]))?,
        [b'!', ..] => remove_password(user, PasswordHash::parse(&rule[1..]).ok_or(Why::NoHash)?)?,
        [b'(', .., b')'] => user.selectors.push(selector(&rule[1..rule.len() - 1])?),
        _ => permit(&mut user.root, rule)?,
    }
    Ok(())
}

fn add_password(user: &mut User, hash: PasswordHash) {
    match &mut user.passwords {
        Passwords::Any => user.passwords = Passwords::These(vec![hash]),
        Passwords::These(known) if known.contains(&hash) => {}
        Passwords::These(known) => known.push(hash),
    }
}

fn remove_password(user: &mut User, hash: PasswordHash) -> Result<(), Why> {
    let Passwords::These(known) = &mut user.passwords else { return Err(Why::NoSuchPassword) };
    let at = known.iter().position(|one| *one == hash).ok_or(Why::NoSuchPassword)?;
    known.remove(at);
    Ok(())
}

/// What stands between two parentheses.
fn selector(rules: &[u8]) -> Result<Selector, Why> {
    let mut selector = Selector::default();
    let words = rules.split(|byte| has_blanks(&[*byte])).filter(|word| !word.is_empty());
    for rule in words {
        if rule.ends_with(b")") {
            return Err(Why::Syntax);
        }
        permit(&mut selector, rule)?;
    }
    Ok(selector)
}

/// One rule of a selector.
fn permit(selector: &mut Selector, rule: &[u8]) -> Result<(), Why> {
    match rule.to_ascii_lowercase().as_slice() {
        b"allkeys" | b"~*" => selector.keys = Patterns::All,
        b"resetkeys" => selector.keys = Patterns::These(Vec::new()),
        b"allchannels" | b"&*" => selector.channels = Patterns::All,
        b"resetchannels" => selector.channels = Patterns::These(Vec::new()),
        b"allcommands" | b"+@all" => selector.commands = Commands::new(Permit::Allow),
        b"nocommands" | b"-@all" => selector.commands = Commands::new(Permit::Deny),
        [b'~', ..] => add_keys(selector, &rule[1..], Need::BOTH)?,
        [b'%', ..] => {
            // Redis looks for an end of the list first: a pattern may be added to no list that takes all.
            if selector.keys == Patterns::All {
                return Err(Why::KeysAfterAll);
            }
            let (need, pattern) = keys_with_need(&rule[1..])?;
            add_keys(selector, pattern, need)?;
        }
        [b'&', ..] => add_channels(selector, &rule[1..])?,
        [b'+', b'@', ..] => add_category(selector, &rule[2..], Permit::Allow)?,
        [b'-', b'@', ..] => add_category(selector, &rule[2..], Permit::Deny)?,
        [b'+', ..] => allow(selector, &rule[1..])?,
        [b'-', ..] => {
            let id = catalogue().find(&rule[1..]).ok_or(Why::Unknown)?;
            selector.commands.add(CommandRule { permit: Permit::Deny, about: About::Command(id) });
        }
        _ => return Err(Why::Syntax),
    }
    Ok(())
}

/// `RW~pattern`, `R~pattern`, `W~pattern`. As in Redis the sign may be missing: then there is no pattern.
fn keys_with_need(rule: &[u8]) -> Result<(Need, &[u8]), Why> {
    let mut need = Need::NOTHING;
    for (at, byte) in rule.iter().enumerate() {
        match byte.to_ascii_uppercase() {
            b'R' if !need.includes(Need::READ) => need = need.with(Need::READ),
            b'W' if !need.includes(Need::WRITE) => need = need.with(Need::WRITE),
            b'~' if need != Need::NOTHING => return Ok((need, &rule[at + 1..])),
            _ => return Err(Why::Syntax),
        }
    }
    match need {
        Need::NOTHING => Err(Why::Syntax),
        need => Ok((need, &[])),
    }
}

fn add_keys(selector: &mut Selector, pattern: &[u8], need: Need) -> Result<(), Why> {
    let Patterns::These(patterns) = &mut selector.keys else { return Err(Why::KeysAfterAll) };
    if has_blanks(pattern) {
        return Err(Why::Syntax);
    }
    match patterns.iter_mut().find(|known| known.pattern == pattern) {
        Some(known) => known.for_ = known.for_.with(need),
        None => patterns.push(KeyPattern { pattern: pattern.to_vec(), for_: need }),
    }
    Ok(())
}

fn add_channels(selector: &mut Selector, pattern: &[u8]) -> Result<(), Why> {
    let Patterns::These(patterns) = &mut selector.channels else { return Err(Why::ChannelsAfterAll) };
    if has_blanks(pattern) {
        return Err(Why::Syntax);
    }
    if !patterns.iter().any(|known| known == pattern) {
        patterns.push(pattern.to_vec());
    }
    Ok(())
}

fn add_category(selector: &mut Selector, name: &[u8], permit: Permit) -> Result<(), Why> {
    let category = Categories::named(name).ok_or(Why::Unknown)?;
    selector.commands.add(CommandRule { permit, about: About::Category(category) });
    Ok(())
}

/// A command, one of its subcommands, or a command with one first argument.
fn allow(selector: &mut Selector, name: &[u8]) -> Result<(), Why> {
    let catalogue = catalogue();
    let about = match name.iter().rposition(|byte| *byte == b'|') {
        None => About::Command(catalogue.find(name).ok_or(Why::Unknown)?),
        Some(bar) => {
            let (command, sub) = (catalogue.find(&name[..bar]).ok_or(Why::Unknown)?, &name[bar + 1..]);
            let entry = &catalogue.entries[command];
            if entry.is_subcommand {
                return Err(Why::FirstArgOfSubcommand);
            }
            if sub.is_empty() || has_blanks(sub) {
                return Err(Why::Syntax);
            }
            if entry.subcommands.is_empty() {
                About::FirstArg(command, sub.to_vec())
            } else {
                About::Command(catalogue.find(name).ok_or(Why::Unknown)?)
            }
        }
    };
    selector.commands.add(CommandRule { permit: Permit::Allow, about });
    Ok(())
}
