//! Patterns of Lua 5.1: `string.find` and its kin. The interpreter's own have no bound: a pattern that backtracks takes years,
//! and a long one the stack. These ask whether to go on, and are as deep as Lua 5.4 lets patterns be.
//!
//! *Invariant:* whatever the pattern and the text, [`Matcher`] asks `go_on` at least every [`STEPS`] steps, and nests no
//! deeper than [`DEPTH_MAX`].

/// Between two questions whether to go on: some ms of work.
const STEPS: u32 = 1 << 18;
/// As Lua 5.4 (`MAXCCALLS`): nobody writes more quantifiers, and a level costs a few hundred bytes of stack.
const DEPTH_MAX: u32 = 200;
/// As Lua (`LUA_MAXCAPTURES`).
const CAPTURES_MAX: usize = 32;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure<E> {
    /// The pattern is wrong.
    Malformed(&'static str),
    /// `go_on` said no.
    Stopped(E),
}

/// What a part of the text matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capture {
    Text {
        start: usize,
        end: usize,
    },
    /// `()`: a position, counted from 0.
    Position(usize),
    /// It was never closed: an error for whoever asks what it matched.
    Unfinished,
}

/// One match: where, and its captures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub start: usize,
    pub end: usize,
    pub captures: Vec<Capture>,
}

#[derive(Clone, Copy)]
struct Open {
    start: usize,
    length: Length,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Unclosed,
    Position,
    Of(usize),
}

pub(crate) struct Matcher<'a, E> {
    text: &'a [u8],
    pattern: &'a [u8],
    captures: Vec<Open>,
    depth: u32,
    steps: u32,
    go_on: &'a mut dyn FnMut() -> Result<(), E>,
}

type At<E> = Result<Option<usize>, Failure<E>>;

impl<'a, E> Matcher<'a, E> {
    pub(crate) fn new(
        text: &'a [u8],
        pattern: &'a [u8],
        go_on: &'a mut dyn FnMut() -> Result<(), E>,
    ) -> Self {
        Self { text, pattern, captures: Vec::new(), depth: 0, steps: 0, go_on }
    }

    /// The first match that starts at `init` or later; only there if the pattern is anchored and may be.
    pub(crate) fn find(&mut self, init: usize, anchors: Anchors) -> Result<Option<Found>, Failure<E>> {
        let anchored = anchors == Anchors::Heeded && self.pattern.first() == Some(&b'^');
        for start in init..=self.text.len() {
            self.captures.clear();
            if let Some(end) = self.matches(start, usize::from(anchored))? {
                let captures = self.captured();
                return Ok(Some(Found { start, end, captures }));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    fn captured(&self) -> Vec<Capture> {
        let capture = |open: &Open| match open.length {
            Length::Unclosed => Capture::Unfinished,
            Length::Position => Capture::Position(open.start),
            Length::Of(length) => Capture::Text { start: open.start, end: open.start + length },
        };
        self.captures.iter().map(capture).collect()
    }

    fn step(&mut self) -> Result<(), Failure<E>> {
        self.steps += 1;
        if self.steps >= STEPS {
            self.steps = 0;
            (self.go_on)().map_err(Failure::Stopped)?;
        }
        Ok(())
    }

    fn matches(&mut self, at: usize, item: usize) -> At<E> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Failure::Malformed("pattern too complex"));
        }
        let end = self.matches_from(at, item);
        self.depth -= 1;
        end
    }

    /// Where the rest of the pattern, from `item` on, ends if it begins at `at`.
    fn matches_from(&mut self, mut at: usize, mut item: usize) -> At<E> {
        loop {
            self.step()?;
            let Some(&first) = self.pattern.get(item) else { return Ok(Some(at)) };
            match (first, self.pattern.get(item + 1)) {
                (b'(', Some(b')')) => return self.opened(at, item + 2, Length::Position),
                (b'(', _) => return self.opened(at, item + 1, Length::Unclosed),
                (b')', _) => return self.closed(at, item + 1),
                (b'%', Some(b'b')) => match self.balanced(at, item + 2)? {
                    Some(end) => (at, item) = (end, item + 4),
                    None => return Ok(None),
                },
                (b'%', Some(b'f')) => {
                    let set = item + 2;
                    if self.pattern.get(set) != Some(&b'[') {
                        return Err(Failure::Malformed("missing '[' after '%f' in pattern"));
                    }
                    let after = self.class_end(set)?;
                    let before = at.checked_sub(1).map_or(0, |before| self.text[before]);
                    let here = self.text.get(at).copied().unwrap_or(0);
                    if self.in_set(before, set, after) || !self.in_set(here, set, after) {
                        return Ok(None);
                    }
                    item = after;
                }
                (b'%', Some(digit @ b'0'..=b'9')) => match self.repeated(at, *digit)? {
                    Some(end) => (at, item) = (end, item + 2),
                    None => return Ok(None),
                },
                (b'$', None) => return Ok((at == self.text.len()).then_some(at)),
                _ => {
                    let after = self.class_end(item)?;
                    match self.pattern.get(after) {
                        Some(b'?') => {
                            if self.is_single(at, item, after)
                                && let Some(end) = self.matches(at + 1, after + 1)?
                            {
                                return Ok(Some(end));
                            }
                            item = after + 1;
                        }
                        Some(b'*') => return self.most(at, at, item, after),
                        Some(b'+') if !self.is_single(at, item, after) => return Ok(None),
                        Some(b'+') => return self.most(at, at + 1, item, after),
                        Some(b'-') => return self.fewest(at, item, after),
                        _ if !self.is_single(at, item, after) => return Ok(None),
                        _ => (at, item) = (at + 1, after),
                    }
                }
            }
        }
    }

