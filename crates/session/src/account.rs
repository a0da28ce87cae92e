//! Who a session acts for: the users as this node knows them.
//!
//! ```text
//!   users of the log, requirepass ──► Accounts ──name──► Account ◄── held by each session of the user
//! ```
//! *Invariant:* what a user may do changes under the sessions that act for it: they hold the account, not a copy of it.
//! *Invariant:* a user that is gone, or whose rules this release cannot read, may do nothing.
//! *Invariant:* `default` always exists: as somebody set it, or else as everybody, by the node's `requirepass`.

use crate::pubsub::Kind;
use ironcache_acl::{Channel, DEFAULT_USER, Denied, User};
use ironcache_command::Spec;
use ironcache_types::Epoch;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// One user, shared by its sessions.
pub struct Account {
    name: Vec<u8>,
    user: RefCell<User>,
    /// Looked at before each command: then nothing else is.
    may_everything: Cell<bool>,
    standing: Cell<Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Whole,
    /// Its rules name what this release does not know: what it does know of them holds.
    InPart,
    Gone,
}

/// All of them.
pub struct Accounts {
    by_name: BTreeMap<Vec<u8>, Rc<Account>>,
    /// `default`.
    everybody: Rc<Account>,
    requirepass: String,
    /// Has somebody set `default`?
    is_default_set: bool,
    /// Of the users of the log that these are.
    epoch: Epoch,
}

/// What became of users.
#[derive(Default)]
pub struct Changed {
    /// Their connections are to end.
    pub gone: Vec<Rc<Account>>,
    /// They have fewer channels than before: who listens to more is to end.
    pub narrowed: Vec<Rc<Account>>,
    /// Whose rules this release cannot read as a whole.
    pub in_part: Vec<Vec<u8>>,
}

impl Account {
    fn new(name: &[u8], user: User) -> Rc<Self> {
        let account = Self {
            name: name.to_vec(),
            user: RefCell::default(),
            may_everything: Cell::new(false),
            standing: Cell::new(Standing::Whole),
        };
        account.become_user(user, Standing::Whole);
        Rc::new(account)
    }

    fn become_user(&self, user: User, standing: Standing) {
        self.may_everything.set(user.may_everything());
        self.standing.set(standing);
        *self.user.borrow_mut() = user;
    }

    pub fn name(&self) -> &[u8] {
        &self.name
    }

    pub fn user(&self) -> User {
        self.user.borrow().clone()
    }

    #[inline]
    pub fn may_everything(&self) -> bool {
        self.may_everything.get()
    }

    /// # Errors
    /// It may not.
    pub(crate) fn check(&self, spec: &Spec, args: &[&[u8]]) -> Result<(), Denied> {
        self.user.borrow().check(spec, args)
    }

    pub(crate) fn authenticates(&self, password: &[u8]) -> bool {
        self.user.borrow().authenticates(password)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.user.borrow().is_open()
    }

    pub(crate) fn takes_any_password(&self) -> bool {
        self.user.borrow().takes_any_password()
    }

    /// May a client that acts for it go on listening to that?
    pub fn may_listen_to(&self, kind: Kind, topic: &[u8]) -> bool {
        let channel = match kind {
            Kind::Channel | Kind::Shard => Channel::Name,
            Kind::Pattern => Channel::Pattern,
        };
        self.user.borrow().may_listen_to(topic, channel)
    }

    /// Are all of its rules known here? Otherwise to change it would be to lose some.
    pub fn is_whole(&self) -> bool {
        self.standing.get() == Standing::Whole
    }

    /// Is it no user any more?
    pub fn is_gone(&self) -> bool {
        self.standing.get() == Standing::Gone
    }
}

impl Accounts {
    /// Everybody, and nobody else.
    pub fn new(requirepass: &str) -> Self {
        let everybody = Account::new(DEFAULT_USER, User::everybody(requirepass.as_bytes()));
        let by_name = BTreeMap::from([(DEFAULT_USER.to_vec(), Rc::clone(&everybody))]);
        let requirepass = requirepass.to_owned();
        Self { by_name, everybody, requirepass, is_default_set: false, epoch: Epoch(0) }
    }

    /// The node's own password of `default`, for as long as nobody has set that user.
    pub fn set_requirepass(&mut self, requirepass: &str) {
        if self.requirepass == requirepass {
            return;
        }
        requirepass.clone_into(&mut self.requirepass);
        if !self.is_default_set {
            self.everybody.become_user(User::everybody(requirepass.as_bytes()), Standing::Whole);
        }
    }

    /// Has somebody set `default`? Then `requirepass` is nobody's password.
    pub fn is_default_set(&self) -> bool {
        self.is_default_set
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The users of the log as they are since `epoch`: rules, by name.
    pub fn set(&mut self, epoch: Epoch, users: &BTreeMap<Vec<u8>, Vec<u8>>) -> Changed {
        let mut changed = Changed::default();
        self.epoch = epoch;
        self.is_default_set = users.contains_key(DEFAULT_USER);
        self.by_name.retain(|name, account| {
            let stays = name == DEFAULT_USER || users.contains_key(name);
            if !stays {
                account.become_user(User::default(), Standing::Gone);
                changed.gone.push(Rc::clone(account));
            }
            stays
        });
        if !self.is_default_set {
            self.everybody.become_user(User::everybody(self.requirepass.as_bytes()), Standing::Whole);
        }
        for (name, rules) in users {
            let (user, standing) = match User::read(rules) {
                Ok(user) => (user, Standing::Whole),
                Err(_) => (User::read_in_part(rules), Standing::InPart),
            };
            if standing == Standing::InPart {
                changed.in_part.push(name.clone());
            }
            match self.by_name.get(name) {
                Some(account) => {
                    if !account.user.borrow().keeps_channels_as(&user) {
                        changed.narrowed.push(Rc::clone(account));
                    }
                    account.become_user(user, standing);
                }
                None => {
                    let account = Account::new(name, user);
                    account.standing.set(standing);
                    self.by_name.insert(name.clone(), account);
                }
            }
        }
        changed
    }

    /// As whom everybody comes.
    pub fn everybody(&self) -> &Rc<Account> {
        &self.everybody
    }

    pub fn find(&self, name: &[u8]) -> Option<&Rc<Account>> {
        self.by_name.get(name)
    }

    /// By name.
    pub fn iter(&self) -> impl Iterator<Item = &Rc<Account>> {
        self.by_name.values()
    }
}
