//! `DUMP` and `RESTORE`.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::rdb::{self, RestoreError};
use ironcache_keyspace::Effect;
use ironcache_resp::parse_integer;

type Outcome = Result<(), CommandError>;

impl From<RestoreError> for CommandError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Footer => CommandError::DumpFooter,
            RestoreError::Value => CommandError::DumpValue,
        }
    }
}

pub(crate) fn dump(call: &mut Call<'_>) -> Outcome {
    match call.db.entry(call.args[1]) {
        None => call.reply.null(),
        Some(entry) => {
            let payload = rdb::write(entry.value());
            call.reply.bulk(&payload);
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    /// For how many seconds it was idle.
    idle_s: Option<u64>,
    /// How often it was used.
    frequency: Option<u8>,
}

impl Options {
    fn parse(mut options: &[&[u8]]) -> Result<Self, CommandError> {
        let mut it = Options::default();
        while let [option, rest @ ..] = options {
            options = match rest {
                rest if arg::is(option, "replace") => {
                    it.replace = true;
                    rest
                }
                rest if arg::is(option, "absttl") => {
                    it.absolute = true;
                    rest
                }
                [seconds, rest @ ..] if it.frequency.is_none() && arg::is(option, "idletime") => {
                    let seconds = u64::try_from(arg::integer(seconds)?);
                    it.idle_s = Some(seconds.map_err(|_| CommandError::RestoreIdle)?);
                    rest
                }
                [frequency, rest @ ..] if it.idle_s.is_none() && arg::is(option, "freq") => {
                    let frequency = u8::try_from(arg::integer(frequency)?);
                    it.frequency = Some(frequency.map_err(|_| CommandError::RestoreFrequency)?);
                    rest
                }
                _ => return Err(CommandError::Syntax),
            };
        }
        Ok(it)
    }
}

pub(crate) fn restore(call: &mut Call<'_>) -> Outcome {
    let [key, ttl_ms, payload] = [call.args[1], call.args[2], call.args[3]];
    let options = Options::parse(&call.args[4..])?;
    if !options.replace && call.db.exists(key) {
        return Err(CommandError::BusyKey);
    }
    let ttl_ms = parse_integer(ttl_ms).ok_or(CommandError::NotAnInteger)?;
    let ttl_ms = u64::try_from(ttl_ms).map_err(|_| CommandError::RestoreTtl)?;
    let whole = rdb::read(payload)?;
    if call.db.exists(key) {
        call.db.record(Effect::Delete { key });
    }
    let base_ms = if options.absolute { 0 } else { call.db.now_ms };
    // Beyond what a moment can be it has expired, as in Redis, where it overflows.
    let expire_at_ms = base_ms.checked_add(ttl_ms).filter(|at_ms| i64::try_from(*at_ms).is_ok());
    let expire_at_ms = (ttl_ms > 0).then_some(expire_at_ms.unwrap_or(0));
    call.reply.ok();
    if expire_at_ms.is_some_and(|at_ms| at_ms <= call.db.now_ms) {
        return Ok(());
    }
    whole.record(call, key);
    if let Some(at_ms) = expire_at_ms {
        call.db.record(Effect::ExpireAt { key, at_ms });
    }
    call.db.used_before(key, options.idle_s, options.frequency);
    Ok(())
}
