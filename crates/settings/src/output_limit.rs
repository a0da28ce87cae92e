//! What a client may leave unread, by kind of client, as Redis writes it: `normal 0 0 0 pubsub 33554432 8388608 60`, in bytes,
//! bytes and seconds.

use std::fmt;

/// Replies and messages that wait for one client. 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutputLimit {
    /// Above it the client is closed at once.
    pub hard_bytes: u64,
    /// Above it for `soft_s` without a pause, the client is closed.
    pub soft_bytes: u64,
    pub soft_s: u64,
}

/// By kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimits {
    /// It sends commands.
    pub normal: OutputLimit,
    /// It listens to channels.
    pub pubsub: OutputLimit,
}

impl Default for OutputLimits {
    /// A client that listens is sent what others send: unlike one that asks, it is bounded. As Redis is at first.
    fn default() -> Self {
        let pubsub = OutputLimit { hard_bytes: 32 << 20, soft_bytes: 8 << 20, soft_s: 60 };
        OutputLimits { normal: OutputLimit::default(), pubsub }
    }
}

impl OutputLimits {
    /// `None` for anything that is not `normal|pubsub <hard> <soft> <seconds>`, once or more often; of a kind that is not named the
    /// default stands. Bytes may carry Redis' units (`64mb`).
    pub fn parse(text: &str) -> Option<OutputLimits> {
        let mut limits = OutputLimits::default();
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        if words.is_empty() {
            return None;
        }
        for named in words.chunks(4) {
            let [class, hard, soft, seconds] = named else { return None };
            let limit =
                OutputLimit { hard_bytes: bytes(hard)?, soft_bytes: bytes(soft)?, soft_s: digits(seconds)? };
            match *class {
                "normal" => limits.normal = limit,
                "pubsub" => limits.pubsub = limit,
                _ => return None,
            }
        }
        Some(limits)
    }
}

impl fmt::Display for OutputLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { normal, pubsub } = self;
        write!(f, "normal {normal} pubsub {pubsub}")
    }
}

impl fmt::Display for OutputLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hard_bytes, soft_bytes, soft_s } = self;
        write!(f, "{hard_bytes} {soft_bytes} {soft_s}")
    }
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// As Redis reads them: `k` is a thousand, `kb` 1024.
fn bytes(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits(number)?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_redis_writes_them_and_print_in_bytes() {
        let limits = OutputLimits::parse("normal 256mb 64MB 60").expect("they are some");
        let normal = OutputLimit { hard_bytes: 256 << 20, soft_bytes: 64 << 20, soft_s: 60 };
        assert_eq!(limits, OutputLimits { normal, ..OutputLimits::default() });
        assert_eq!(limits.to_string(), "normal 268435456 67108864 60 pubsub 33554432 8388608 60");
        assert_eq!(OutputLimits::parse(&limits.to_string()), Some(limits));
    }

    #[test]
    fn a_kind_that_is_named_twice_is_what_it_was_named_last() {
        let limits = OutputLimits::parse("pubsub 1 2 3 normal 4 5 6 pubsub 7 0 0").expect("they are some");
        assert_eq!(limits.to_string(), "normal 4 5 6 pubsub 7 0 0");
    }

    #[test]
    fn what_is_no_limit_is_none() {
        for text in [
            "",
            "normal",
            "normal 1 2",
            "normal 1 2 3 4",
            "normal 1 2 3 pubsub",
            "slave 1 2 3",
            "normal -1 0 0",
            "normal 1x 0 0",
            "normal mb 0 0",
        ] {
            assert_eq!(OutputLimits::parse(text), None, "{text}");
        }
    }
}
