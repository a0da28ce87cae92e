//! A user: whether, and by which passwords, it may come in, and what it may do then.

use crate::catalogue::catalogue;
use crate::password::PasswordHash;
use crate::rule::{self, RuleError, Why};
use crate::selector::Selector;
use ironcache_command::Spec;

/// As whom everybody comes, until they say who they are.
pub const DEFAULT_USER: &[u8] = b"default";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub(crate) state: State,
    pub(crate) sanitize: Sanitize,
    pub(crate) passwords: Passwords,
    pub(crate) root: Selector,
    /// Beside the root, in their order.
    pub(crate) selectors: Vec<Selector>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    On,
    Off,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passwords {
    /// Any will do, and none.
    Any,
    /// In the order in which they came; none of them twice. With none, nobody comes in.
    These(Vec<PasswordHash>),
}

/// Kept for ACL files of Redis: what `RESTORE` is given is checked here in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sanitize {
    Unsaid,
    Yes,
    No,
}

impl Default for User {
    /// Off, and without any permission: what a name means that is set for the first time.
    fn default() -> Self {
        Self {
            state: State::Off,
            sanitize: Sanitize::Unsaid,
            passwords: Passwords::These(Vec::new()),
            root: Selector::default(),
            selectors: Vec::new(),
        }
    }
}

impl User {
    /// Who everybody is where nobody set `default`: it may do everything, and is asked for this password, if there is one.
    pub fn everybody(requirepass: &[u8]) -> Self {
        let passwords = match requirepass {
            [] => Passwords::Any,
            password => Passwords::These(vec![PasswordHash::of(password)]),
        };
        Self { state: State::On, passwords, root: Selector::everything(), ..Self::default() }
    }

    /// This user after the rules of an `ACL SETUSER`, all of them.
    ///
    /// # Errors
    /// The first rule that is none.
    pub fn with(&self, rules: &[&[u8]]) -> Result<User, RuleError> {
        let mut user = self.clone();
        for rule in rule::merge_selectors(rules)? {
            rule::apply(&mut user, &rule).map_err(|why| RuleError::Refused { rule, why })?;
        }
        Ok(user)
    }

    /// What [`User::text`] wrote.
    ///
    /// # Errors
    /// It is none of its texts.
    pub fn read(text: &[u8]) -> Result<User, RuleError> {
        let rules: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
        User::default().with(&rules)
    }

    /// As much of a text as this release knows: one that knows more may have written it. What is left out allows nothing, or
    /// forbids what does not exist here.
    pub fn read_in_part(text: &[u8]) -> User {
        let rules: Vec<&[u8]> = text.split(|byte| *byte == b' ').collect();
        let Ok(rules) = rule::merge_selectors(&rules) else { return User::default() };
        let mut user = User::default();
        for rule in rules {
            match rule::apply(&mut user, &rule) {
                Ok(()) | Err(Why::Unknown) => {}
                // No release wrote that.
                Err(_) => return User::default(),
            }
        }
        user
    }

    pub fn is_on(&self) -> bool {
        self.state == State::On
    }

    /// Does it come in without a password?
    pub fn is_open(&self) -> bool {
        self.is_on() && self.passwords == Passwords::Any
    }

    /// Is any password as good as another?
    pub fn takes_any_password(&self) -> bool {
        self.passwords == Passwords::Any
    }

    /// May somebody who knows this come in as the user?
    pub fn authenticates(&self, password: &[u8]) -> bool {
        let knows = match &self.passwords {
            Passwords::Any => true,
            Passwords::These(known) => {
                let given = PasswordHash::of(password);
                known.iter().fold(false, |found, one| found | one.is(&given))
            }
        };
        self.is_on() && knows
    }

    /// May it do everything: then nobody need ask what it does.
    pub fn may_everything(&self) -> bool {
        self.selectors().any(Selector::is_everything)
    }

    pub(crate) fn selectors(&self) -> impl Iterator<Item = &Selector> {
        [&self.root].into_iter().chain(&self.selectors)
    }

    /// As which command a request is judged: as its subcommand, if it has one.
    pub(crate) fn judged_as(spec: &Spec, args: &[&[u8]]) -> Option<usize> {
        // One that the catalogue does not know is as good as the whole command.
        catalogue().executed(spec.name, args).or_else(|| catalogue().command(spec.name))
    }
}
