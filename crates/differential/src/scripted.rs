//! Commands that scripts call: the same commands, their arguments those of an `EVAL`, their replies as Lua sees them.
//!
//! *Invariant:* a script calls one command, so that its reply is compared as the command's own would be.

use crate::Args;
use crate::random::Dice;

/// What a script makes of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Its own reply; of an error, its own error.
    Whole,
    /// The first of two elements, also of an error.
    Caught,
}

/// Where the command begins in an `EVAL` without keys.
const COMMAND: usize = 3;

const SCRIPTS: [(&str, Form); 3] = [
    ("return redis.call(unpack(ARGV))", Form::Whole),
    ("redis.setresp(3) return redis.call(unpack(ARGV))", Form::Whole),
    ("return {redis.pcall(unpack(ARGV)), 'end'}", Form::Caught),
];

/// A script that calls the command.
pub(crate) fn wrap(command: Args, dice: &mut Dice) -> Args {
    let (script, _) = dice.pick(&SCRIPTS);
    let mut args: Args = ["EVAL", *script, "0"].map(|word| word.as_bytes().to_vec()).to_vec();
    args.extend(command);
    args
}

/// The command that a script calls, if it is one of these, and what it makes of the reply.
pub(crate) fn inner(args: &Args) -> Option<(Form, Args)> {
    let script = args.get(1).filter(|_| args[0].eq_ignore_ascii_case(b"eval"))?;
    let (_, form) = SCRIPTS.iter().find(|(text, _)| text.as_bytes() == script)?;
    args.get(COMMAND..).filter(|command| !command.is_empty()).map(|command| (*form, command.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wrapped_is_found_again() {
        let get: Args = ["GET", "k"].map(|word| word.as_bytes().to_vec()).to_vec();
        let mut dice = Dice::new(1);
        for _ in 0..10 {
            let wrapped = wrap(get.clone(), &mut dice);
            assert_eq!(inner(&wrapped).map(|(_, command)| command), Some(get.clone()));
        }
        assert_eq!(inner(&get), None);
    }
}
