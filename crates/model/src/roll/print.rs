//! What tells two worlds apart: everything that their parts say of themselves by `Debug`, in a canonical form.
//!
//! A part's [`Print`] is a hash of its text and, apart from it, the numbers whose size says nothing ([`Kind`]): what is compared
//! of them is which is the greater, so a world is hashed with the rank of each among all of its kind in this world. What draws
//! such a number takes one above all there are; the counters that do so are left out. Times are written as how long ago they
//! are, and one that is older than any wait counts as old.
//!
//! *Invariant:* nothing is left out but what is a function of the rest, or what nothing reads that decides; two worlds of one
//! hash do the same for ever, but for the names of their numbers. A number of which this module does not know better is
//! compared as it is.

use std::fmt::{self, Write as _};
use std::hash::{Hash, Hasher};

/// Older than this a time counts as old: longer than anything waits that a model plays.
pub(super) const OLD_MS: u64 = 200_000;
/// No clock of a model shows less: what is smaller is how long something lasted.
const TIME_MS_MIN: u64 = super::node::LATE_MS / 2;

/// Numbers that are compared with those of their kind alone, and never counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Epoch,
    Term,
    /// Of the log.
    Index,
    /// Of a node: its lives; the links, the gate's links and proposals, and what was asked, of its engine.
    Life(usize),
    Serial(usize),
    GateLink(usize),
    GateProposal(usize),
    Ask(usize),
}

/// What one part of a world says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print {
    text: u64,
    numbers: Vec<(Kind, u64)>,
}

impl Print {
    /// Of `what`, which is of the node `of` or speaks of its engine, and whose clock is at `now_ms`.
    pub(super) fn of(of: usize, now_ms: u64, what: &impl fmt::Debug) -> Print {
        let hasher = Mixer::default();
        let mut printer = Printer {
            hasher,
            of,
            now_ms,
            numbers: Vec::new(),
            inside: Vec::new(),
            name: "",
            known: "",
            before: Before::Other,
        };
        write!(printer, "{what:?}").expect("a hasher takes everything");
        Print { text: printer.hasher.finish(), numbers: printer.numbers }
    }
}

/// Writes a [`Print`] by hand.
#[derive(Default)]
pub(super) struct Pen {
    text: Mixer,
    numbers: Vec<(Kind, u64)>,
}

impl Pen {
    pub(super) fn plain(&mut self, what: impl Hash) {
        what.hash(&mut self.text);
    }

    pub(super) fn number(&mut self, kind: Kind, number: u64) {
        self.numbers.push((kind, number));
    }

    pub(super) fn print(self) -> Print {
        Print { text: self.text.finish(), numbers: self.numbers }
    }
}

/// Multiplies each eight bytes into 128 bits, and folds them: a world is some ten thousand bytes of text, and there are millions.
#[derive(Clone, Copy)]
struct Mixer(u64);

impl Default for Mixer {
    fn default() -> Self {
        Mixer(0x243f_6a88_85a3_08d3)
    }
}

impl Mixer {
    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = ((wide as u64) ^ ((wide >> 64) as u64)).wrapping_add(0xa409_3822_299f_31d0);
    }
}

impl Hasher for Mixer {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.mix(number);
    }

    fn finish(&self) -> u64 {
        let mut end = *self;
        end.mix(0x1319_8a2e_0370_7344);
        end.0
    }
}

/// The numbers of a world, and the ranks that stand for them.
#[derive(Default)]
pub(super) struct Ranks {
    all: Vec<(Kind, u64)>,
}

impl Ranks {
    pub(super) fn of<'a>(
        prints: impl Iterator<Item = &'a Print>,
        more: impl Iterator<Item = (Kind, u64)>,
    ) -> Self {
        let mut all: Vec<(Kind, u64)> =
            prints.flat_map(|print| &print.numbers).copied().chain(more).collect();
        all.sort_unstable();
        all.dedup();
        Ranks { all }
    }

    /// Ranks of one kind follow each other; those of another begin wherever the ones before end, in every such world.
    pub(super) fn rank(&self, number: (Kind, u64)) -> usize {
        self.all.partition_point(|known| *known < number)
    }

    pub(super) fn hash<H: Hasher>(&self, print: &Print, hasher: &mut H) {
        print.text.hash(hasher);
        for number in &print.numbers {
            (number.0, self.rank(*number) as u16).hash(hasher);
        }
    }

    pub(super) fn fingerprint(&self, print: &Print) -> u64 {
        let mut hasher = Mixer::default();
        self.hash(print, &mut hasher);
        hasher.finish()
    }
}

