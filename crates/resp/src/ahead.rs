//! What the commands of a pipeline will probably ask for, before they are parsed.
//!
//! *Invariant:* a guess: it says nothing of what is a command, a key or an error. Whoever acts on it may only warm caches.

use crate::command::short_bulk;

/// The argument behind the name of each command at the start of a buffer: of most commands the first key. Ends at the first
/// command that has none, is not whole, is inline, or has an argument of 1,000 bytes or more.
pub struct FirstArguments<'a> {
    buf: &'a [u8],
    position: usize,
}

impl<'a> FirstArguments<'a> {
    #[inline]
    pub fn of(buf: &'a [u8]) -> Self {
        Self { buf, position: 0 }
    }
}

impl<'a> Iterator for FirstArguments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (count, at) = match *self.buf.get(self.position..)? {
            [b'*', a @ b'2'..=b'9', b'\r', b'\n', ..] => (a - b'0', self.position + 4),
            [b'*', a @ b'1'..=b'9', b @ b'0'..=b'9', b'\r', b'\n', ..] => {
                (10 * (a - b'0') + (b - b'0'), self.position + 5)
            }
            _ => return None,
        };
        let name = short_bulk(self.buf, at)?;
        let first = short_bulk(self.buf, name.end + 2)?;
        let mut end = first.end + 2;
        for _ in 2..count {
            end = short_bulk(self.buf, end)?.end + 2;
        }
        self.position = end;
        self.buf.get(first)
    }
}

#[cfg(test)]
mod tests {
    use super::FirstArguments;

    #[test]
    fn each_whole_command_is_looked_at_up_to_the_first_that_is_not() {
        let pipeline = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$2\r\nbb\r\n$1\r\nv\r\n*2\r\n$3\r\nGET\r\n$3\r\ncc";
        let seen: Vec<&[u8]> = FirstArguments::of(pipeline).collect();
        assert_eq!(seen, [&b"a"[..], b"bb"]);
        for cut in 0..pipeline.len() {
            let fewer: Vec<&[u8]> = FirstArguments::of(&pipeline[..cut]).collect();
            assert!(seen.starts_with(&fewer), "{cut}");
        }
    }

    #[test]
    fn what_is_no_multibulk_command_with_an_argument_ends_it() {
        for other in [&b"GET a\r\n"[..], b"*1\r\n$4\r\nPING\r\n", b"*0\r\n", b"*-1\r\n", b"", b"*99\r\n"] {
            assert_eq!(FirstArguments::of(other).count(), 0, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn commands_of_ten_arguments_and_more_are_read_whole() {
        let mut wide = b"*12\r\n".to_vec();
        for i in 0..12 {
            wide.extend_from_slice(format!("$2\r\n{i:02}\r\n").as_bytes());
        }
        let twice = [wide.as_slice(), &wide].concat();
        assert_eq!(FirstArguments::of(&twice).collect::<Vec<_>>(), [b"01", b"01"]);
    }
}
