//! The commands that are about the connection, the node or the cluster, not about keys: what the session answers itself, and
//! what it hands on as a [`Query`].

use crate::profile::printable;
use crate::refusal::Refusal;
use crate::replies::Replies;
use crate::route::{self, Admitted};
use crate::session::{Session, Touches, Trusted};
use crate::site::{ShownAs, Site};
use crate::turn::{Job, Query, Stop, Turn, Within};
use ironcache_acl::DEFAULT_USER;
use ironcache_command::{Spec, WrongArity};
use ironcache_resp::{Protocol, Writer, parse_integer};
use std::rc::Rc;

impl Session {
    /// Runs a command that is none of the data, or says who does. [`Session::take`] has checked its arity, and that it may be
    /// asked for; for one that was queued, that was when it was queued.
    pub fn server(
        &mut self,
        spec: &'static Spec,
        args: &[&[u8]],
        within: Within,
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        let query = |query| Ok(Turn::Run(Job::Query(query)));
        match spec.name {
            "ping" => self.ping(args, out),
            "echo" => self.answer(out, |reply| reply.bulk(args[1])),
            "hello" => self.hello(args, site, out),
            "auth" => self.auth(args, site, out),
            "acl" => self.acl(args, within, site, out),
            "select" => self.select(args, out),
            "quit" => {
                Writer::new(out, self.protocol).ok();
                Ok(Turn::Stop(Stop::Close))
            }
            "reset" => self.reset(site, out),
            "readonly" => {
                self.readonly = true;
                self.ok(out)
            }
            "readwrite" => {
                self.readonly = false;
                self.ok(out)
            }
            // Slots do not migrate: there is nothing that ASKING would change.
            "asking" => self.ok(out),
            "wait" => self.wait(args, site, within, out),
            "monitor" => self.monitor(within, out),
            "subscribe" | "psubscribe" | "ssubscribe" | "unsubscribe" | "punsubscribe" | "sunsubscribe"
            | "publish" | "spublish" | "pubsub" => self.channels(spec, args, within, site, out),
            "multi" => self.multi(out),
            "exec" => self.exec(site, out),
            "discard" => self.discard(out),
            "watch" => self.watch(spec, args, site, out),
            "unwatch" => self.unwatch(out),
            "client" => self.client(args, site, out),
            "command" => self.command(args, out),
            "cluster" => query(Query::Cluster),
            "config" => query(Query::Config),
            "debug" => query(Query::Debug),
            "info" => query(Query::Info),
            "memory" => self.of_a_key(spec, args, Query::Memory, within, site),
            "object" => self.of_a_key(spec, args, Query::Object, within, site),
            "lolwut" => self.lolwut(args, site, out),
            "latency" => query(Query::Latency),
            "slowlog" => query(Query::Slowlog),
            "role" => query(Query::Role),
            "eval" | "evalsha" | "eval_ro" | "evalsha_ro" | "fcall" | "fcall_ro" => {
                self.script(spec, args, within, site)
            }
            "script" => query(Query::Scripts),
            "function" => self.function(args, within, site, out),
            "time" => query(Query::Time),
            "shutdown" => Err(Refusal::Shutdown),
            name => Err(Refusal::NotSupported { name }),
        }
    }

    pub(crate) fn ok(&self, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        Writer::new(out, self.protocol).ok();
        Ok(Turn::Answered)
    }

