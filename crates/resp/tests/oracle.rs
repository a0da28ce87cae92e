//! Differential tests against the `redis-protocol` crate, and the same bytes cut in every way.

use std::collections::BTreeSet;

use ironcache_resp::{
    CommandParser, Limits, Parsed, Protocol, ProtocolError, Value, Writer, encode_command, parse_value,
};
use proptest::prelude::*;
use redis_protocol::resp2::{decode::decode as oracle2, types::OwnedFrame as Frame2};
use redis_protocol::resp3::{decode::complete::decode as oracle3, types::OwnedFrame as Frame3};

type Command = Vec<Vec<u8>>;

/// The commands in `buf`, seen by a parser whose buffer grows by the lengths of `pieces`, over and over.
fn parse_in_pieces(
    buf: &[u8],
    limits: Limits,
    pieces: &[usize],
) -> (Vec<(Command, usize)>, Option<ProtocolError>) {
    let mut parser = CommandParser::new(limits);
    let mut commands = Vec::new();
    let (mut start, mut end) = (0, 0);
    let mut pieces = pieces.iter().cycle();
    loop {
        match parser.parse(&buf[start..end]) {
            Ok(Parsed::Complete { consumed }) => {
                assert!((1..=end - start).contains(&consumed), "a command is within the buffer");
                let args = parser.args(&buf[start..end]).iter().map(<[u8]>::to_vec).collect();
                commands.push((args, consumed));
                start += consumed;
            }
            Ok(Parsed::Incomplete { needed_bytes_at_least }) => {
                assert!(needed_bytes_at_least > 0);
                if end == buf.len() {
                    return (commands, None);
                }
                let piece = pieces.next().copied().unwrap_or(buf.len()).max(1);
                end = buf.len().min(end + piece);
            }
            Err(error) => return (commands, Some(error)),
        }
    }
}

/// The oracle's reading of `buf` as a client's command: an array of bulk strings.
fn oracle_command(buf: &[u8]) -> Option<(Command, usize)> {
    let (frame, consumed) = oracle2(buf).ok().flatten()?;
    let Frame2::Array(elements) = frame else { return None };
    let args = elements.into_iter().map(|element| match element {
        Frame2::BulkString(bytes) => Some(bytes),
        _ => None,
    });
    Some((args.collect::<Option<_>>()?, consumed))
}

fn command() -> impl Strategy<Value = Command> {
    let arg = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::collection::vec(any::<u8>(), 0..300),
        1 => Just(b"\r\n$1\r\n*2\r\n".to_vec()),
    ];
    prop::collection::vec(arg, 1..15)
}

/// Bytes that often mean something in RESP, so that arbitrary streams get far.
fn protocol_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        6 => prop::sample::select(b"*$\r\n0123456789".to_vec()),
        2 => prop::sample::select(b"+-:_#,(=%~>!|tf \"'\\xa?.einf".to_vec()),
        1 => any::<u8>(),
    ]
}