    /// As many single characters as there are from `least` on, then fewer.
    fn most(&mut self, start: usize, least: usize, item: usize, after: usize) -> At<E> {
        let mut end = start;
        while self.is_single(end, item, after) {
            end += 1;
            self.step()?;
        }
        loop {
            if let Some(end) = self.matches(end, after + 1)? {
                return Ok(Some(end));
            }
            if end == least {
                return Ok(None);
            }
            end -= 1;
        }
    }

    fn fewest(&mut self, mut at: usize, item: usize, after: usize) -> At<E> {
        loop {
            if let Some(end) = self.matches(at, after + 1)? {
                return Ok(Some(end));
            }
            if !self.is_single(at, item, after) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn opened(&mut self, at: usize, item: usize, length: Length) -> At<E> {
        if self.captures.len() >= CAPTURES_MAX {
            return Err(Failure::Malformed("too many captures"));
        }
        self.captures.push(Open { start: at, length });
        let end = self.matches(at, item)?;
        if end.is_none() {
            self.captures.pop();
        }
        Ok(end)
    }

    fn closed(&mut self, at: usize, item: usize) -> At<E> {
        let open = self.captures.iter().rposition(|open| open.length == Length::Unclosed);
        let open = open.ok_or(Failure::Malformed("invalid pattern capture"))?;
        self.captures[open].length = Length::Of(at - self.captures[open].start);
        let end = self.matches(at, item)?;
        if end.is_none() {
            self.captures[open].length = Length::Unclosed;
        }
        Ok(end)
    }

    fn balanced(&mut self, at: usize, item: usize) -> At<E> {
        let (Some(&open), Some(&close)) = (self.pattern.get(item), self.pattern.get(item + 1)) else {
            return Err(Failure::Malformed("unbalanced pattern"));
        };
        if self.text.get(at) != Some(&open) {
            return Ok(None);
        }
        let mut depth = 1_usize;
        for end in at + 1..self.text.len() {
            self.step()?;
            if self.text[end] == close {
                depth -= 1;
                if depth == 0 {
                    return Ok(Some(end + 1));
                }
            } else if self.text[end] == open {
                depth += 1;
            }
        }
        Ok(None)
    }

    /// `%1`: what a capture matched, once more.
    fn repeated(&self, at: usize, digit: u8) -> At<E> {
        let open = usize::from(digit).checked_sub(usize::from(b'1')).and_then(|at| self.captures.get(at));
        match open {
            Some(Open { start, length: Length::Of(length) }) => {
                let wanted = &self.text[*start..start + length];
                Ok(self.text[at..].starts_with(wanted).then_some(at + length))
            }
            // A position has no text that could follow.
            Some(Open { length: Length::Position, .. }) => Ok(None),
            Some(Open { length: Length::Unclosed, .. }) | None => {
                Err(Failure::Malformed("invalid capture index"))
            }
        }
    }

    /// The position after the single-character class at `item`.
    fn class_end(&self, item: usize) -> Result<usize, Failure<E>> {
        match self.pattern[item] {
            b'%' if item + 1 >= self.pattern.len() => {
                Err(Failure::Malformed("malformed pattern (ends with '%')"))
            }
            b'%' => Ok(item + 2),
            b'[' => {
                let mut end = item + 1;
                if self.pattern.get(end) == Some(&b'^') {
                    end += 1;
                }
                // A `]` that comes first is a member.
                loop {
                    match self.pattern.get(end) {
                        None => return Err(Failure::Malformed("malformed pattern (missing ']')")),
                        Some(b'%') => end += 2,
                        Some(_) => end += 1,
                    }
                    if self.pattern.get(end) == Some(&b']') {
                        return Ok(end + 1);
                    }
                }
            }
            _ => Ok(item + 1),
        }
    }

    fn is_single(&self, at: usize, item: usize, after: usize) -> bool {
        let Some(&byte) = self.text.get(at) else { return false };
        match self.pattern[item] {
            b'.' => true,
            b'%' => is_of_class(byte, self.pattern[item + 1]),
            b'[' => self.in_set(byte, item, after),
            literal => literal == byte,
        }
    }

    /// Is it in the set that stands from `item` (its `[`) to `after`?
    fn in_set(&self, byte: u8, item: usize, after: usize) -> bool {
        let (mut at, end) = (item + 1, after - 1);
        let inverted = self.pattern.get(at) == Some(&b'^');
        at += usize::from(inverted);
        let set = &self.pattern[..end];
        let mut found = false;
        while at < end {
            match (set[at], set.get(at + 1), set.get(at + 2)) {
                (b'%', Some(class), _) => {
                    found |= is_of_class(byte, *class);
                    at += 2;
                }
                (low, Some(b'-'), Some(high)) => {
                    found |= (low..=*high).contains(&byte);
                    at += 3;
                }
                (literal, _, _) => {
                    found |= literal == byte;
                    at += 1;
                }
            }
        }
        found != inverted
    }
}

/// May a `^` at its start tie a pattern to where the search begins? Not in `gmatch`, as of Lua 5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchors {
    Heeded,
    Literal,
}

/// Is it of `%a`, `%d` …? In the C locale.
fn is_of_class(byte: u8, class: u8) -> bool {
    let is = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => matches!(byte, b' ' | b'\t'..=b'\r'),
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    is != class.is_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, pattern: &str) -> Option<(usize, usize, Vec<String>)> {
        let mut go_on = || Ok::<(), ()>(());
        let found = Matcher::new(text.as_bytes(), pattern.as_bytes(), &mut go_on).find(0, Anchors::Heeded);
        found.unwrap().map(|found| {
            let shown = |capture: &Capture| match *capture {
                Capture::Text { start, end } => text[start..end].to_owned(),
                Capture::Position(at) => format!("@{at}"),
                Capture::Unfinished => "unfinished".to_owned(),
            };
            (found.start, found.end, found.captures.iter().map(shown).collect())
        })
    }