    /// Writes one reply.
    pub(crate) fn answer(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Turn, Refusal> {
        write(&mut Writer::new(out, self.protocol));
        Ok(Turn::Answered)
    }

    /// What may name a key is asked where that is.
    fn of_a_key(
        &self,
        spec: &Spec,
        args: &[&[u8]],
        query: Query,
        within: Within,
        site: &impl Site,
    ) -> Result<Turn, Refusal> {
        if within == Within::Nothing
            && let Some(slot) = route::slot_of(spec, args)?
            && let Admitted::Undecided = route::admit(site, slot, self.reads(spec))?
        {
            return Ok(Turn::Stop(Stop::Park));
        }
        Ok(Turn::Run(Job::Query(query)))
    }

    fn ping(&self, args: &[&[u8]], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        if self.protocol == Protocol::Resp2 && self.is_subscribed() && args.len() <= 2 {
            // In the form of a message: that is all that such a client expects.
            return self.answer(out, |reply| {
                reply.array(2);
                reply.bulk(b"pong");
                reply.bulk(args.get(1).copied().unwrap_or_default());
            });
        }
        match args {
            [_] => self.answer(out, |reply| reply.simple("PONG")),
            [_, text] => self.answer(out, |reply| reply.bulk(text)),
            _ => Err(Refusal::Arity(WrongArity { command: "ping" })),
        }
    }

    /// All of it or nothing, but for the authentication.
    fn hello(&mut self, args: &[&[u8]], site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let protocol = match args.get(1).map(|version| parse_integer(version)) {
            None => self.protocol,
            Some(Some(2)) => Protocol::Resp2,
            Some(Some(3)) => Protocol::Resp3,
            Some(Some(_)) => return Err(Refusal::UnknownProtocol),
            Some(None) => return Err(Refusal::ProtocolNotAnInteger),
        };
        let mut rest = args.get(2..).unwrap_or_default();
        let mut name = None;
        while let [option, after @ ..] = rest {
            match (option.to_ascii_lowercase().as_slice(), after) {
                (b"auth", [user, password, after @ ..]) => {
                    self.authenticate(args[0], user, password, site)?;
                    rest = after;
                }
                (b"setname", [text, after @ ..]) => {
                    name = Some(printable(text).ok_or(Refusal::Name)?);
                    rest = after;
                }
                _ => {
                    let option = String::from_utf8_lossy(option).into_owned();
                    return Err(Refusal::HelloOption { option });
                }
            }
        }
        if self.trusted == Trusted::No {
            self.trusted = Trusted::of_everybody(site.accounts().everybody());
        }
        if self.trusted == Trusted::No {
            return Err(Refusal::HelloNotAuthenticated);
        }
        if let Some(name) = name {
            self.name(name);
        }
        self.protocol = protocol;
        let introduction = site.introduction();
        let mut reply = Writer::new(out, protocol);
        reply.map(7);
        reply.bulk(b"server");
        // Clients look for this name before they use what Redis offers.
        reply.bulk(b"redis");
        reply.bulk(b"version");
        reply.bulk(introduction.redis_version.as_bytes());
        reply.bulk(b"proto");
        reply.int(number(protocol));
        reply.bulk(b"id");
        reply.int(self.id.cast_signed());
        reply.bulk(b"mode");
        reply.bulk(b"cluster");
        reply.bulk(b"role");
        reply.bulk(match introduction.shown_as {
            ShownAs::Master => b"master",
            ShownAs::Replica => b"replica",
        });
        reply.bulk(b"modules");
        reply.array(0);
        Ok(Turn::Answered)
    }

    fn auth(&mut self, args: &[&[u8]], site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        match args {
            [_, _] if site.accounts().everybody().takes_any_password() => return Err(Refusal::NoPassword),
            [command, password] => self.authenticate(command, DEFAULT_USER, password, site)?,
            [command, user, password] => self.authenticate(command, user, password, site)?,
            _ => return Err(Refusal::Syntax),
        }
        self.ok(out)
    }

    fn authenticate(
        &mut self,
        command: &[u8],
        user: &[u8],
        password: &[u8],
        site: &impl Site,
    ) -> Result<(), Refusal> {
        let known = site.accounts().find(user).filter(|account| account.authenticates(password));
        let Some(account) = known else {
            return Err(Refusal::WrongPassword { command: command.to_vec(), user: user.to_vec() });
        };
        self.account = Rc::clone(account);
        self.trusted = Trusted::Yes;
        Ok(())
    }

    /// Its drawings are Redis' own; what is left is what it says of itself in every version.
    fn lolwut(&self, args: &[&[u8]], site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        if let [_, option, version, ..] = args
            && option.eq_ignore_ascii_case(b"version")
        {
            parse_integer(version).ok_or(Refusal::NotAnInteger)?;
        }
        let text = format!("Redis ver. {}\n", site.introduction().redis_version);
        self.answer(out, |reply| reply.verbatim("txt", text.as_bytes()))
    }

    fn select(&self, args: &[&[u8]], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        match parse_integer(args[1]) {
            Some(0) => self.ok(out),
            Some(_) => Err(Refusal::Select),
            None => Err(Refusal::NotAnInteger),
        }
    }

    fn reset(&mut self, site: &impl Site, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        self.forget_transaction();
        self.protocol = Protocol::Resp2;
        self.readonly = false;
        self.replies = Replies::Sent;
        self.touches = Touches::Yes;
        self.account = Rc::clone(site.accounts().everybody());
        self.trusted = Trusted::of_everybody(&self.account);
        self.name(String::new());
        Writer::new(out, self.protocol).simple("RESET");
        Ok(self.listen_to_nothing())
    }
}

/// As `HELLO` and `CLIENT LIST` have it.
fn number(protocol: Protocol) -> i64 {
    match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    }
}
