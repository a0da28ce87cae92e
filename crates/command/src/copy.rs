//! A key copied.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::whole::Whole;
use ironcache_keyspace::Effect;

type Outcome = Result<(), CommandError>;

pub(crate) fn copy(call: &mut Call<'_>) -> Outcome {
    /// As many as Redis has; a cluster has one.
    const DATABASES: i64 = 16;
    let (from, to) = (call.args[1], call.args[2]);
    let (mut replace, mut database) = (false, 0);
    let mut options = &call.args[3..];
    while let [option, rest @ ..] = options {
        options = match rest {
            rest if arg::is(option, "replace") => {
                replace = true;
                rest
            }
            [wanted, rest @ ..] if arg::is(option, "db") => {
                database = arg::between(wanted, i32::MIN.into(), i32::MAX.into())?;
                if !(0..DATABASES).contains(&database) {
                    return Err(CommandError::DbIndex);
                }
                rest
            }
            _ => return Err(CommandError::Syntax),
        };
    }
    if database != 0 {
        return Err(CommandError::CopyToOtherDb);
    }
    if from == to {
        return Err(CommandError::SameObject);
    }
    let entry = call.db.entry(from).map(|entry| (Whole::of(entry.value()), entry.expire_at_ms()));
    call.db.was_read();
    let Some((copied, expire_at_ms)) = entry else {
        call.reply.int(0);
        return Ok(());
    };
    if call.db.exists(to) {
        if !replace {
            call.reply.int(0);
            return Ok(());
        }
        call.db.record(Effect::Delete { key: to });
    }
    copied.record(call, to);
    if let Some(at_ms) = expire_at_ms {
        call.db.record(Effect::ExpireAt { key: to, at_ms });
    }
    call.reply.int(1);
    Ok(())
}
