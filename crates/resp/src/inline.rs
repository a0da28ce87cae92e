//! Inline commands: a line of words with Redis' quoting (`sdssplitargs`).
//!
//! `set key "two words\x00\n"` is three arguments. A quote may open in the middle of a word, and its close must
//! end that word. Inside `"…"`: `\n \r \t \b \a \xHH`, and `\` before any other byte is that byte; inside `'…'`
//! only `\'`. Outside of quotes a `\` is a plain byte.

use crate::args::OwnedArgs;
use crate::command::SCRATCH_ARGS_KEPT;
use crate::error::ProtocolError;

/// Splits `line` (without its line end) into `out`, which is cleared first.
pub(crate) fn split_line(line: &[u8], out: &mut OwnedArgs) -> Result<(), ProtocolError> {
    out.clear(SCRATCH_ARGS_KEPT);
    let mut rest = line;
    loop {
        rest = trim_start(rest);
        if rest.is_empty() {
            return Ok(());
        }
        rest = take_word(rest, out)?;
    }
}

/// The words of a line; `None` if a quote is not closed.
pub fn split_words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = OwnedArgs::default();
    split_line(line, &mut words).ok()?;
    Some(words.args().iter().map(<[u8]>::to_vec).collect())
}

/// Moves one word from the start of `rest` into `out`; returns what follows it.
fn take_word<'a>(mut rest: &'a [u8], out: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    let start = out.open();
    loop {
        match rest {
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => break,
            [b'"', quoted @ ..] => {
                rest = take_double_quoted(quoted, out)?;
                break;
            }
            [b'\'', quoted @ ..] => {
                rest = take_single_quoted(quoted, out)?;
                break;
            }
            [byte, after @ ..] => {
                out.push_byte(*byte);
                rest = after;
            }
        }
    }
    out.close(start);
    Ok(rest)
}

fn take_double_quoted<'a>(mut rest: &'a [u8], out: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [b'"', after @ ..] => return closed(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
        out.push_byte(byte);
        rest = after;
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], out: &mut OwnedArgs) -> Result<&'a [u8], ProtocolError> {
    loop {
        let (byte, after) = match rest {
            [b'\'', after @ ..] => return closed(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
            [] => return Err(ProtocolError::UnbalancedQuotes),
        };
        out.push_byte(byte);
        rest = after;
    }
}

/// What follows a closing quote must be a space or the end of the line.
fn closed(after: &[u8]) -> Result<&[u8], ProtocolError> {
    match after.first() {
        None => Ok(after),
        Some(&byte) if is_space(byte) => Ok(after),
        Some(_) => Err(ProtocolError::UnbalancedQuotes),
    }
}

fn trim_start(line: &[u8]) -> &[u8] {
    let spaces = line.iter().take_while(|byte| is_space(**byte)).count();
    &line[spaces..]
}

/// C's `isspace`, which counts the vertical tab; `u8::is_ascii_whitespace` does not.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        _ => byte.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::split_line;
    use crate::args::OwnedArgs;
    use crate::error::ProtocolError;

    fn split(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut out = OwnedArgs::default();
        split_line(line, &mut out)?;
        Ok(out.args().iter().map(<[u8]>::to_vec).collect())
    }

    #[track_caller]
    fn assert_words(line: &[u8], words: &[&[u8]]) {
        assert_eq!(split(line).expect("the line is well quoted"), words);
    }

    #[test]
    fn words_are_separated_by_any_run_of_spaces() {
        assert_words(b"  set \t key  value ", &[b"set", b"key", b"value"]);
        assert_words(b"", &[]);
        assert_words(b" \t\x0b\x0c ", &[]);
    }

    #[test]
    fn a_vertical_tab_inside_a_word_belongs_to_it() {
        assert_words(b"a\x0bb", &[b"a\x0bb"]);
    }

    #[test]
    fn double_quotes_keep_spaces_and_take_escapes() {
        assert_words(
            br#"set k "a b\n\r\t\b\a\x00\xfF\"\\\q""#,
            &[b"set", b"k", b"a b\n\r\t\x08\x07\x00\xff\"\\q"],
        );
        assert_words(br#""\x4" "\xg0""#, &[b"x4", b"xg0"]);
    }

    #[test]
    fn single_quotes_take_only_an_escaped_quote() {
        assert_words(br"echo 'a\'b\n'", &[b"echo", br"a'b\n"]);
    }

    #[test]
    fn an_empty_quoted_word_is_an_argument() {
        assert_words(br#"set k """#, &[b"set", b"k", b""]);
        assert_words(b"''", &[b""]);
    }

    #[test]
    fn a_quote_may_open_inside_a_word() {
        assert_words(br#"foo"bar baz" x"#, &[b"foobar baz", b"x"]);
    }

    #[test]
    fn a_backslash_outside_of_quotes_is_a_plain_byte() {
        assert_words(br"a\n b\x41", &[br"a\n", br"b\x41"]);
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        let lines: [&[u8]; 7] = [br#"""#, br#"get "a"#, br#""a"b"#, b"'a", b"'a'b", br#""a\"#, br#""a\""#];
        for line in lines {
            assert_eq!(split(line), Err(ProtocolError::UnbalancedQuotes), "{}", line.escape_ascii());
        }
    }
}
