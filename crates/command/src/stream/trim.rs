//! What is to be trimmed, as `XADD` and `XTRIM` are told.

use super::error::StreamError;
use super::{Outcome, id};
use crate::arg;
use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::{STREAM_BLOCK_ENTRIES_MAX, Stream, StreamChange, TrimBy, TrimTo};

/// So many blocks of entries at most go by `~`, unless LIMIT says otherwise.
const BLOCKS_MAX: u64 = 100;

/// The options that the two commands share, while they are being read.
#[derive(Clone, Copy, Default)]
pub(super) struct TrimOptions {
    to: Option<TrimTo>,
    by_blocks: bool,
    limit: Option<u64>,
}

impl TrimOptions {
    /// Takes an option, if the arguments begin with one of these; answers what follows it.
    pub(super) fn take<'o, 'a>(
        &mut self,
        args: &'o [&'a [u8]],
    ) -> Result<Option<&'o [&'a [u8]]>, CommandError> {
        let [option, rest @ ..] = args else { return Ok(None) };
        let [next, after @ ..] = rest else { return Ok(None) };
        if arg::is(option, "limit") {
            let limit = arg::integer(next)?;
            let limit = u64::try_from(limit).map_err(|_| StreamError::TrimNegative { option: "LIMIT" })?;
            self.limit = Some(limit);
            return Ok(Some(after));
        }
        let by_length = arg::is(option, "maxlen");
        if !by_length && !arg::is(option, "minid") {
            return Ok(None);
        }
        if self.to.is_some() {
            return Err(StreamError::TwoTrims.into());
        }
        let marked = matches!(*next, b"~" | b"=") && !after.is_empty();
        self.by_blocks = marked && *next == b"~";
        let (value, after) = if marked { (after[0], &after[1..]) } else { (*next, after) };
        self.to = Some(if by_length {
            let length = arg::integer(value)?;
            TrimTo::Length(u64::try_from(length).map_err(|_| StreamError::TrimNegative { option: "MAXLEN" })?)
        } else {
            TrimTo::Id(id::strict(value)?)
        });
        Ok(Some(after))
    }

    /// What they come to.
    pub(super) fn finish(self) -> Result<Option<(TrimTo, TrimBy)>, StreamError> {
        let Some(to) = self.to else {
            // LIMIT 0 is none.
            return if self.limit.unwrap_or(0) > 0 { Err(StreamError::LimitOfNothing) } else { Ok(None) };
        };
        let by = match (self.by_blocks, self.limit) {
            (true, None) => TrimBy::Blocks { entries_max: Some(BLOCKS_MAX * STREAM_BLOCK_ENTRIES_MAX) },
            (true, Some(limit)) => TrimBy::Blocks { entries_max: Some(limit).filter(|limit| *limit > 0) },
            (false, None) => TrimBy::Entries,
            (false, Some(_)) => return Err(StreamError::LimitOfExact),
        };
        Ok(Some((to, by)))
    }
}

pub(crate) fn xtrim(call: &mut Call<'_>) -> Outcome {
    let mut options = TrimOptions::default();
    let mut args = &call.args[2..];
    while !args.is_empty() {
        args = options.take(args)?.ok_or(CommandError::Syntax)?;
    }
    let (to, by) = options.finish()?.ok_or(StreamError::TrimToNothing)?;
    let removed = trim(call, call.args[1], to, by)?;
    call.reply.count(removed as usize);
    Ok(())
}

/// Trims the stream at a key; answers how many entries went.
pub(super) fn trim(call: &mut Call<'_>, key: &[u8], to: TrimTo, by: TrimBy) -> Result<u64, CommandError> {
    let Some(stream) = call.db.read::<Stream>(key)? else { return Ok(0) };
    let trimmed = stream.trimmed(to, by);
    if trimmed.blocks > 0 || trimmed.entries > 0 {
        call.change(key, StreamChange::Trim { blocks: trimmed.blocks, entries: trimmed.entries });
    }
    Ok(trimmed.removed)
}
