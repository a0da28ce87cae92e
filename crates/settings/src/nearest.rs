//! Which name a misspelt one may be.

/// The candidate with the fewest edits, if they are few: a third of the name, and at least two.
///
/// *Invariant:* what is much longer than any name is not compared with them: it may be as long as a request.
pub(crate) fn nearest(given: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let few = |name: &str| 2.max(name.len() / 3);
    // Each edit makes it longer or shorter by one letter at most; a letter has at most four bytes.
    let may_be = |name: &str| given.len() <= 4 * (name.len() + few(name));
    candidates
        .filter(|name| may_be(name))
        .map(|name| (edits(given, name), name))
        .filter(|(edits, name)| *edits <= few(name))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Insertions, removals and replacements of one character that make one of the other (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (done, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = done + 1;
        for (at, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(diagonal + 1).min(row[at] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [("", "", 0), ("port", "prot", 2), ("a", "", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((edits(from, to), edits(to, from)), (expected, expected), "{from} {to}");
        }
    }

    #[test]
    fn what_resembles_nothing_has_no_nearest() {
        assert_eq!(nearest("maxmemory", ["port", "log"].into_iter()), None);
        assert_eq!(nearest(&"port".repeat(1 << 24), ["port"].into_iter()), None, "and at once");
        assert_eq!(nearest("pört", ["port"].into_iter()), Some("port"));
        assert_eq!(nearest("isr_timeout_ms", ["port", "isr-timeout-ms"].into_iter()), Some("isr-timeout-ms"));
    }
}
