//! Every kind of reply, as written in both protocols and as read back.

use ironcache_resp::{Protocol, ReplyError, Value, Writer, parse_value};

#[track_caller]
fn assert_writes(write: impl Fn(&mut Writer<'_>), resp2: &str, resp3: &str) {
    for (protocol, expected) in [(Protocol::Resp2, resp2), (Protocol::Resp3, resp3)] {
        let mut out = b"before".to_vec();
        write(&mut Writer::new(&mut out, protocol));
        assert_eq!(
            out.escape_ascii().to_string(),
            format!("before{}", expected.escape_debug()),
            "{protocol}"
        );
    }
}

#[test]
fn replies_that_both_protocols_have() {
    let same = |write: fn(&mut Writer<'_>), bytes: &str| assert_writes(write, bytes, bytes);
    same(|w| w.simple("PONG"), "+PONG\r\n");
    same(
        |w| {
            w.ok();
        },
        "+OK\r\n",
    );
    same(|w| w.error("MOVED 1 h:1"), "-MOVED 1 h:1\r\n");
    same(|w| w.int(i64::MIN), ":-9223372036854775808\r\n");
    same(|w| w.count(12), ":12\r\n");
    same(|w| w.bulk(b""), "$0\r\n\r\n");
    same(|w| w.bulk(b"a\r\nb"), "$4\r\na\r\nb\r\n");
    same(|w| w.bulk(b"ten bytes!"), "$10\r\nten bytes!\r\n");
    same(|w| w.bulk_int(-12), "$3\r\n-12\r\n");
    same(|w| w.array(0), "*0\r\n");
    same(|w| w.array(16384), "*16384\r\n");
    same(|w| w.raw(b"+raw\r\n"), "+raw\r\n");
}

#[test]
fn replies_that_resp2_lacks() {
    assert_writes(
        |w| {
            w.null();
        },
        "$-1\r\n",
        "_\r\n",
    );
    assert_writes(
        |w| {
            w.null_array();
        },
        "*-1\r\n",
        "_\r\n",
    );
    assert_writes(|w| w.map(2), "*4\r\n", "%2\r\n");
    assert_writes(|w| w.set(2), "*2\r\n", "~2\r\n");
    assert_writes(|w| w.push(3), "*3\r\n", ">3\r\n");
    assert_writes(|w| w.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n");
    assert_writes(|w| w.double(f64::NEG_INFINITY), "$4\r\n-inf\r\n", ",-inf\r\n");
    assert_writes(|w| w.boolean(true), ":1\r\n", "#t\r\n");
    assert_writes(|w| w.boolean(false), ":0\r\n", "#f\r\n");
    assert_writes(|w| w.verbatim("txt", b"a\nb"), "$3\r\na\nb\r\n", "=7\r\ntxt:a\nb\r\n");
    assert_writes(|w| w.verbatim("m", b""), "$0\r\n\r\n", "=4\r\nm  :\r\n");
    assert_writes(
        |w| w.big_number("-12345678901234567890"),
        "$21\r\n-12345678901234567890\r\n",
        "(-12345678901234567890\r\n",
    );
}

#[test]
fn a_line_break_never_ends_an_error_or_a_simple_string_early() {
    assert_writes(|w| w.error("ERR a\r\n+OK\r\n"), "-ERR a  +OK  \r\n", "-ERR a  +OK  \r\n");
    assert_writes(|w| w.simple("a\nb"), "+a b\r\n", "+a b\r\n");
}

#[test]
fn hello_answers_in_the_protocol_it_chose() {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, Protocol::Resp2);
    writer.set_protocol(Protocol::from_number(3).expect("RESP3 is known"));
    assert_eq!(writer.protocol().number(), 3);
    writer.map(1);
    assert_eq!(writer.len_bytes(), 4);
    assert_eq!(out, b"%1\r\n");
    assert_eq!(Protocol::from_number(4), None);
}

#[track_caller]
fn assert_reads(bytes: &[u8], value: Value) {
    assert_eq!(parse_value(bytes), Ok(Some((value, bytes.len()))), "{}", bytes.escape_ascii());
}

fn bulk(text: &str) -> Value {
    Value::Bulk(text.as_bytes().to_vec())
}

#[test]
fn every_kind_of_reply_is_read() {
    assert_reads(b"+OK\r\n", Value::Simple("OK".to_owned()));
    assert_reads(b"-ERR no\r\n", Value::Error("ERR no".to_owned()));
    assert_reads(b"!6\r\nERR \r\n\r\n", Value::Error("ERR \r\n".to_owned()));
    assert_reads(b":-7\r\n", Value::Int(-7));
    assert_reads(b"$3\r\n\r\n\0\r\n", bulk("\r\n\0"));
    assert_reads(b"$-1\r\n", Value::Null);
    assert_reads(b"*-1\r\n", Value::Null);
    assert_reads(b"_\r\n", Value::Null);
    assert_reads(
        b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n",
        Value::Array(vec![Value::Int(1), Value::Array(vec![bulk("a")])]),
    );
    assert_reads(b"%1\r\n$1\r\na\r\n:1\r\n", Value::Map(vec![(bulk("a"), Value::Int(1))]));
    assert_reads(b"~1\r\n$1\r\na\r\n", Value::Set(vec![bulk("a")]));
    assert_reads(
        b">2\r\n+a\r\n+b\r\n",
        Value::Push(vec![Value::Simple("a".into()), Value::Simple("b".into())]),
    );
    assert_reads(b",-1.5e3\r\n", Value::Double(-1500.0));
    assert_reads(b",inf\r\n", Value::Double(f64::INFINITY));
    assert_reads(b"#t\r\n", Value::Boolean(true));
    assert_reads(b"=7\r\ntxt:a\nb\r\n", Value::Verbatim { format: "txt".to_owned(), text: b"a\nb".to_vec() });
    assert_reads(b"(-123456789012345678901\r\n", Value::BigNumber("-123456789012345678901".to_owned()));
    assert_reads(b"|1\r\n+ttl\r\n:3\r\n:7\r\n", Value::Int(7));
}

#[test]
fn the_bytes_of_a_string_of_any_kind_are_reachable() {
    assert_eq!(Value::Simple("a".to_owned()).as_bytes(), Some(&b"a"[..]));
    assert_eq!(bulk("b").as_bytes(), Some(&b"b"[..]));
    assert_eq!(Value::Int(1).as_bytes(), None);
}

#[test]
fn what_is_no_reply_is_refused() {
    let malformed = |kind| ReplyError::MalformedLine { kind };
    let refused: [(&[u8], ReplyError); 14] = [
        (b"hello\r\n", ReplyError::UnknownType { got: b'h' }),
        (b":1a\r\n", malformed(b':')),
        (b"_x\r\n", malformed(b'_')),
        (b"#x\r\n", malformed(b'#')),
        (b",one\r\n", malformed(b',')),
        (b"(1.5\r\n", malformed(b'(')),
        (b"(\r\n", malformed(b'(')),
        (b"$x\r\n", malformed(b'$')),
        (b"=3\r\ntxt\r\n", malformed(b'=')),
        (b"=4\r\ntxtx\r\n", malformed(b'=')),
        (b"%-1\r\n", ReplyError::InvalidLength { kind: b'%', length: -1, limit: 1 << 31 }),
        (b"$536870913\r\n", ReplyError::InvalidLength { kind: b'$', length: 536870913, limit: 536870912 }),
        (b"$1\r\nab\r\n", ReplyError::ExpectedEnd { length_bytes: 1 }),
        (b"*1\r\n?", ReplyError::UnknownType { got: b'?' }),
    ];
    for (bytes, error) in refused {
        assert_eq!(parse_value(bytes), Err(error), "{}", bytes.escape_ascii());
    }
    let endless = [b"+", &vec![b'a'; (1 << 20) + 1][..]].concat();
    assert_eq!(parse_value(&endless), Err(ReplyError::TooBigLine { limit_bytes: 1 << 20 }));
}

#[test]
fn nesting_is_bounded() {
    let nested = |levels: usize| [b"*1\r\n".repeat(levels), b":1\r\n".to_vec()].concat();
    assert!(matches!(parse_value(&nested(64)), Ok(Some(_))));
    assert_eq!(parse_value(&nested(65)), Err(ReplyError::TooDeep { limit: 64 }));
    let attributes = b"|1\r\n".repeat(1_000_000);
    assert_eq!(parse_value(&attributes), Err(ReplyError::TooDeep { limit: 64 }));
}

#[test]
fn an_errors_text_says_what_was_wrong_and_what_the_limit_is() {
    let error = parse_value(b"$536870913\r\n").expect_err("over the limit");
    assert_eq!(
        error.to_string(),
        "a reply of type '$' claims length 536870913, at most 536870912 is accepted; close the connection"
    );
}
