//! `CLIENT TRACKING`, `CACHING`, `GETREDIR` and `TRACKINGINFO`.

use super::{Caching, Mode, Own, Tracking};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::site::Site;
use crate::turn::{Job, Listening, Turn};
use ironcache_resp::parse_integer;
use std::collections::BTreeSet;
use std::rc::Rc;

#[derive(Default)]
struct Options<'a> {
    redirect: i64,
    broadcast: bool,
    opt_in: bool,
    opt_out: bool,
    no_loop: bool,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(mut args: &[&'a [u8]], site: &impl Site) -> Result<Self, Refusal> {
        let mut options = Self::default();
        while let [option, rest @ ..] = args {
            args = rest;
            match (option.to_ascii_lowercase().as_slice(), rest) {
                (b"redirect", [id, rest @ ..]) => {
                    if options.redirect != 0 {
                        return Err(Refusal::RedirectedTwice);
                    }
                    options.redirect = parse_integer(id).ok_or(Refusal::NotAnInteger)?;
                    if !site.has_client(options.redirect.cast_unsigned()) {
                        return Err(Refusal::NobodyToRedirectTo);
                    }
                    args = rest;
                }
                (b"prefix", [prefix, rest @ ..]) => {
                    options.prefixes.push(prefix);
                    args = rest;
                }
                (b"bcast", _) => options.broadcast = true,
                (b"optin", _) => options.opt_in = true,
                (b"optout", _) => options.opt_out = true,
                (b"noloop", _) => options.no_loop = true,
                _ => return Err(Refusal::Syntax),
            }
        }
        Ok(options)
    }

    fn mode(&self, before: Option<&Tracking>) -> Result<Mode, Refusal> {
        let Self { redirect: _, broadcast, opt_in, opt_out, no_loop: _, prefixes } = self;
        if !broadcast && !prefixes.is_empty() {
            return Err(Refusal::PrefixWithoutBroadcast);
        }
        if before.is_some_and(|before| (before.mode == Mode::Broadcast) != *broadcast) {
            return Err(Refusal::BroadcastSwitched);
        }
        if *broadcast && (*opt_in || *opt_out) {
            return Err(Refusal::BroadcastAndOptions);
        }
        if *opt_in && *opt_out {
            return Err(Refusal::OptInAndOut);
        }
        let was = |mode| before.is_some_and(|before| before.mode == mode);
        if *opt_in && was(Mode::OptOut) || *opt_out && was(Mode::OptIn) {
            return Err(Refusal::OptionsSwitched);
        }
        Ok(match (*broadcast, *opt_in, *opt_out) {
            (true, ..) => Mode::Broadcast,
            (_, true, _) => Mode::OptIn,
            (.., true) => Mode::OptOut,
            _ => Mode::Read,
        })
    }

    /// Of one client no key is to be told twice.
    fn check_prefixes(&self, before: Option<&Tracking>) -> Result<(), Refusal> {
        let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
        let shown = |prefix: &[u8]| String::from_utf8_lossy(prefix).into_owned();
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let mut existing = before.into_iter().flat_map(|before| &before.prefixes);
            if let Some(other) = existing.find(|other| overlap(other, prefix)) {
                return Err(Refusal::PrefixExists { prefix: shown(prefix), other: shown(other) });
            }
            if let Some(other) = self.prefixes[at + 1..].iter().find(|other| overlap(other, prefix)) {
                return Err(Refusal::PrefixesOverlap { prefix: shown(prefix), other: shown(other) });
            }
        }
        Ok(())
    }
}

