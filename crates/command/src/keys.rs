//! Keys of any type.

use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use crate::glob::glob_matches;
use crate::random::Dice;
use ironcache_keyspace::progress::ticking;
use ironcache_keyspace::{Effect, Entry};

type Outcome = Result<(), CommandError>;

pub(crate) fn del(call: &mut Call<'_>) -> Outcome {
    let mut deleted = 0;
    for key in &call.args[1..] {
        if call.db.exists(key) {
            call.db.record(Effect::Delete { key });
            deleted += 1;
        }
    }
    call.reply.count(deleted);
    Ok(())
}

pub(crate) fn exists(call: &mut Call<'_>) -> Outcome {
    let found = call.args[1..].iter().filter(|key| call.db.untouched(key).is_some()).count();
    call.reply.count(found);
    Ok(())
}

pub(crate) fn touch(call: &mut Call<'_>) -> Outcome {
    let found = call.args[1..].iter().filter(|key| call.db.exists(key)).count();
    call.reply.count(found);
    Ok(())
}

pub(crate) fn type_(call: &mut Call<'_>) -> Outcome {
    let name = call.db.untouched(call.args[1]).map_or("none", |entry| entry.value().kind().name());
    call.reply.simple(name);
    Ok(())
}

pub(crate) fn rename(call: &mut Call<'_>) -> Outcome {
    let (key, to) = (call.args[1], call.args[2]);
    if !call.db.exists(key) {
        return Err(CommandError::NoSuchKey);
    }
    if key != to {
        call.db.record(Effect::Rename { key, to });
    }
    call.reply.ok();
    Ok(())
}

pub(crate) fn renamenx(call: &mut Call<'_>) -> Outcome {
    let (key, to) = (call.args[1], call.args[2]);
    if !call.db.exists(key) {
        return Err(CommandError::NoSuchKey);
    }
    let free = !call.db.exists(to);
    if free {
        call.db.record(Effect::Rename { key, to });
    }
    call.reply.int(free.into());
    Ok(())
}

pub(crate) fn keys(call: &mut Call<'_>) -> Outcome {
    let live = ticking(call.db.keyspace().entries()).filter(|entry| !entry.is_expired(call.db.now_ms));
    let keys: Vec<&[u8]> = live.map(Entry::key).filter(|key| glob_matches(call.args[1], key)).collect();
    call.reply.array(keys.len());
    ticking(keys).for_each(|key| call.reply.bulk(key));
    Ok(())
}

pub(crate) fn randomkey(call: &mut Call<'_>) -> Outcome {
    /// Expired keys are soon deleted, so a few draws find a live one; where all have expired, none is.
    const DRAWS_MAX: usize = 100;
    let mut dice = Dice::new(call.random);
    let keyspace = call.db.keyspace();
    let drawn = (0..DRAWS_MAX).map_while(|_| keyspace.random_entry(dice.next()));
    let live = drawn.into_iter().find(|entry| !entry.is_expired(call.db.now_ms));
    match live {
        Some(entry) => call.reply.bulk(entry.key()),
        None => call.reply.null(),
    }
    Ok(())
}

pub(crate) fn dbsize(call: &mut Call<'_>) -> Outcome {
    call.reply.count(call.db.keyspace().len());
    Ok(())
}

/// `FLUSHALL` and `FLUSHDB`, which are one with a single database.
pub(crate) fn flush(call: &mut Call<'_>) -> Outcome {
    match call.args[1..] {
        [] => {}
        [mode] if arg::is(mode, "sync") || arg::is(mode, "async") => {}
        _ => return Err(CommandError::Syntax),
    }
    if !call.db.keyspace().is_empty() {
        call.db.record(Effect::Clear);
    }
    call.reply.ok();
    Ok(())
}
