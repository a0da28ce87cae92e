//! HyperLogLogs: strings that count the different elements they were shown.
//!
//! `PFCOUNT` does not keep what it computed in the string: it is a read, and a replica's bytes are its primary's.

use crate::call::Call;
use crate::error::CommandError;
use crate::hll::{Corrupt, Hll, Registers};
use ironcache_keyspace::{Effect, EventClass, SetExpiry};

type Outcome = Result<(), CommandError>;

impl From<Corrupt> for CommandError {
    fn from(Corrupt: Corrupt) -> Self {
        CommandError::HllCorrupt
    }
}

fn read(call: &mut Call<'_>, key: &[u8]) -> Result<Option<Hll>, CommandError> {
    let Some(bytes) = call.db.read::<[u8]>(key)? else {
        return Ok(None);
    };
    Hll::parse(bytes).map(Some).ok_or(CommandError::NotAnHll)
}

/// Writes what changed of a string, which is little: a register, mostly.
fn record_change(call: &mut Call<'_>, key: &[u8], old: &[u8], new: &[u8]) {
    /// Changes that lie closer become one effect: its own bytes are about as many.
    const GAP_BYTES: usize = 16;
    if new.len() < old.len() {
        return call.db.record(Effect::SetString { key, value: new, expiry: SetExpiry::Keep });
    }
    let differs = |at: &usize| old.get(*at) != Some(&new[*at]);
    let mut at = 0;
    while let Some(start) = (at..new.len()).find(differs) {
        let mut end = start + 1;
        while let Some(next) = (end..new.len().min(end + GAP_BYTES)).find(differs) {
            end = next + 1;
        }
        call.db.record(Effect::SetRange { key, offset: start as u64, value: &new[start..end] });
        at = end;
    }
}

pub(crate) fn pfadd(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let old = read(call, key)?;
    let mut hll = old.clone().unwrap_or_else(Hll::new);
    let mut changed = old.is_none();
    for element in &call.args[2..] {
        changed |= hll.add(element)?;
    }
    if changed {
        hll.invalidate();
        record_change(call, key, old.as_ref().map_or(&[][..], Hll::bytes), hll.bytes());
    }
    call.reply.int(changed.into());
    Ok(())
}

pub(crate) fn pfcount(call: &mut Call<'_>) -> Outcome {
    let count = match call.args[1..] {
        [key] => read(call, key)?.map_or(Ok(0), |hll| hll.count())?,
        _ => {
            let mut registers = Registers::new();
            for key in &call.args[1..] {
                if let Some(hll) = read(call, key)? {
                    registers.merge(&hll)?;
                }
            }
            registers.count()
        }
    };
    call.reply.int(count as i64);
    Ok(())
}

pub(crate) fn pfmerge(call: &mut Call<'_>) -> Outcome {
    let key = call.args[1];
    let (mut registers, mut dense) = (Registers::new(), false);
    let mut old = None;
    for (i, source) in call.args[1..].iter().enumerate() {
        if let Some(hll) = read(call, source)? {
            dense |= hll.is_dense();
            registers.merge(&hll)?;
            if i == 0 {
                old = Some(hll);
            }
        }
    }
    call.db.was_read();
    let mut hll = old.clone().unwrap_or_else(Hll::new);
    if dense {
        hll.make_dense()?;
    }
    for (index, value) in registers.raised() {
        hll.raise(index, value)?;
    }
    hll.invalidate();
    record_change(call, key, old.as_ref().map_or(&[][..], Hll::bytes), hll.bytes());
    call.did(EventClass::String, "pfadd", key);
    call.reply.ok();
    Ok(())
}
