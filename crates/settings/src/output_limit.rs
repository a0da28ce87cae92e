//! What a client may leave unread, as Redis writes it: `normal 0 0 0`, in bytes, bytes and seconds.

use crate::memory;
use std::fmt;

/// Replies that wait for one client. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Above it the client is closed at once.
    pub hard_bytes: u64,
    /// Above it for `soft_s` without a pause, the client is closed.
    pub soft_bytes: u64,
    pub soft_s: u64,
}

impl OutputLimit {
    /// The class of client that there is: one that sends commands.
    const CLASS: &'static str = "normal";

    /// `None` for anything that is not `normal <hard> <soft> <seconds>`; bytes may carry Redis' units (`64mb`).
    pub fn parse(text: &str) -> Option<OutputLimit> {
        let mut words = text.split_ascii_whitespace();
        let class = words.next()?;
        let limit = OutputLimit {
            hard_bytes: bytes(words.next()?)?,
            soft_bytes: bytes(words.next()?)?,
            soft_s: digits(words.next()?)?,
        };
        (class == Self::CLASS && words.next().is_none()).then_some(limit)
    }
}

impl fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hard_bytes, soft_bytes, soft_s } = self;
        write!(f, "{} {hard_bytes} {soft_bytes} {soft_s}", Self::CLASS)
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn bytes(text: &str) -> Option<u64> {
    let (number, factor) = memory::split(text)?;
    digits(number)?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_read_as_redis_writes_it_and_prints_in_bytes() {
        let limit = OutputLimit::parse("normal 256mb 64MB 60").expect("it is one");
        assert_eq!(limit, OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_s: 60 });
        assert_eq!(limit.to_string(), "normal 268435456 67108864 60");
        assert_eq!(OutputLimit::parse(&limit.to_string()), Some(limit));
    }

    #[test]
    fn what_is_no_limit_is_none() {
        for text in [
            "",
            "normal",
            "normal 1 2",
            "normal 1 2 3 4",
            "pubsub 1 2 3",
            "normal -1 0 0",
            "normal 1x 0 0",
            "normal mb 0 0",
        ] {
            assert_eq!(OutputLimit::parse(text), None, "{text}");
        }
    }
}