/// Fragments of streams: whole lines more often than single bytes.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        3 => (prop::sample::select(b"*$%~>=!|".to_vec()), -1..6_i64)
            .prop_map(|(kind, length)| format!("{}{length}\r\n", char::from(kind)).into_bytes()),
        2 => prop::sample::select(vec!["\r\n", "a\r\n", "ab\r\n", "get \"k\" 'v'\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", ":7\r\n"])
            .prop_map(|text| text.as_bytes().to_vec()),
        3 => prop::collection::vec(protocol_byte(), 0..6),
    ];
    prop::collection::vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_command_reads_the_same_here_and_in_the_oracle(args in command()) {
        let mut buf = Vec::new();
        encode_command(&args, &mut buf);
        prop_assert_eq!(oracle_command(&buf), Some((args.clone(), buf.len())));
        prop_assert_eq!(parse_in_pieces(&buf, Limits::default(), &[]), (vec![(args, buf.len())], None));
    }

    #[test]
    fn a_command_reads_the_same_from_every_split_position(args in command()) {
        let mut buf = Vec::new();
        encode_command(&args, &mut buf);
        let expected = (vec![(args, buf.len())], None);
        for cut in 0..buf.len() {
            prop_assert_eq!(&parse_in_pieces(&buf, Limits::default(), &[cut, buf.len()]), &expected);
        }
        prop_assert_eq!(&parse_in_pieces(&buf, Limits::default(), &[1]), &expected);
    }

    #[test]
    fn a_pipeline_reads_the_same_however_it_is_cut(
        commands in prop::collection::vec((command(), 0..3_u8), 1..5),
        pieces in prop::collection::vec(1..20_usize, 1..8),
    ) {
        let mut buf = Vec::new();
        let mut expected = Vec::new();
        for (args, kind) in commands {
            let start = buf.len();
            let args = match kind {
                0 => {
                    buf.extend_from_slice(b"get 'a b'\r\n");
                    vec![b"get".to_vec(), b"a b".to_vec()]
                }
                1 => {
                    buf.extend_from_slice(b"\n");
                    vec![]
                }
                _ => {
                    encode_command(&args, &mut buf);
                    args
                }
            };
            expected.push((args, buf.len() - start));
        }
        let expected = (expected, None);
        for pieces in [&pieces[..], &[1], &[]] {
            prop_assert_eq!(&parse_in_pieces(&buf, Limits::default(), pieces), &expected);
        }
    }

    #[test]
    fn an_altered_command_is_read_as_the_oracle_reads_it_or_refused(
        args in command(),
        at in any::<prop::sample::Index>(),
        byte in protocol_byte(),
    ) {
        let mut buf = Vec::new();
        encode_command(&args, &mut buf);
        let at = at.index(buf.len());
        buf[at] = byte;
        let first = parse_in_pieces(&buf, Limits::default(), &[]).0.into_iter().next();
        if buf[0] == b'*' && let Some((args, consumed)) = &first && !args.is_empty() {
            prop_assert_eq!(oracle_command(&buf), Some((args.clone(), *consumed)));
        }
        if let Some((args, consumed)) = oracle_command(&buf) {
            // The oracle also takes "+3" and "03", which Redis refuses: hold us only to what is canonical.
            let mut canonical = Vec::new();
            encode_command(&args, &mut canonical);
            if canonical == buf[..consumed] {
                prop_assert_eq!(first, Some((args, consumed)));
            }
        }
    }

    #[test]
    fn any_bytes_read_the_same_however_they_are_cut(
        buf in garbage(),
        pieces in prop::collection::vec(1..9_usize, 1..8),
    ) {
        // Small limits, so that they are met; none below what the quick path reads without looking.
        let limits = Limits { bulk_bytes_max: 40, args_max: 4, inline_bytes_max: 32 };
        let whole = parse_in_pieces(&buf, limits, &[]);
        prop_assert_eq!(&parse_in_pieces(&buf, limits, &pieces), &whole);
        prop_assert_eq!(&parse_in_pieces(&buf, limits, &[1]), &whole);
    }

    #[test]
    fn any_bytes_end_in_a_value_an_error_or_a_wait(buf in garbage()) {
        let mut rest = &buf[..];
        while let Ok(Some((_, consumed))) = parse_value(rest) {
            prop_assert!((1..=rest.len()).contains(&consumed));
            rest = &rest[consumed..];
        }
    }

    #[test]
    fn a_value_reads_the_same_here_and_in_the_oracle(value in value()) {
        let mut buf = Vec::new();
        value.write(&mut Writer::new(&mut buf, Protocol::Resp3));
        let read = parse_value(&buf).expect("it is a reply").expect("it is whole");
        prop_assert_eq!((normal(&read.0), read.1), (normal(&value), buf.len()));
        let (frame, consumed) = oracle3(&buf).expect("it is a reply").expect("it is whole");
        prop_assert_eq!((normal3(&frame), consumed), (normal(&value), buf.len()));
    }

    #[test]
    fn a_resp2_value_reads_the_same_here_and_in_the_oracle(value in value()) {
        let mut buf = Vec::new();
        value.write(&mut Writer::new(&mut buf, Protocol::Resp2));
        let (read, consumed) = parse_value(&buf).expect("it is a reply").expect("it is whole");
        let (frame, oracle_consumed) = oracle2(&buf).expect("it is a reply").expect("it is whole");
        prop_assert_eq!((normal(&read), consumed), (normal2(&frame), oracle_consumed));
        prop_assert_eq!(consumed, buf.len());
    }

    #[test]
    fn a_value_is_waited_for_at_every_split_position(value in value()) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut buf = Vec::new();
            value.write(&mut Writer::new(&mut buf, protocol));
            for cut in 0..buf.len() {
                prop_assert_eq!(parse_value(&buf[..cut]), Ok(None));
            }
            let whole = buf.len();
            buf.extend_from_slice(b"+next\r\n");
            prop_assert_eq!(parse_value(&buf).map(|found| found.map(|(_, consumed)| consumed)), Ok(Some(whole)));
        }
    }
}

