//! Fuzzing of payloads behind their checksum; see crate `ironcache-fuzz`.

use super::libraries::tests::OF_REDIS;
use super::{FOOTER_BYTES, crc64, read, read_libraries, write, write_libraries};
use crate::whole::Whole;
use ironcache_fuzz::Campaign;
use ironcache_keyspace::{Items, Pending, Stream, StreamChange, StreamHead, StreamId, Value};

/// A stream with a bit of everything.
fn stream() -> Stream {
    let mut stream = Stream::default();
    let id = |ms| StreamId { ms, seq: 1 };
    let mut change = |change: StreamChange<'_>| stream.apply(&change).expect("it fits");
    for ms in 1..120 {
        let fields = [[&b"name"[..], b"value"], [b"count", b"-300"]];
        let fields = Items::new(&fields[..1 + ms as usize % 2]);
        change(StreamChange::Add { id: id(ms), fields });
    }
    change(StreamChange::Delete { ids: Items::new(&[id(3), id(119)]) });
    change(StreamChange::Head(StreamHead { last_id: id(200), max_deleted: id(119), added: 130 }));
    for (group, entries_read) in [(&b"g"[..], 4), (b"h", -1)] {
        change(StreamChange::Group { name: group, last_id: id(4), entries_read });
        for name in [&b"one"[..], b"two"] {
            change(StreamChange::Consumer { group, name, seen_ms: 1_700_000_000_000 });
            let pending = |ms| Pending { id: id(ms), delivered_ms: 1_700_000_000_123, deliveries: ms };
            let pending = if name == b"one" { [pending(1), pending(3)] } else { [pending(2), pending(4)] };
            change(StreamChange::Pend { group, consumer: name, pending: Items::new(&pending) });
        }
    }
    stream
}

/// Payloads of `redis-server` 7.0.15, in its compact forms, and of ours.
fn payloads() -> Vec<Vec<u8>> {
    let small: [&[u8]; 4] = [
        b"\x00\xc190\x0a\x00\x9d\x94\xea'\x93\xfc\x08\xb9",
        b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0a\x00\xe5\x10\xb2\x8e{\x95)\xaa",
        b"\x10\x1e\x1e\x00\x00\x00\x06\x00\x81a\x02\x01\x01\x81b\x02\x85hello\x06\x81c\x02\xf2\x90\xee\xfe\x04\xff\x0a\x00\x1b\x19\x83\x1dL\x09tc",
        b"\x11\"\"\x00\x00\x00\x08\x00\x81d\x02\xdf\xfd\x02\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81c\x02\x83inf\x04\xff\x0a\x00\xf8!\xe3Lz\xae[\x14",
    ];
    let mut payloads: Vec<Vec<u8>> = small.map(<[u8]>::to_vec).into();
    payloads.push(write(Value::Stream(&stream())));
    payloads
}

fn seal(payload: &mut [u8]) {
    if let Some(at) = payload.len().checked_sub(FOOTER_BYTES) {
        payload[at..at + 2].copy_from_slice(&super::VERSION.to_le_bytes());
        let checksum = crc64(&payload[..at + 2]).to_le_bytes();
        payload[at + 2..].copy_from_slice(&checksum);
    }
}

#[test]
fn fuzz_payloads_of_libraries_are_code_that_is_written_as_it_was_read() {
    let code = [
        &b"#!lua name=a\nredis.register_function('f', function() return 1 end)"[..],
        b"#!lua name=b\n",
        b"-300",
    ];
    let inputs = [write_libraries(code.into_iter()), write_libraries([].into_iter()), OF_REDIS.to_vec()];
    Campaign::of("payloads of libraries").from(inputs).resealed(seal).keeps(8 << 20).run(|bytes| {
        match read_libraries(bytes) {
            Ok(libraries) => {
                let again = write_libraries(libraries.iter().map(Vec::as_slice));
                assert_eq!(read_libraries(&again).as_ref(), Ok(&libraries));
                Ok(libraries.len())
            }
            Err(error) => Err(error),
        }
    });
}

#[test]
fn fuzz_payloads_are_values_that_are_written_as_they_were_read() {
    Campaign::of("payloads").from(payloads()).resealed(seal).run(|bytes| match read(bytes) {
        Ok(Whole::Stream(stream)) => {
            let again = write(Value::Stream(&stream));
            let Ok(Whole::Stream(stream)) = read(&again) else { panic!("what was written is read") };
            assert_eq!(write(Value::Stream(&stream)), again);
            Ok("a stream")
        }
        Ok(_) => Ok("another value"),
        Err(error) => Err(error),
    });
}

#[test]
fn a_stream_comes_back_as_it_was_written() {
    let payload = write(Value::Stream(&stream()));
    let Ok(Whole::Stream(read)) = read(&payload) else { panic!("it is one") };
    assert_eq!(write(Value::Stream(&read)), payload);
}
