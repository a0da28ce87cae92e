//! What the command parser accepts, refuses, and asks for.

use ironcache_resp::{CommandParser, Limits, OwnedArgs, Parsed, ProtocolError, Trust, encode_command};

type Command = Vec<Vec<u8>>;

/// Parses every command in `buf`, then reports how the rest ended.
fn parse_all(parser: &mut CommandParser, buf: &[u8]) -> (Vec<Command>, Result<usize, ProtocolError>) {
    let mut commands = Vec::new();
    let mut start = 0;
    loop {
        match parser.parse(&buf[start..]) {
            Ok(Parsed::Complete { consumed }) => {
                assert!(consumed > 0, "a command takes bytes");
                commands.push(parser.args(&buf[start..]).iter().map(<[u8]>::to_vec).collect());
                start += consumed;
            }
            Ok(Parsed::Incomplete { needed_bytes_at_least }) => return (commands, Ok(needed_bytes_at_least)),
            Err(error) => return (commands, Err(error)),
        }
    }
}

#[track_caller]
fn assert_commands(buf: &[u8], expected: &[&[&str]]) {
    let (commands, rest) = parse_all(&mut CommandParser::default(), buf);
    assert_eq!(rest, Ok(1), "nothing is left over");
    let expected: Vec<Command> =
        expected.iter().map(|args| args.iter().map(|arg| arg.as_bytes().to_vec()).collect()).collect();
    assert_eq!(commands, expected);
}

#[track_caller]
fn assert_refused(buf: &[u8], text: &str) {
    let (_, rest) = parse_all(&mut CommandParser::default(), buf);
    let error = rest.expect_err("the bytes are no command");
    assert_eq!(error.to_string(), text, "{}", buf.escape_ascii());
}

#[test]
fn a_multibulk_command_is_slices_of_the_buffer() {
    let buf = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nv\r\n\0w\r\nrest";
    let mut parser = CommandParser::default();
    assert_eq!(parser.parse(buf), Ok(Parsed::Complete { consumed: buf.len() - 4 }));
    let args = parser.args(buf);
    assert_eq!(args.len(), 3);
    assert_eq!((&args[0], &args[1], &args[2]), (&b"SET"[..], &b"k"[..], &b"v\r\n\0w"[..]));
    assert!(buf.as_ptr_range().contains(&args[2].as_ptr()));
    assert_eq!(parser.arg(buf, 1), Some(&b"k"[..]));
    assert_eq!(parser.arg(buf, 3), None);
}

#[test]
fn commands_of_both_kinds_follow_each_other() {
    assert_commands(
        b"*1\r\n$4\r\nPING\r\nget \"a b\"\r\n\r\n*0\r\n*-1\r\nping\n*2\r\n$4\r\nECHO\r\n$0\r\n\r\n",
        &[&["PING"], &["get", "a b"], &[], &[], &[], &["ping"], &["ECHO", ""]],
    );
}

