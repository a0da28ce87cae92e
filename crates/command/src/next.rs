//! The command of the feature `next`: it writes by an effect that came with it.

use crate::call::Call;
use crate::error::CommandError;
use ironcache_keyspace::Effect;

/// `ICNEXT.TOUCH key`: one more than the number that the key holds, which it holds from then on.
pub(crate) fn touch(call: &mut Call<'_>) -> Result<(), CommandError> {
    let key = call.args[1];
    let before = match call.db.read::<[u8]>(key)? {
        None => 0,
        Some(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<u32>().ok());
            number.ok_or(CommandError::NotAnInteger)?
        }
    };
    let times = u64::from(before) + 1;
    call.db.record(Effect::Touched { key, times });
    call.reply.int(i64::try_from(times).expect("one more than a u32"));
    Ok(())
}