/// A reply that the oracle can hold: its map keys and set elements must be hashable, so they are strings here.
fn value() -> impl Strategy<Value = Value> {
    let text = || prop::collection::vec(any::<u8>(), 0..12);
    let line = "[a-zA-Z0-9 ]{0,12}";
    let leaf = prop_oneof![
        line.prop_map(Value::Simple),
        line.prop_map(|text| Value::Error(format!("ERR {text}"))),
        any::<i64>().prop_map(Value::Int),
        text().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<f64>().prop_map(Value::Double),
        any::<bool>().prop_map(Value::Boolean),
        text().prop_map(|text| Value::Verbatim { format: "txt".to_owned(), text }),
        "-?[1-9][0-9]{0,40}".prop_map(Value::BigNumber),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        let key = || prop::collection::vec(any::<u8>(), 0..8).prop_map(Value::Bulk);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key(), inner.clone()), 0..5).prop_map(|mut pairs| {
                let mut seen = BTreeSet::new();
                pairs.retain(|(key, _)| seen.insert(normal(key)));
                Value::Map(pairs)
            }),
            prop::collection::vec(key(), 0..5).prop_map(|mut elements| {
                let mut seen = BTreeSet::new();
                elements.retain(|element| seen.insert(normal(element)));
                Value::Set(elements)
            }),
        ]
    })
}

/// One text for equal replies, whatever order a map or set is held in.
fn normal(value: &Value) -> String {
    match value {
        Value::Simple(text) => leaf("simple", text.as_bytes()),
        Value::Error(text) => leaf("error", text.as_bytes()),
        Value::Int(value) => leaf("int", value.to_string().as_bytes()),
        Value::Bulk(bytes) => leaf("bulk", bytes),
        Value::Null => leaf("null", b""),
        Value::Double(value) => leaf("double", value.to_string().as_bytes()),
        Value::Boolean(value) => leaf("boolean", value.to_string().as_bytes()),
        Value::Verbatim { format, text } => leaf(format, text),
        Value::BigNumber(digits) => leaf("big", digits.as_bytes()),
        Value::Array(elements) => listed("array", elements.iter().map(normal)),
        Value::Push(elements) => listed("push", elements.iter().map(normal)),
        Value::Set(elements) => sorted("set", elements.iter().map(normal)),
        Value::Map(pairs) => {
            sorted("map", pairs.iter().map(|(key, value)| format!("{}={}", normal(key), normal(value))))
        }
    }
}

fn normal2(frame: &Frame2) -> String {
    match frame {
        Frame2::SimpleString(text) => leaf("simple", text),
        Frame2::Error(text) => leaf("error", text.as_bytes()),
        Frame2::Integer(value) => leaf("int", value.to_string().as_bytes()),
        Frame2::BulkString(bytes) => leaf("bulk", bytes),
        Frame2::Null => leaf("null", b""),
        Frame2::Array(elements) => listed("array", elements.iter().map(normal2)),
    }
}

fn normal3(frame: &Frame3) -> String {
    match frame {
        Frame3::SimpleString { data, .. } => leaf("simple", data),
        Frame3::SimpleError { data, .. } => leaf("error", data.as_bytes()),
        Frame3::Number { data, .. } => leaf("int", data.to_string().as_bytes()),
        Frame3::BlobString { data, .. } => leaf("bulk", data),
        Frame3::Null => leaf("null", b""),
        Frame3::Double { data, .. } => leaf("double", data.to_string().as_bytes()),
        Frame3::Boolean { data, .. } => leaf("boolean", data.to_string().as_bytes()),
        Frame3::VerbatimString { data, .. } => leaf("txt", data),
        Frame3::BigNumber { data, .. } => leaf("big", data),
        Frame3::Array { data, .. } => listed("array", data.iter().map(normal3)),
        Frame3::Push { data, .. } => listed("push", data.iter().map(normal3)),
        Frame3::Set { data, .. } => sorted("set", data.iter().map(normal3)),
        Frame3::Map { data, .. } => {
            sorted("map", data.iter().map(|(key, value)| format!("{}={}", normal3(key), normal3(value))))
        }
        Frame3::BlobError { .. } | Frame3::Hello { .. } | Frame3::ChunkedString(_) => {
            panic!("no reply here is written as {frame:?}")
        }
    }
}

fn leaf(kind: &str, bytes: &[u8]) -> String {
    format!("{kind}:{}", bytes.escape_ascii())
}

fn listed(kind: &str, elements: impl Iterator<Item = String>) -> String {
    format!("{kind}{:?}", elements.collect::<Vec<_>>())
}

fn sorted(kind: &str, elements: impl Iterator<Item = String>) -> String {
    format!("{kind}{:?}", elements.collect::<BTreeSet<_>>())
}
