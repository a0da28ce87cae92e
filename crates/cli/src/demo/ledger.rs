//! What the cluster acknowledged, and what it then answers.
//!
//! Every key is unique and its value follows from it, so one key and one answer are enough to tell a
//! lost write from a wrong one.
//!
//! *Invariant:* a write is entered after it was acknowledged, and only then; nothing is ever struck out.

use super::meter::Meter;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// One shard's acknowledged writes, and how its clients fared.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Names the writer in its keys.
    writer: u16,
    /// Sequence numbers of the acknowledged writes, in the order of their acknowledgement.
    acknowledged: Vec<u64>,
    /// Operations that have been sent and neither answered nor failed.
    under_way: BTreeMap<Ticket, UnderWay>,
    next_ticket: u64,
    start: Instant,
    pub writes: Meter,
    pub reads: Meter,
    pub client_errors: u64,
    /// Reads during the load that did not answer what was acknowledged before they were sent.
    pub wrong_reads: u64,
    /// What the first failing operations said.
    pub samples: Vec<String>,
}

/// Names one operation that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Debug)]
struct UnderWay {
    verb: &'static str,
    key: String,
    since_start: Duration,
}

/// More error texts than this tell nothing new.
const SAMPLES_MAX: usize = 5;

impl Ledger {
    pub(super) fn new(writer: u16, start: Instant) -> Self {
        Self {
            writer,
            acknowledged: Vec::new(),
            under_way: BTreeMap::new(),
            next_ticket: 0,
            start,
            writes: Meter::new(start),
            reads: Meter::new(start),
            client_errors: 0,
            wrong_reads: 0,
            samples: Vec::new(),
        }
    }

    /// An operation is sent at `begun`.
    pub(super) fn begin(&mut self, verb: &'static str, key: &str, begun: Instant) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let since_start = begun.saturating_duration_since(self.start);
        self.under_way.insert(ticket, UnderWay { verb, key: key.to_owned(), since_start });
        ticket
    }

    /// The client library has given the operation back, with whatever result.
    pub(super) fn returned(&mut self, ticket: Ticket) {
        self.under_way.remove(&ticket);
    }

    /// What has not come back by now never will: a client that hangs has met an error, a silent one.
    pub(super) fn close(&mut self) {
        for UnderWay { verb, key, since_start } in std::mem::take(&mut self.under_way).into_values() {
            let sent = since_start.as_secs_f64();
            self.fail(format!("{verb} {key}: sent {sent:.3} s after the load began, and never answered"));
        }
    }

    pub(super) fn acknowledge(&mut self, sequence: u64, due: Instant, at: Instant) {
        self.acknowledged.push(sequence);
        self.writes.acknowledged(due, at);
    }

    pub(super) fn fail(&mut self, what: String) {
        self.client_errors += 1;
        self.sample(what);
    }

    /// A read of an acknowledged key was answered.
    pub(super) fn read(&mut self, key: &str, check: Check, due: Instant, at: Instant) {
        self.reads.acknowledged(due, at);
        match check {
            Check::Right => {}
            Check::Lost | Check::Wrong => {
                self.wrong_reads += 1;
                self.sample(format!("GET {key} during the load: {check}"));
            }
        }
    }

    /// One of the acknowledged writes, by a number that the caller draws.
    pub(super) fn pick(&self, draw: u64) -> Option<u64> {
        let count = self.acknowledged.len() as u64;
        (count > 0).then(|| self.acknowledged[(draw % count) as usize])
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = String> + '_ {
        self.acknowledged.iter().map(|sequence| key_of(self.writer, *sequence))
    }

    fn sample(&mut self, what: String) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(what);
        }
    }
}

/// The key of a writer's write.
pub(super) fn key_of(writer: u16, sequence: u64) -> String {
    format!("w:{writer}:{sequence}")
}

/// The key of the `n`-th key of the fill.
pub(super) fn fill_key(n: u64) -> String {
    format!("k:{n}")
}

