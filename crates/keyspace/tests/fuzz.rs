//! Fuzzing of effects, as a primary or a checkpoint may hold them; see crate `ironcache-fuzz`.

use ironcache_fuzz::{Campaign, of_golden_lines};
use ironcache_keyspace::{Effect, Items, Keyspace, Stream, StreamChange, StreamId, apply_effects};
use ironcache_types::LEVELS;

/// A range at the end of 512 MiB is a valid effect; here it would only take time.
const SET_RANGE_BYTES_MAX: usize = 4 << 20;

#[test]
fn fuzz_effects() {
    let mut inputs = of_golden_lines(include_str!("golden/effects-1.hex"));
    inputs.extend(of_golden_lines(include_str!("golden/effects-2.hex")));
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

/// A stream of several blocks, as their bytes.
fn blocks() -> Vec<Vec<u8>> {
    let mut stream = Stream::default();
    for ms in 1..250 {
        let (id, long) = (StreamId { ms, seq: ms % 3 }, [b'x'; 90]);
        let fields = [[&b"name"[..], b"12"], [b"other", &long[..ms as usize % 90]]];
        let fields = Items::new(&fields[..1 + ms as usize % 2]);
        stream.apply(&StreamChange::Add { id, fields }).expect("it is the last");
    }
    stream.apply(&StreamChange::Trim { blocks: 0, entries: 3 }).expect("it has more");
    stream.blocks().map(|(_, bytes)| bytes.to_vec()).collect()
}

/// Says in the header how long it is.
fn with_its_length(bytes: &mut [u8]) {
    let length = (bytes.len() as u32).to_le_bytes();
    if let Some(header) = bytes.get_mut(..4) {
        header.copy_from_slice(&length);
    }
}

#[test]
fn fuzz_blocks_of_a_stream_can_be_walked_and_changed_or_are_refused() {
    Campaign::of("blocks of a stream").from(blocks()).resealed(with_its_length).run(|bytes| {
        let (mut stream, id) = (Stream::default(), StreamId { ms: 7, seq: 0 });
        stream.apply(&StreamChange::Block { id, bytes }).map_err(|error| error.to_string())?;
        let all = |stream: &Stream| -> Vec<StreamId> {
            stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id()).collect()
        };
        let ids = all(&stream);
        assert!(ids.len() as u64 <= stream.len());
        stream.range_back(StreamId::MIN, StreamId::MAX).for_each(|entry| {
            assert_eq!(entry.fields().count() as u64, entry.fields().left());
        });
        let fields = Items::new(&[]);
        stream.apply(&StreamChange::Add { id: StreamId::MAX, fields }).map_err(|error| error.to_string())?;
        if let Some(id) = ids.first() {
            stream
                .apply(&StreamChange::Delete { ids: Items::new(&[*id]) })
                .map_err(|error| error.to_string())?;
        }
        Ok::<_, String>((ids.is_empty(), stream.is_empty()))
    });
}