impl Session {
    pub(crate) fn set_tracking(
        &mut self,
        switch: &[u8],
        options: &[&[u8]],
        site: &impl Site,
        out: &mut Vec<u8>,
    ) -> Result<Turn, Refusal> {
        let options = Options::parse(options, site)?;
        match switch.to_ascii_lowercase().as_slice() {
            b"on" => {
                let before = self.tracking.as_deref();
                let mode = options.mode(before)?;
                options.check_prefixes(before)?;
                let mut prefixes = BTreeSet::new();
                if mode == Mode::Broadcast {
                    prefixes.extend(before.into_iter().flat_map(|before| &before.prefixes).map(Rc::clone));
                    prefixes.extend(options.prefixes.iter().map(|prefix| Rc::from(*prefix)));
                    if options.prefixes.is_empty() {
                        prefixes.insert(Rc::from(&[][..]));
                    }
                }
                let own = if options.no_loop { Own::NotTold } else { Own::Told };
                let redirect = options.redirect.cast_unsigned();
                let tracking = Tracking { mode, own, redirect, prefixes, broken: Rc::default() };
                self.tracking = Some(Box::new(tracking));
            }
            b"off" => self.track_nothing(),
            _ => return Err(Refusal::Syntax),
        }
        self.ok(out)?;
        Ok(Turn::Run(Job::Listen(Listening::Tracked)))
    }

    pub(crate) fn track_nothing(&mut self) {
        self.tracking = None;
        self.caching = Caching::NotSaid;
    }

    pub(crate) fn set_caching(&mut self, what: &[u8], out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let Some(tracking) = &self.tracking else { return Err(Refusal::CachingWithoutTracking) };
        match (what.to_ascii_lowercase().as_slice(), tracking.mode) {
            (b"yes", Mode::OptIn) | (b"no", Mode::OptOut) => self.caching = Caching::Said,
            (b"yes", _) => return Err(Refusal::CachingYes),
            (b"no", _) => return Err(Refusal::CachingNo),
            _ => return Err(Refusal::Syntax),
        }
        self.ok(out)
    }

    pub(crate) fn tracking_info(&self, out: &mut Vec<u8>) -> Result<Turn, Refusal> {
        let mut flags = Vec::new();
        let said = self.caching == Caching::Said;
        let mut note = |is_set: bool, flag| flags.extend(is_set.then_some(flag));
        note(self.tracking.is_none(), "off");
        if let Some(tracking) = &self.tracking {
            note(true, "on");
            note(tracking.mode == Mode::Broadcast, "bcast");
            note(tracking.mode == Mode::OptIn, "optin");
            note(tracking.mode == Mode::OptIn && said, "caching-yes");
            note(tracking.mode == Mode::OptOut, "optout");
            note(tracking.mode == Mode::OptOut && said, "caching-no");
            note(tracking.own == Own::NotTold, "noloop");
            note(tracking.broken.get(), "broken_redirect");
        }
        self.answer(out, |reply| {
            reply.map(3);
            reply.bulk(b"flags");
            reply.set(flags.len());
            flags.iter().for_each(|flag| reply.bulk(flag.as_bytes()));
            reply.bulk(b"redirect");
            reply.int(self.redirects_to());
            reply.bulk(b"prefixes");
            let prefixes = self.tracking.iter().flat_map(|tracking| &tracking.prefixes);
            reply.array(prefixes.clone().count());
            prefixes.for_each(|prefix| reply.bulk(prefix));
        })
    }

    /// 0 is itself, -1 nobody: nothing is tracked.
    pub(crate) fn redirects_to(&self) -> i64 {
        self.tracking.as_ref().map_or(-1, |tracking| tracking.redirect.cast_signed())
    }

    pub fn tracking(&self) -> Option<&Tracking> {
        self.tracking.as_deref()
    }

    /// Is what it reads now to be remembered?
    pub fn remembers_reads(&self) -> bool {
        let said = self.caching == Caching::Said;
        self.tracking.as_ref().is_some_and(|tracking| match tracking.mode {
            Mode::Read => true,
            Mode::OptIn => said,
            Mode::OptOut => !said,
            Mode::Broadcast => false,
        })
    }

    /// Is there anything to be done about a request that is over?
    #[inline]
    pub fn needs_care(&self) -> bool {
        self.is_mute() | (self.caching == Caching::Said)
    }

    /// A request of this name is over: `CLIENT CACHING` was said of one, or of a transaction.
    pub fn caching_is_over(&mut self, name: &[u8]) {
        if self.transaction.is_none() && !name.eq_ignore_ascii_case(b"client") {
            self.caching = Caching::NotSaid;
        }
    }
}