#[test]
fn protocol_errors_have_the_text_of_redis() {
    assert_refused(b"*x\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*03\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*+1\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"* 1\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*1\rx", "Protocol error: invalid multibulk length");
    assert_refused(b"*16777217\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*99999999999999999999\r\n", "Protocol error: invalid multibulk length");
    assert_refused(b"*1\r\n:1\r\n", "Protocol error: expected '$', got ':'");
    assert_refused(b"*2\r\n$1\r\na\r\nx\r\n", "Protocol error: expected '$', got 'x'");
    assert_refused(b"*1\r\n$\r\n", "Protocol error: invalid bulk length");
    assert_refused(b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length");
    assert_refused(b"*1\r\n$1a\r\n", "Protocol error: invalid bulk length");
    assert_refused(b"*1\r\n$00\r\n", "Protocol error: invalid bulk length");
    assert_refused(b"*1\r\n$9223372036854775807\r\n", "Protocol error: invalid bulk length");
    assert_refused(b"*1\r\n$1\r\nab\r\n", "Protocol error: expected CRLF after bulk");
    assert_refused(b"*1\r\n$2\r\na\r\n*1\r\n", "Protocol error: expected CRLF after bulk");
    assert_refused(b"get \"a\n", "Protocol error: unbalanced quotes in request");
    assert_refused(b"get 'a'b\r\n", "Protocol error: unbalanced quotes in request");

    let endless = vec![b'1'; 64 * 1024];
    assert_refused(&[b"*", &endless[..]].concat(), "Protocol error: too big mbulk count string");
    assert_refused(&[b"*1\r\n$", &endless[..]].concat(), "Protocol error: too big bulk count string");
    assert_refused(&[b"g", &endless[..]].concat(), "Protocol error: too big inline request");
}

#[test]
fn a_length_over_its_limit_is_refused_with_the_header() {
    let limits = Limits { bulk_bytes_max: 5, args_max: 2, inline_bytes_max: 32 };
    let mut parser = CommandParser::new(limits);
    assert_eq!(parser.parse(b"*2\r\n$5\r\n"), Ok(Parsed::Incomplete { needed_bytes_at_least: 5 + 2 + 6 }));
    parser.reset();
    assert_eq!(parser.parse(b"*2\r\n$6\r\n"), Err(ProtocolError::InvalidBulkLength));
    assert_eq!(parser.parse(b"*3\r\n"), Err(ProtocolError::InvalidMultibulkLength));

    parser.set_limits(Limits { bulk_bytes_max: 6, args_max: 3, ..limits });
    assert_eq!(parser.parse(b"*3\r\n$6\r\n"), Ok(Parsed::Incomplete { needed_bytes_at_least: 6 + 2 + 12 }));
}

#[test]
fn a_whole_command_is_held_to_what_its_header_alone_would_be() {
    for whole in
        ["*1\r\n$03\r\nabc\r\n", "*1\r\n$003\r\nabc\r\n", "*1\r\n$-1\r\nabc\r\n", "*1\r\n$0x3\r\nabc\r\n"]
    {
        assert_refused(whole.as_bytes(), "Protocol error: invalid bulk length");
    }
    let mut parser = CommandParser::new(Limits { bulk_bytes_max: 5, ..Limits::default() });
    assert_eq!(parser.parse(b"*1\r\n$6\r\nabcdef\r\n"), Err(ProtocolError::InvalidBulkLength));
    // One, two, three and four digits.
    for length in [9, 10, 99, 100, 999, 1000] {
        let argument = "x".repeat(length);
        assert_commands(format!("*1\r\n${length}\r\n{argument}\r\n").as_bytes(), &[&[&argument]]);
        assert_refused(
            format!("*1\r\n${length}\r\n{argument}..").as_bytes(),
            "Protocol error: expected CRLF after bulk",
        );
    }
}

#[test]
fn limits_are_inclusive() {
    let mut parser =
        CommandParser::new(Limits { bulk_bytes_max: usize::MAX, args_max: usize::MAX, inline_bytes_max: 8 });
    assert_eq!(parser.parse(b"get 5678\n"), Ok(Parsed::Complete { consumed: 9 }));
    assert_eq!(parser.parse(b"get 56789\n"), Err(ProtocolError::TooBigInline));
    let header = format!("*1\r\n${}\r\n", i64::MAX);
    assert_eq!(parser.parse(header.as_bytes()), Err(ProtocolError::TooBigBulkCount), "20 bytes exceed 8");
    parser.set_limits(Limits { inline_bytes_max: 32, bulk_bytes_max: usize::MAX, args_max: usize::MAX });
    assert!(
        matches!(parser.parse(header.as_bytes()), Ok(Parsed::Incomplete { .. })),
        "and nothing overflows"
    );
}

#[test]
fn an_unauthenticated_client_may_send_little() {
    let mut parser = CommandParser::default();
    parser.set_trust(Trust::Unauthenticated);
    assert_eq!(
        parser.parse(b"*11\r\n").map_err(|error| error.to_string()),
        Err("Protocol error: unauthenticated multibulk length".to_owned())
    );
    assert_eq!(
        parser.parse(b"*10\r\n$16385\r\n").map_err(|error| error.to_string()),
        Err("Protocol error: unauthenticated bulk length".to_owned())
    );
    assert!(matches!(parser.parse(b"*10\r\n$16384\r\n"), Ok(Parsed::Incomplete { .. })));
    parser.reset();
    parser.set_trust(Trust::Authenticated);
    assert!(matches!(parser.parse(b"*11\r\n$16385\r\n"), Ok(Parsed::Incomplete { .. })));
}

#[test]
fn what_is_needed_never_exceeds_what_is_missing() {
    let mut whole = Vec::new();
    encode_command(&["MSET", "key", "", "another", "value of some length"], &mut whole);
    for cut in 0..whole.len() {
        match CommandParser::default().parse(&whole[..cut]) {
            Ok(Parsed::Incomplete { needed_bytes_at_least }) => {
                assert!((1..=whole.len() - cut).contains(&needed_bytes_at_least), "at {cut}");
            }
            other => panic!("{other:?} at {cut}"),
        }
    }
}

#[test]
fn after_an_error_the_parser_starts_afresh() {
    let mut parser = CommandParser::default();
    assert_eq!(parser.parse(b"*2\r\n$1\r\na\r\nx"), Err(ProtocolError::ExpectedBulk { got: b'x' }));
    assert_eq!(parser.parse(b"*1\r\n$4\r\nPING\r\n"), Ok(Parsed::Complete { consumed: 14 }));
}

#[test]
fn a_value_arriving_byte_by_byte_costs_linear_time() {
    // Scanned anew at each byte, this would take hours.
    let mut whole = Vec::new();
    encode_command(&["SET", "key", &"v".repeat(4 << 20)], &mut whole);
    assert_byte_by_byte(&whole, 3);
}

#[test]
fn many_arguments_arriving_byte_by_byte_cost_linear_time() {
    let mut whole = Vec::new();
    encode_command(&vec!["argument"; 300_000], &mut whole);
    assert_byte_by_byte(&whole, 300_000);
}

#[track_caller]
fn assert_byte_by_byte(whole: &[u8], args: usize) {
    let mut parser = CommandParser::default();
    for cut in 0..whole.len() {
        assert!(matches!(parser.parse(&whole[..cut]), Ok(Parsed::Incomplete { .. })));
    }
    assert_eq!(parser.parse(whole), Ok(Parsed::Complete { consumed: whole.len() }));
    assert_eq!(parser.args(whole).len(), args);
}

#[test]
fn an_owned_command_outlives_its_buffer() {
    let mut parser = CommandParser::default();
    let owned = {
        let buf = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".to_vec();
        parser.parse(&buf).expect("a command");
        parser.args(&buf).to_owned()
    };
    assert_eq!(owned, OwnedArgs::from_iter(["GET", "k"]));
    assert_eq!(owned.size_bytes(), 4);
    let args = owned.args();
    assert_eq!(args.iter().rev().collect::<Vec<_>>(), [&b"k"[..], b"GET"]);
    assert_eq!(args.skip(1).iter().collect::<Vec<_>>(), [b"k"]);
    assert!(args.skip(3).is_empty());
    assert_eq!(format!("{args:?}"), r#"["GET", "k"]"#);
}
