//! One connection's state, and what it makes of a request.
//!
//! *Invariant:* the order of the checks is Redis': known, arity, authentication, level, permission, queueing, slots, role.

use crate::account::Account;
use crate::blocked::Blocked;
use crate::monitor::Listens;
use crate::profile::Profile;
use crate::pubsub::Subscriptions;
use crate::refusal::Refusal;
use crate::replies::Replies;
use crate::script::is_answered_while_busy;
use crate::site::{Busy, Site};
use crate::tracking::{Caching, Tracking};
use crate::transaction::Transaction;
use crate::turn::{Stop, Turn, Within};
use crate::watch::Watch;
use ironcache_acl::Denied;
use ironcache_command::{Flags, Run, Spec, WrongArity, lookup, unknown_command};
use ironcache_resp::{Protocol, Writer};
use ironcache_types::{Level, Offset};
use std::fmt::Display;
use std::rc::Rc;

/// As Redis shows the last command of a client that has sent none.
const NO_COMMAND: &str = "NULL";

pub struct Session {
    pub(crate) id: u64,
    pub(crate) protocol: Protocol,
    pub(crate) trusted: Trusted,
    /// Of the user that it acts for.
    pub(crate) account: Rc<Account>,
    /// `READONLY`: reads on a replica are answered there.
    pub(crate) readonly: bool,
    /// Since `MULTI`.
    pub(crate) transaction: Option<Transaction>,
    pub(crate) watch: Option<Watch>,
    /// What was taken and is not answered yet.
    pub(crate) blocked: Option<Blocked>,
    /// Is it shown what others execute?
    pub(crate) listens: Listens,
    /// Channels.
    pub(crate) subscriptions: Subscriptions,
    /// Is it sent anything beside its replies?
    pub(crate) attentive: bool,
    pub(crate) replies: Replies,
    /// What it keeps.
    pub(crate) tracking: Option<Box<Tracking>>,
    pub(crate) caching: Caching,
    pub(crate) evictable: Evictable,
    pub(crate) touches: Touches,
    /// Where this client's last write ended: what `WAIT` waits for.
    pub(crate) last_write: Offset,
    /// What it asked for last, refused or not, unless it was refused before it was looked at.
    last: Option<&'static Spec>,
    pub(crate) profile: Rc<Profile>,
}

/// Has the client said who it is?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trusted {
    Yes,
    /// The user `default` has a password, or is off: `AUTH` comes first.
    No,
}

/// May it be closed because clients take too much memory (`CLIENT NO-EVICT`)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evictable {
    Yes,
    No,
}

/// Does reading a key count as use of it (`CLIENT NO-TOUCH`)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touches {
    Yes,
    No,
}

impl Trusted {
    /// Of somebody who has said nothing yet.
    pub(crate) fn of_everybody(account: &Account) -> Self {
        if account.is_open() { Trusted::Yes } else { Trusted::No }
    }
}

impl Session {
    /// One that everybody may begin: `account` is that of `default`.
    pub fn new(id: u64, account: &Rc<Account>) -> Self {
        Self {
            id,
            protocol: Protocol::Resp2,
            trusted: Trusted::of_everybody(account),
            account: Rc::clone(account),
            readonly: false,
            transaction: None,
            watch: None,
            blocked: None,
            listens: Listens::Nothing,
            subscriptions: Subscriptions::default(),
            attentive: false,
            replies: Replies::Sent,
            tracking: None,
            caching: Caching::NotSaid,
            evictable: Evictable::Yes,
            touches: Touches::Yes,
            last_write: Offset(0),
            last: None,
            profile: Rc::default(),
        }
    }

    /// Takes one request, its name first: it is on the path of every command.
    ///
    /// # Errors
    /// It is refused: [`Session::refuse`] answers that.
    #[inline]
    pub fn take(&mut self, args: &[&[u8]], site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let Some(spec) = lookup(args[0]) else { return unknown(args) };
        if let Err(error) = spec.check_arity(args.len()) {
            return Err(self.wrong_arity(spec, error));
        }
        if self.trusted == Trusted::No && !spec.flags.contains(Flags::NO_AUTH) {
            self.trusted = Trusted::of_everybody(site.accounts().everybody());
            if self.trusted == Trusted::No {
                return Err(Refusal::NotAuthenticated);
            }
        }
        let named = spec.named(args);
        // Most commands are of the first level, and need no look at the log.
        if named.level > Level::FIRST {
            named.check_level(site.level()).map_err(Refusal::NotYet)?;
        }
        if let Some(busy) = site.busy()
            && !is_answered_while_busy(spec, args)
        {
            return Err(self.refuse_while_busy(spec, busy));
        }
        self.last = Some(named);
        self.check(spec, args).map_err(|denied| Refusal::denied(spec, denied))?;
        if self.attentive {
            self.refuse_while_it_listens(spec, args, site)?;
        }
        if let Some(paused) = site.paused()
            && self.is_held(spec, paused)
        {
            return Ok(Turn::Stop(Stop::Pause));
        }
        if self.queues(spec) {
            return self.queue(spec, args, site, out);
        }
        match spec.run {
            Run::Data(_) => self.data(spec, args, site),
            Run::Server => self.server(spec, args, Within::Nothing, site, out),
        }
    }

