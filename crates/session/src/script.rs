//! `EVAL`, `FCALL` and their kin: where a script runs, and whether it may begin now. What it calls is looked at when it is called.
//!
//! *Invariant:* a script is sent to whoever serves its keys; without keys it runs where it arrives.

use crate::refusal::Refusal;
use crate::route::{self, Admitted};
use crate::session::Session;
use crate::site::{Owner, Site};
use crate::turn::{Job, Stop, Turn, Within};
use ironcache_command::{Flags, Spec};
use ironcache_resp::parse_integer;

/// Where the number of keys stands.
const NUMKEYS: usize = 2;

impl Session {
    pub(crate) fn script(
        &self,
        spec: &'static Spec,
        args: &[&[u8]],
        within: Within,
        site: &impl Site,
    ) -> Result<Turn, Refusal> {
        let is_function = is_function(spec);
        let keys = match count_keys(spec, args) {
            Ok(keys) => keys,
            // As in Redis, that is told first.
            Err(_) if is_function && !site.is_loading_libraries() && !site.has_function(args[1]) => 0,
            Err(refusal) => return Err(refusal),
        };
        let slot = route::slot_of(spec, args)?;
        // Within a transaction `EXEC` has seen to it.
        if within == Within::Nothing {
            let admitted = match slot {
                Some(slot) => route::admit(site, slot, self.reads(spec))?,
                None if site.owner_without_keys() == Owner::Undecided => Admitted::Undecided,
                None => Admitted::Here,
            };
            if admitted == Admitted::Undecided {
                return Ok(Turn::Stop(Stop::Park));
            }
            if is_function && site.is_loading_libraries() {
                return Ok(Turn::Stop(Stop::Park));
            }
            // It cannot wait once it has begun to write.
            if may_write(spec) && site.epoch().is_some() && site.is_backed_up() {
                return Ok(Turn::Stop(Stop::Hold));
            }
        }
        Ok(Turn::Run(Job::Script { spec, slot, keys }))
    }
}

fn count_keys(spec: &Spec, args: &[&[u8]]) -> Result<usize, Refusal> {
    let wrong = if is_function(spec) { Refusal::NumberOfKeys } else { Refusal::NotAnInteger };
    let keys = parse_integer(args[NUMKEYS]).ok_or(wrong)?;
    let Ok(keys) = usize::try_from(keys) else { return Err(Refusal::NegativeKeys) };
    if keys > args.len() - NUMKEYS - 1 {
        return Err(Refusal::MoreKeysThanArgs);
    }
    Ok(keys)
}

/// Is it one of these?
pub fn is_script(spec: &Spec) -> bool {
    matches!(spec.name, "eval" | "evalsha" | "eval_ro" | "evalsha_ro") || is_function(spec)
}

/// Does it call a function of a library?
pub fn is_function(spec: &Spec) -> bool {
    matches!(spec.name, "fcall" | "fcall_ro")
}

/// May a script that is run so write?
pub(crate) fn may_write(spec: &Spec) -> bool {
    is_script(spec) && !spec.flags.contains(Flags::READONLY)
}

/// What is answered while a script keeps everything else waiting: how to end it, and what is about the connection alone.
pub(crate) fn is_answered_while_busy(spec: &Spec, args: &[&[u8]]) -> bool {
    match spec.name {
        "script" => args.get(1).is_some_and(|sub| sub.eq_ignore_ascii_case(b"kill")),
        "function" => args
            .get(1)
            .is_some_and(|sub| sub.eq_ignore_ascii_case(b"kill") || sub.eq_ignore_ascii_case(b"stats")),
        name => matches!(
            name,
            "auth" | "hello" | "quit" | "reset" | "multi" | "discard" | "watch" | "unwatch" | "shutdown"
        ),
    }
}
