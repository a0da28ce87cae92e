//! Fuzzing of effects, as a primary or a checkpoint may hold them; see crate `ironcache-fuzz`.

use ironcache_fuzz::{Campaign, of_golden_lines};
use ironcache_keyspace::{Effect, Keyspace, apply_effects};
use ironcache_types::LEVELS;

/// A range at the end of 512 MiB is a valid effect; here it would only take time.
const SET_RANGE_BYTES_MAX: usize = 4 << 20;

#[test]
fn fuzz_effects() {
    let inputs = of_golden_lines(include_str!("golden/effects-1.hex"));
    let all = inputs.concat();
    let keeps = 4 * SET_RANGE_BYTES_MAX;
    Campaign::of("effects").from(inputs).from([all]).keeps(keeps).run(|bytes| {
        let (mut keyspace, mut rest) = (Keyspace::new(), bytes);
        while let Ok((effect, after)) = Effect::decode(rest, LEVELS.max) {
            assert!(after.len() < rest.len(), "an effect takes bytes");
            rest = after;
            // As wide as a value may be; here it would only take time.
            if matches!(effect, Effect::SetRange { offset, .. } if offset as usize > SET_RANGE_BYTES_MAX) {
                return Err(format!("{:?}", "wide"));
            }
        }
        apply_effects(&mut keyspace, bytes, LEVELS.max).map_err(|error| format!("{error:?}"))
    });
}