    #[cold]
    fn refuse_while_it_listens(
        &self,
        spec: &'static Spec,
        args: &[&[u8]],
        site: &impl Site,
    ) -> Result<(), Refusal> {
        self.refuse_while_subscribed(spec, args, site)?;
        match (self.listens, spec.run) {
            (Listens::Monitor, Run::Data(_)) => Err(Refusal::AtMonitor),
            (Listens::Monitor, Run::Server) | (Listens::Nothing, _) => Ok(()),
        }
    }

    /// Somebody's script keeps it waiting. As in Redis, an `EXEC` that is refused ends the transaction.
    #[cold]
    fn refuse_while_busy(&mut self, spec: &Spec, busy: Busy) -> Refusal {
        if spec.name != "exec" {
            return Refusal::Busy(busy);
        }
        self.forget_transaction();
        Refusal::ExecBusy(busy)
    }

    /// May the user do that? It is asked again at `EXEC`.
    ///
    /// # Errors
    /// It may not.
    #[inline]
    pub fn check(&self, spec: &Spec, args: &[&[u8]]) -> Result<(), Denied> {
        if self.account.may_everything() { Ok(()) } else { self.account.check(spec, args) }
    }

    /// A wrong number of arguments. As in Redis, an `EXEC` that is refused ends the transaction.
    #[cold]
    fn wrong_arity(&mut self, spec: &Spec, error: WrongArity) -> Refusal {
        if spec.name != "exec" {
            return Refusal::Arity(error);
        }
        self.forget_transaction();
        Refusal::ExecArity
    }

    /// Answers with an error. Inside `MULTI` that spoils the transaction.
    pub fn refuse(&mut self, refusal: &Refusal, out: &mut Vec<u8>) {
        if let Refusal::ExecDenied(_) = refusal {
            self.forget_transaction();
        }
        if refusal.spoils() {
            self.fail(refusal, out);
        } else {
            Writer::new(out, self.protocol).error(&refusal.to_string());
        }
    }

    /// The same for what only the node knows how to refuse.
    pub fn fail(&mut self, why: &impl Display, out: &mut Vec<u8>) {
        if let Some(transaction) = &mut self.transaction {
            transaction.spoilt = true;
        }
        Writer::new(out, self.protocol).error(&why.to_string());
    }

    /// Answers a request that was held back for too long. It was not executed and never will be; nor will the transaction
    /// that it belongs to.
    pub fn give_up(&mut self, name: &[u8], why: &impl Display, out: &mut Vec<u8>) {
        if name.eq_ignore_ascii_case(b"exec") {
            self.forget_transaction();
        }
        self.fail(why, out);
    }

    /// What was executed for it ended there in the stream.
    #[inline]
    pub fn wrote(&mut self, end: Offset) {
        self.last_write = end;
    }

    pub fn id(&self) -> u64 {
        self.id
    }

    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Of whom it acts for.
    pub fn account(&self) -> &Rc<Account> {
        &self.account
    }

    pub fn trusted(&self) -> Trusted {
        self.trusted
    }

    pub fn listens(&self) -> Listens {
        self.listens
    }

    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    pub fn evictable(&self) -> Evictable {
        self.evictable
    }

    pub fn touches(&self) -> Touches {
        self.touches
    }

    pub fn is_readonly(&self) -> bool {
        self.readonly
    }

    /// Commands queued since `MULTI`; `None` outside of a transaction.
    pub fn queued(&self) -> Option<usize> {
        self.transaction.as_ref().map(Transaction::len)
    }

    /// What they take, and what is watched for them.
    pub fn queued_bytes(&self) -> usize {
        let watched = self.watch.as_ref().map_or(0, Watch::bytes);
        self.transaction.as_ref().map_or(0, |transaction| transaction.bytes) + watched
    }

    /// The command, or subcommand, that was taken last.
    #[inline]
    pub fn last(&self) -> Option<&'static Spec> {
        self.last
    }

    /// What it answers in from here on; the protocol before. For what a script calls, which chooses its own.
    pub fn speak(&mut self, protocol: Protocol) -> Protocol {
        std::mem::replace(&mut self.protocol, protocol)
    }

    pub fn last_command(&self) -> &'static str {
        self.last.map_or(NO_COMMAND, |spec| spec.name)
    }

    /// Is there a request that was taken and is not answered yet?
    pub fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Has it sent a whole command, past the password if there is one?
    pub fn is_known(&self) -> bool {
        self.trusted == Trusted::Yes && self.last.is_some()
    }

    pub fn profile(&self) -> &Rc<Profile> {
        &self.profile
    }
}

/// No command of this name: perhaps the start of an HTTP request that carries commands. A web page can have a browser send a
/// `POST` here whose body are commands; a request of any other method has a `Host:` line before its body.
#[cold]
fn unknown(args: &[&[u8]]) -> Result<Turn, Refusal> {
    if args[0].eq_ignore_ascii_case(b"post") || args[0].eq_ignore_ascii_case(b"host:") {
        return Ok(Turn::Http);
    }
    Err(Refusal::UnknownCommand { text: unknown_command(args) })
}