    #[test]
    fn patterns_match_as_in_lua() {
        let none: Vec<String> = Vec::new();
        assert_eq!(find("hello world", "o w"), Some((4, 7, none.clone())));
        assert_eq!(
            find("key = value", "^(%w+)%s*=%s*(%w+)$"),
            Some((0, 11, vec!["key".into(), "value".into()]))
        );
        assert_eq!(find("aaa", "a-b"), None);
        assert_eq!(find("aaab", "a-b"), Some((0, 4, none.clone())));
        assert_eq!(find("f(a(b)c)d", "%b()"), Some((1, 8, none.clone())));
        assert_eq!(find("THE (quick) fox", "%f[%a]%a+%f[%A]"), Some((0, 3, none.clone())));
        assert_eq!(find("say \"x\" 'y'", "([\"'])(.-)%1"), Some((4, 7, vec!["\"".into(), "x".into()])));
        assert_eq!(find("abc", "()b()"), Some((1, 2, vec!["@1".into(), "@2".into()])));
        assert_eq!(find("a]b", "[]]"), Some((1, 2, none.clone())));
        assert_eq!(find("a-b", "[a%-]+"), Some((0, 2, none.clone())));
        assert_eq!(find("x^", "[^x]"), Some((1, 2, none.clone())));
        assert_eq!(find("ab", "a?b?c?$"), Some((0, 2, none.clone())));
        assert_eq!(find("x", "(x"), Some((0, 1, vec!["unfinished".into()])));
        assert_eq!(find("", ""), Some((0, 0, none)));
    }

    #[test]
    fn wrong_patterns_are_refused() {
        for (pattern, why) in [
            (")", "invalid pattern capture"),
            ("%", "malformed pattern (ends with '%')"),
            ("[a", "malformed pattern (missing ']')"),
            ("[", "malformed pattern (missing ']')"),
            ("[%", "malformed pattern (missing ']')"),
            ("[a%", "malformed pattern (missing ']')"),
            ("%1", "invalid capture index"),
            ("%f", "missing '[' after '%f' in pattern"),
            ("%b", "unbalanced pattern"),
        ] {
            let mut go_on = || Ok::<(), ()>(());
            let found = Matcher::new(b"text", pattern.as_bytes(), &mut go_on).find(0, Anchors::Heeded);
            assert!(matches!(found, Err(Failure::Malformed(said)) if said == why), "{pattern}: {found:?}");
        }
    }

    #[test]
    fn a_pattern_that_backtracks_is_stopped() {
        let (text, pattern) = ("a".repeat(60), format!("{}{}", "a?".repeat(60), "a".repeat(60) + "b"));
        let mut asked = 0;
        let mut go_on = || {
            asked += 1;
            if asked < 3 { Ok(()) } else { Err("enough") }
        };
        let found = Matcher::new(text.as_bytes(), pattern.as_bytes(), &mut go_on).find(0, Anchors::Heeded);
        assert!(matches!(found, Err(Failure::Stopped("enough"))));
    }

    #[test]
    fn a_pattern_that_nests_is_refused() {
        let pattern = "a?".repeat(100_000);
        let text = "a".repeat(100_000);
        let mut go_on = || Ok::<(), ()>(());
        let found = Matcher::new(text.as_bytes(), pattern.as_bytes(), &mut go_on).find(0, Anchors::Heeded);
        assert!(matches!(found, Err(Failure::Malformed("pattern too complex"))));
    }
}
