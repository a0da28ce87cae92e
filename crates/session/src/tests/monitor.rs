//! MONITOR: what it shows, and what becomes of who listens.

use super::*;

fn line(request: &[&[u8]]) -> Option<String> {
    monitor_line(1_339_518_083_107, &"127.0.0.1:60866", request)
}

#[test]
fn a_line_shows_when_who_and_what() {
    assert_eq!(
        line(&[b"set", b"k", b"a \"b\"\\\r\n\t\x07\x08\x00\xff"]).unwrap(),
        r#"1339518083.107000 [0 127.0.0.1:60866] "set" "k" "a \"b\"\\\r\n\t\a\b\x00\xff""#
    );
}

#[test]
fn no_line_holds_a_password_or_what_an_administrator_does() {
    let requests: [(&[&[u8]], &str); 3] = [
        (&[b"AUTH", b"secret"], r#" "AUTH" "(redacted)""#),
        (&[b"AUTH", b"default", b"secret"], r#" "AUTH" "(redacted)" "(redacted)""#),
        (
            &[b"HELLO", b"3", b"AUTH", b"default", b"secret", b"SETNAME", b"me"],
            r#" "HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "me""#,
        ),
    ];
    for (request, shown) in requests {
        let line = line(request).unwrap();
        assert!(line.ends_with(shown), "{line}");
    }
    assert_eq!(line(&[b"CONFIG", b"SET", b"requirepass", b"secret"]), None);
    assert_eq!(line(&[b"MONITOR"]), None);
}

#[test]
fn who_listens_reads_no_keys_until_a_reset() {
    let mut client = session();
    let refused = "-ERR Replica can't interact with the keyspace";
    check(
        &mut client,
        &primary(),
        &[
            ("MONITOR", "+OK listen Monitor"),
            ("MONITOR", "+OK"),
            ("GET k", refused),
            ("SET k 1", refused),
            ("PING", "+PONG"),
            ("RESET", "+RESET listen Nothing, not to Counts { channels: 0, patterns: 0, shard: 0 }"),
            ("GET k", "run get on 7629"),
            ("RESET", "+RESET"),
        ],
    );
}
