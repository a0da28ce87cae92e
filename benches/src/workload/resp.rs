//! Parsing what clients send, by our parser and by the `redis-protocol` crate.

use super::{VALUE_BYTES, key};
use ironcache_resp::{CommandParser, Parsed, encode_command};
use redis_protocol::resp2::decode::{decode, decode_range};
use std::hint::black_box;

/// What arrives in one read.
#[derive(Clone, Debug)]
pub struct Input {
    pub name: &'static str,
    pub bytes: Vec<u8>,
    pub commands: usize,
}

/// A SET, a GET, and sixteen SETs in a pipeline.
pub fn inputs() -> [Input; 3] {
    let value = [b'x'; VALUE_BYTES];
    let (mut set, mut get, mut pipeline) = (Vec::new(), Vec::new(), Vec::new());
    encode_command(&[&b"SET"[..], &key(1), &value], &mut set);
    encode_command(&[&b"GET"[..], &key(1)], &mut get);
    for index in 0..16 {
        encode_command(&[&b"SET"[..], &key(index), &value], &mut pipeline);
    }
    [
        Input { name: "SET, 100 B", bytes: set, commands: 1 },
        Input { name: "GET", bytes: get, commands: 1 },
        Input { name: "16 SETs pipelined", bytes: pipeline, commands: 16 },
    ]
}

/// As the server does it: every command parsed in place, into the positions of its arguments.
#[inline]
pub fn ours(parser: &mut CommandParser, input: &Input) {
    let mut rest = &input.bytes[..];
    while !rest.is_empty() {
        match parser.parse(rest) {
            Ok(Parsed::Complete { consumed }) => {
                black_box(parser.args(rest));
                rest = &rest[consumed..];
            }
            other => unreachable!("whole commands were encoded, and then {other:?}"),
        }
    }
}

/// The peer without copies: frames of positions.
#[inline]
pub fn peer_range(input: &Input) {
    let mut rest = &input.bytes[..];
    while !rest.is_empty() {
        let (frame, consumed) = decode_range(rest).expect("valid RESP").expect("a whole frame");
        black_box(frame);
        rest = &rest[consumed..];
    }
}

/// The peer with arguments that own their bytes.
#[inline]
pub fn peer_owned(input: &Input) {
    let mut rest = &input.bytes[..];
    while !rest.is_empty() {
        let (frame, consumed) = decode(rest).expect("valid RESP").expect("a whole frame");
        black_box(frame);
        rest = &rest[consumed..];
    }
}