struct Printer {
    hasher: Mixer,
    of: usize,
    now_ms: u64,
    numbers: Vec<(Kind, u64)>,
    /// The structs that are open, outermost first.
    inside: Vec<&'static str>,
    /// The newest name of a struct, and of what counts here, if it was one.
    name: &'static str,
    /// The field whose value comes, if it counts here.
    known: &'static str,
    before: Before,
}

/// What was written last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// A struct's end, and then a colon: of a map.
    Closed,
    ClosedColon,
    /// A word.
    Name,
    /// A known word, and an opening parenthesis or a colon.
    Opened,
    Other,
}

/// The word, if it says what a number behind it is, or what such a word means inside of it.
fn known(word: &str) -> &'static str {
    match word {
        "Epoch" => "Epoch",
        "Incarnation" => "Incarnation",
        "life" => "life",
        "term" => "term",
        "index" | "log_index" | "primary_applied" | "applied" => "index",
        "serial" => "serial",
        "number" => "number",
        "link" => "link",
        "links" | "link_serial" | "asks" | "proposals" => "counter",
        "Link" => "Link",
        "Asked" | "Ask" => "Ask",
        "in_force" => "time",
        time if time.ends_with("_ms") => "time",
        _other => "",
    }
}

/// What to do with a number.
enum As {
    Number(Kind, u64),
    Time(u64),
    Counter,
    Plain,
}

impl Printer {
    fn meaning(&self, number: u64) -> As {
        let of = self.of;
        if self.before == Before::ClosedColon {
            return As::Number(Kind::GateProposal(of), number);
        }
        if self.before != Before::Opened {
            return As::Plain;
        }
        match self.known {
            "Epoch" => As::Number(Kind::Epoch, number),
            "Incarnation" => As::Number(Kind::Life(super::founded::node_of(number)), number),
            "life" => As::Number(Kind::Life(of), super::founded::incarnation(of, number).0),
            "term" => As::Number(Kind::Term, number),
            "index" => As::Number(Kind::Index, number),
            "serial" => As::Number(Kind::Serial(of), number),
            "link" => As::Number(Kind::GateLink(of), number),
            "number" => match self.inside.last() {
                Some(&"Link") => As::Number(Kind::GateLink(of), number),
                Some(&"Ask") => As::Number(Kind::Ask(of), number),
                Some(_) | None => As::Number(Kind::GateProposal(of), number),
            },
            "counter" => As::Counter,
            "time" => As::Time(number),
            _other => As::Plain,
        }
    }

    /// `None` if it is old.
    fn age(&self, time_ms: u64) -> Option<i64> {
        let is_old = time_ms.saturating_add(OLD_MS) < self.now_ms;
        (!is_old).then(|| time_ms.wrapping_sub(self.now_ms).cast_signed())
    }

    fn number(&mut self, number: u64) {
        match self.meaning(number) {
            As::Number(kind, number) => {
                self.hasher.write_u8(b'#');
                self.numbers.push((kind, number));
            }
            As::Time(time_ms) if time_ms >= TIME_MS_MIN => self.age(time_ms).hash(&mut self.hasher),
            As::Counter => {}
            As::Time(_) | As::Plain => self.hasher.write_u64(number),
        }
    }

    fn word(&mut self, text: &str) {
        self.name = known(text);
        // `Some(…)` of a known field is of that field.
        if text != "Some" {
            self.known = self.name;
        }
        self.before = Before::Name;
        self.hasher.write(text.as_bytes());
    }
}

impl fmt::Write for Printer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let first = text.bytes().next();
        if first.is_some_and(|byte| byte.is_ascii_digit())
            && let Ok(number) = text.parse::<u64>()
        {
            self.number(number);
            (self.before, self.known) = (Before::Other, "");
            return Ok(());
        }
        match text {
            " { " => {
                self.inside.push(self.name);
                self.before = Before::Other;
            }
            " }" | ", .. }" => {
                self.inside.pop();
                self.before = Before::Closed;
            }
            ": " if self.before == Before::Closed => self.before = Before::ClosedColon,
            "(" | ": " if self.before == Before::Name => self.before = Before::Opened,
            "(" | ": " | ")" | ", " | "[" | "]" | "{" | "}" | ",\n" => self.before = Before::Other,
            _word => {
                self.word(text);
                return Ok(());
            }
        }
        self.hasher.write(text.as_bytes());
        Ok(())
    }
}
