//! May a user do that?
//!
//! *Invariant:* a command is allowed if one selector allows all of it: the command, each key and each channel.

use crate::catalogue::catalogue;
use crate::denied::{Denied, Reason};
use crate::keys::{channels, needs};
use crate::selector::{Patterns, Selector};
use crate::user::User;
use ironcache_command::{Flags, Spec};

impl User {
    /// Of a command whose number of arguments is right; `args` begin with its name.
    ///
    /// # Errors
    /// [`Denied`]: of what every selector objects to, that which is nearest to being allowed.
    pub fn check(&self, spec: &Spec, args: &[&[u8]]) -> Result<(), Denied> {
        let id = User::judged_as(spec, args);
        let mut nearest = None;
        for selector in self.selectors() {
            match check_one(selector, spec, id, args) {
                Ok(()) => return Ok(()),
                // Redis' order: a command that is allowed but for its key is nearer than one that is not.
                Err(objection) => nearest = nearest.max(Some(objection)),
            }
        }
        let Some(Objection { reason, at: _, object }) = nearest else { return Ok(()) };
        let command = id.map_or(spec.name, |id| catalogue().entries[id].name).as_bytes().to_vec();
        Err(Denied { reason, object: object.map_or_else(|| command.clone(), <[u8]>::to_vec), command })
    }
}

/// Ordered by how much was allowed before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Objection<'a> {
    reason: Reason,
    /// Which of the keys, or channels.
    at: usize,
    object: Option<&'a [u8]>,
}

fn check_one<'a>(
    selector: &Selector,
    spec: &Spec,
    id: Option<usize>,
    args: &'a [&'a [u8]],
) -> Result<(), Objection<'a>> {
    let may_run = spec.flags.contains(Flags::NO_AUTH)
        || selector.commands.is_all()
        || id.is_some_and(|id| selector.commands.allows(id, args));
    if !may_run {
        return Err(Objection { reason: Reason::Command, at: 0, object: None });
    }
    if selector.keys != Patterns::All {
        for (at, (key, need)) in needs(spec, args).enumerate() {
            if !selector.allows_key(key, need) {
                return Err(Objection { reason: Reason::Key, at, object: Some(key) });
            }
        }
    }
    for (at, (channel, kind)) in channels(spec, args).enumerate() {
        if !selector.allows_channel(channel, kind) {
            return Err(Objection { reason: Reason::Channel, at, object: Some(channel) });
        }
    }
    Ok(())
}