/// The value of a key: `size` bytes of hex that follow from it.
pub(super) fn value_of(key: &str, size: usize) -> Vec<u8> {
    // FNV-1a, then splitmix64 for as many bytes as are asked for.
    let mut state =
        key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    let mut value = Vec::with_capacity(size + 16);
    while value.len() < size {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^= word >> 31;
        value.extend((0..16).map(|nibble| b"0123456789abcdef"[(word >> (4 * nibble)) as usize & 15]));
    }
    value.truncate(size);
    value
}

/// How an answer compares with what was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Right,
    /// The key is gone.
    Lost,
    /// The key holds something else.
    Wrong,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Check::Right => "right",
            Check::Lost => "the key is gone",
            Check::Wrong => "the key holds something else",
        })
    }
}

pub(super) fn check(key: &str, size: usize, answer: Option<&[u8]>) -> Check {
    match answer {
        None => Check::Lost,
        Some(value) if value == value_of(key, size) => Check::Right,
        Some(_) => Check::Wrong,
    }
}

/// What reading everything back found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    pub read: u64,
    pub lost: u64,
    pub wrong: u64,
}

impl Balance {
    pub(super) fn enter(&mut self, check: Check) {
        self.read += 1;
        match check {
            Check::Right => {}
            Check::Lost => self.lost += 1,
            Check::Wrong => self.wrong += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_a_wrong_and_a_right_value_are_told_apart() {
        let right = value_of("w:0:7", 100);
        assert_eq!(check("w:0:7", 100, Some(&right)), Check::Right);
        assert_eq!(check("w:0:7", 100, None), Check::Lost);
        assert_eq!(check("w:0:8", 100, Some(&right)), Check::Wrong);
        assert_eq!(check("w:0:7", 100, Some(&right[..99])), Check::Wrong);
        let mut balance = Balance::default();
        for check in [Check::Right, Check::Lost, Check::Wrong] {
            balance.enter(check);
        }
        assert_eq!(balance, Balance { read: 3, lost: 1, wrong: 1 });
    }

    #[test]
    fn values_have_the_asked_size_and_follow_from_the_key() {
        for size in [0, 1, 16, 17, 100] {
            assert_eq!(value_of("k:1", size).len(), size);
        }
        assert_eq!(value_of("k:1", 32), value_of("k:1", 32));
        assert_ne!(value_of("k:1", 32), value_of("k:2", 32));
    }

    #[test]
    fn only_acknowledged_writes_are_in_the_ledger() {
        let now = Instant::now();
        let mut ledger = Ledger::new(2, now);
        assert_eq!(ledger.pick(5), None);
        ledger.acknowledge(10, now, now);
        ledger.fail("timed out".to_owned());
        ledger.acknowledge(12, now, now);
        assert_eq!(ledger.keys().collect::<Vec<_>>(), ["w:2:10", "w:2:12"]);
        assert_eq!((ledger.pick(0), ledger.pick(3)), (Some(10), Some(12)));
        assert_eq!((ledger.client_errors, ledger.samples.len()), (1, 1));
    }

    #[test]
    fn an_operation_that_never_came_back_is_a_client_error() {
        let start = Instant::now();
        let mut ledger = Ledger::new(0, start);
        let answered = ledger.begin("SET", "w:0:1", start);
        ledger.begin("GET", "w:0:1", start + Duration::from_millis(1500));
        ledger.returned(answered);
        ledger.close();
        assert_eq!(ledger.client_errors, 1);
        assert_eq!(ledger.samples, ["GET w:0:1: sent 1.500 s after the load began, and never answered"]);
        ledger.close();
        assert_eq!(ledger.client_errors, 1);
    }

    #[test]
    fn a_wrong_read_during_the_load_is_counted() {
        let now = Instant::now();
        let mut ledger = Ledger::new(0, now);
        ledger.read("w:0:1", Check::Right, now, now);
        ledger.read("w:0:2", Check::Lost, now, now);
        assert_eq!((ledger.wrong_reads, ledger.reads.count()), (1, 2));
        assert_eq!(ledger.samples, ["GET w:0:2 during the load: the key is gone"]);
    }
}
