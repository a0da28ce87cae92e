//! Fuzzing of what clients and servers send each other; see crate `ironcache-fuzz`.

use ironcache_fuzz::Campaign;
use ironcache_resp::{
    CommandParser, FirstArguments, Parsed, Protocol, ProtocolError, Trust, Value, Writer, encode_command,
    parse_value,
};

type Commands = (Vec<Vec<Vec<u8>>>, Result<(), ProtocolError>);

const WORDS: [&str; 16] = [
    "\r\n",
    "\n",
    "*",
    "$",
    "*-1\r\n",
    "$-1\r\n",
    "$0\r\n\r\n",
    "\"",
    "'",
    "\\x",
    "\\",
    " ",
    "*16777217\r\n",
    "%",
    ">",
    "|",
];

/// All commands of `bytes`, which arrive in pieces of `piece` bytes.
fn commands(bytes: &[u8], piece: usize, trust: Trust) -> Commands {
    let mut parser = CommandParser::default();
    parser.set_trust(trust);
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match parser.parse(&bytes[start..end]) {
            Ok(Parsed::Complete { consumed }) => {
                assert!(consumed > 0 && start + consumed <= end, "a command is made of bytes that came");
                found.push(parser.args(&bytes[start..end]).iter().map(<[u8]>::to_vec).collect());
                start += consumed;
            }
            Ok(Parsed::Incomplete { needed_bytes_at_least }) => {
                assert!(needed_bytes_at_least > 0, "more is needed, and that is nothing");
                if end == bytes.len() {
                    return (found, Ok(()));
                }
                end = (end + piece).min(bytes.len());
            }
            Err(error) => return (found, Err(error)),
        }
    }
}

#[test]
fn fuzz_commands_in_pieces_are_the_commands() {
    let mut many = Vec::new();
    encode_command(&["SET", "k", "v"], &mut many);
    encode_command(&["MGET", "a", "b", "", "c"], &mut many);
    let inline = "SET k \"a\\x00\\n b\"\r\nget 'it\\'s'\nPING\r\n".as_bytes().to_vec();
    let one = b"*1\r\n$4\r\nPING\r\n".to_vec();
    // What is read as a whole, and in pieces, is kept, and a command may be a byte and a line end.
    Campaign::of("RESP commands")
        .keeps(2 << 20)
        .from([many, inline, one, b"*0\r\n*-1\r\n\r\nPING\r\n".to_vec()])
        .words(WORDS)
        .run(|bytes| {
            let whole = commands(bytes, bytes.len().max(1), Trust::Authenticated);
            let piece = 1 + bytes.len() / 97 + bytes.first().map_or(0, |byte| usize::from(byte % 7));
            assert_eq!(commands(bytes, piece, Trust::Authenticated), whole, "in pieces of {piece}");
            for (guessed, args) in FirstArguments::of(bytes).zip(&whole.0) {
                assert_eq!(
                    args.get(1).map(Vec::as_slice),
                    Some(guessed),
                    "what is guessed of a whole command is true"
                );
            }
            let stranger = commands(bytes, piece, Trust::Unauthenticated);
            assert!(stranger.0.iter().all(|args| args.iter().all(|arg| arg.len() <= 64 << 10)));
            (whole.0.len().min(4), whole.1)
        });
}

/// In the quotes that take escapes, each byte by its number; as most tools write them.
fn in_double_quotes(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    word.iter().for_each(|byte| quoted.extend(format!("\\x{byte:02x}").bytes()));
    quoted.push(b'"');
    quoted
}

/// In the quotes that take one escape; `None` for what cannot be written in them.
fn in_single_quotes(word: &[u8]) -> Option<Vec<u8>> {
    // A line ends at the first line end, whatever is quoted; a backslash at a quote would be taken for its escape.
    if word.contains(&b'\n') || word.contains(&b'\\') {
        return None;
    }
    let mut quoted = vec![b'\''];
    word.iter().for_each(|byte| quoted.extend(if *byte == b'\'' { b"\\'".to_vec() } else { vec![*byte] }));
    quoted.push(b'\'');
    Some(quoted)
}

#[test]
fn fuzz_inline_commands_are_the_words_that_were_quoted() {
    let lines = ["SET\nk\ntwo words", "GET\n\x00\x7f", "echo\nit's\n\"quoted\"\n\\x41", "a\n\nb"];
    // The words and what they are quoted as are kept beside what is read.
    Campaign::of("inline commands").from(lines).words(WORDS).keeps(512 << 10).run(|bytes| {
        // As it is, whatever it may be.
        let raw = commands(&[bytes, b"\r\n"].concat(), 7 + bytes.len() / 50, Trust::Authenticated);
        let words: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        let mut line = Vec::new();
        for (at, word) in words.iter().enumerate() {
            let single = if at % 2 == 0 { in_single_quotes(word) } else { None };
            line.extend(single.unwrap_or_else(|| in_double_quotes(word)));
            line.push(b' ');
        }
        line.extend(b"\r\n");
        match commands(&line, line.len(), Trust::Authenticated) {
            (read, Ok(())) => {
                let read: Vec<Vec<&[u8]>> =
                    read.iter().map(|args| args.iter().map(Vec::as_slice).collect()).collect();
                assert_eq!(read, [words]);
            }
            // Quoted it is four times as long, and a line has a bound.
            (read, Err(error)) => assert!(read.is_empty() && line.len() > 1 << 16, "{error:?}"),
        }
        (raw.0.len().min(4), raw.1)
    });
}

#[test]
fn fuzz_replies_are_written_as_they_can_be_read() {
    let replies = [
        "+OK\r\n",
        "-ERR no\r\n",
        ":-12\r\n",
        "$3\r\nabc\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5e3\r\n",
        "(123456789\r\n",
        "=7\r\ntxt:abc\r\n",
        "*2\r\n:1\r\n*1\r\n+a\r\n",
        "%1\r\n+a\r\n:1\r\n",
        "~2\r\n:1\r\n:2\r\n",
        "!5\r\nERR a\r\n",
        ">2\r\n+message\r\n$1\r\na\r\n",
        "|1\r\n+ttl\r\n:3\r\n:7\r\n",
    ];
    let replies = replies.iter().map(|reply| reply.as_bytes().to_vec());
    Campaign::of("RESP replies").from(replies).words(WORDS).run(|bytes| {
        let read = parse_value(bytes);
        if let Ok(Some((value, used))) = &read {
            assert!(*used <= bytes.len());
            // A line that has a line end in it is written without: so not the value is the same again, but its bytes are.
            let written = |value: &Value| {
                let mut written = Vec::new();
                value.write(&mut Writer::new(&mut written, Protocol::Resp3));
                written
            };
            let once = written(value);
            let (again, used) =
                parse_value(&once).expect("what is written can be read").expect("all of it is there");
            assert_eq!((used, written(&again)), (once.len(), once));
        }
        // An outcome is its kind: the text of a reply is as many as there are inputs.
        read.map(|read| read.map(|(value, _)| std::mem::discriminant(&value)))
    });
}
