//! Expiry.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::Effect;

type Outcome = Result<(), CommandError>;

/// How a command names a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    InSeconds,
    InMs,
    AtSeconds,
    AtMs,
}

impl Moment {
    /// The option `EX`, `PX`, `EXAT` or `PXAT`.
    pub(crate) fn option(option: &[u8]) -> Option<Self> {
        [("ex", Moment::InSeconds), ("px", Moment::InMs), ("exat", Moment::AtSeconds), ("pxat", Moment::AtMs)]
            .into_iter()
            .find_map(|(name, moment)| arg::is(option, name).then_some(moment))
    }

    /// Unix time in ms; `None` beyond what fits.
    fn at_ms(self, amount: i64, now_ms: u64) -> Option<i64> {
        let (unit_ms, base) = match self {
            Moment::InSeconds => (1000, now_ms as i64),
            Moment::InMs => (1, now_ms as i64),
            Moment::AtSeconds => (1000, 0),
            Moment::AtMs => (1, 0),
        };
        amount.checked_mul(unit_ms)?.checked_add(base)
    }
}

/// The deadline that an option of a setting command asks for, unix time in ms: a positive amount.
pub(crate) fn deadline(call: &Call<'_>, amount: &[u8], moment: Moment) -> Result<u64, CommandError> {
    let amount = arg::integer(amount)?;
    let at_ms = if amount > 0 { moment.at_ms(amount, call.db.now_ms) } else { None };
    at_ms
        .and_then(|at_ms| u64::try_from(at_ms).ok())
        .ok_or(CommandError::InvalidExpiry { command: call.command })
}

pub(crate) fn expire(call: &mut Call<'_>) -> Outcome {
    expire_at(call, Moment::InSeconds)
}

pub(crate) fn pexpire(call: &mut Call<'_>) -> Outcome {
    expire_at(call, Moment::InMs)
}

pub(crate) fn expireat(call: &mut Call<'_>) -> Outcome {
    expire_at(call, Moment::AtSeconds)
}

pub(crate) fn pexpireat(call: &mut Call<'_>) -> Outcome {
    expire_at(call, Moment::AtMs)
}

/// The options of the `EXPIRE` family, each of which may be given.
#[derive(Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut it = Conditions::default();
        for option in options {
            match &*option.to_ascii_lowercase() {
                b"nx" => it.nx = true,
                b"xx" => it.xx = true,
                b"gt" => it.gt = true,
                b"lt" => it.lt = true,
                _ => {
                    let option = String::from_utf8_lossy(option).into_owned();
                    return Err(CommandError::UnsupportedOption { option });
                }
            }
        }
        if it.nx && (it.xx || it.gt || it.lt) {
            return Err(CommandError::ExpireNxWithOthers);
        }
        if it.gt && it.lt {
            return Err(CommandError::ExpireGtWithLt);
        }
        Ok(it)
    }

    /// Whether a key that expires at `old` may expire at `new`. No expiry is later than any.
    fn allow(&self, old: Option<u64>, new: i64) -> bool {
        let old = old.map(|at_ms| at_ms as i64);
        !((self.nx && old.is_some())
            || (self.xx && old.is_none())
            || (self.gt && old.is_none_or(|old| new <= old))
            || (self.lt && old.is_some_and(|old| new >= old)))
    }
}

fn expire_at(call: &mut Call<'_>, moment: Moment) -> Outcome {
    let key = call.args[1];
    let conditions = Conditions::parse(&call.args[3..])?;
    let amount = arg::integer(call.args[2])?;
    let new =
        moment.at_ms(amount, call.db.now_ms).ok_or(CommandError::InvalidExpiry { command: call.command })?;
    let allowed = call.db.entry(key).is_some_and(|entry| conditions.allow(entry.expire_at_ms(), new));
    if allowed {
        match u64::try_from(new) {
            Ok(at_ms) if at_ms > call.db.now_ms => call.db.record(Effect::ExpireAt { key, at_ms }),
            Ok(_) | Err(_) => call.db.record(Effect::Delete { key }),
        }
    }
    call.reply.int(allowed.into());
    Ok(())
}

pub(crate) fn persist(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let expires = call.db.entry(key).is_some_and(|entry| entry.expire_at_ms().is_some());
    if expires {
        call.db.record(Effect::Persist { key });
    }
    call.reply.int(expires.into());
    Ok(())
}

pub(crate) fn ttl(call: &mut Call<'_>) -> Outcome {
    let now_ms = call.db.now_ms;
    answer(call, |at_ms| at_ms.saturating_sub(now_ms).saturating_add(500) / 1000)
}

pub(crate) fn pttl(call: &mut Call<'_>) -> Outcome {
    let now_ms = call.db.now_ms;
    answer(call, |at_ms| at_ms.saturating_sub(now_ms))
}

pub(crate) fn expiretime(call: &mut Call<'_>) -> Outcome {
    answer(call, |at_ms| at_ms.saturating_add(500) / 1000)
}

pub(crate) fn pexpiretime(call: &mut Call<'_>) -> Outcome {
    answer(call, |at_ms| at_ms)
}

/// -2: no such key; -1: it does not expire.
fn answer(call: &mut Call<'_>, show: impl Fn(u64) -> u64) -> Outcome {
    let shown = match call.db.untouched(call.args[1]) {
        None => -2,
        Some(entry) => entry.expire_at_ms().map_or(-1, |at_ms| show(at_ms) as i64),
    };
    call.reply.int(shown);
    Ok(())
}
