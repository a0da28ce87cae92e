//! Redis' glob patterns: `*`, `?`, `[a-z]`, `[^a]`, `\x`. Source: `stringmatchlen` of redis 7.

/// Bytes that a match compares at most, beyond those of pattern and text together: 30 ms. Of a pattern and a text of 4 KiB
/// each any match is found; fewer, and one of a long pattern might not be; more, and a hostile pattern stops the node for
/// longer, once for each key or channel.
const COMPARED_MAX: usize = 1 << 24;

/// Whether the whole text matches. A match that takes too long to find is none: time is the product of the lengths at
/// most, whatever the pattern, and bounded.
pub fn glob_matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // After a star: where to go on in the pattern, and the text that the star has not yet taken.
    let mut retry: Option<(usize, usize)> = None;
    let mut left = COMPARED_MAX.saturating_add(pattern.len()).saturating_add(text.len());
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let step = match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(_), Some(byte)) => match_one(&pattern[p..], *byte),
            (None, Some(_)) | (Some(_), None) => None,
        };
        // A class is compared with one byte in as many steps as it is long.
        let compared = step.unwrap_or_else(|| class_bytes(&pattern[p.min(pattern.len())..]));
        match left.checked_sub(compared) {
            Some(rest) => left = rest,
            None => return false,
        }
        match (step, &mut retry) {
            (Some(used), _) => (p, t) = (p + used, t + 1),
            (None, Some((after_star, taken))) if *taken < text.len() => {
                *taken += 1;
                (p, t) = (*after_star, *taken);
            }
            (None, _) => return false,
        }
    }
}

/// Matches one byte against the element that a non-empty pattern begins with; answers its length.
fn match_one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'[', class @ ..] => {
            let (matched, used) = match_class(class, byte);
            matched.then_some(1 + used)
        }
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [literal, ..] => (*literal == byte).then_some(1),
        [] => None,
    }
}

/// What a comparison that failed has looked at.
fn class_bytes(pattern: &[u8]) -> usize {
    match pattern {
        [b'[', class @ ..] => 1 + match_class(class, 0).1,
        _ => 1,
    }
}

/// The class after its `[`: whether it has the byte, and its length. An unclosed class ends with the
/// pattern.
fn match_class(class: &[u8], byte: u8) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &class[at..] {
            [] => return (found != negated, at),
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => return (found != negated, at + 1),
            [a, b'-', b, ..] => {
                found |= (*a.min(b)..=*a.max(b)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= *literal == byte;
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        for text in yes {
            assert!(glob_matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!glob_matches(pattern.as_bytes(), text.as_bytes()), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn patterns_match_as_in_redis() {
        check("*", &["", "anything"], &[]);
        check("h?llo", &["hello", "hallo"], &["hllo", "helllo"]);
        check("h*llo", &["hllo", "heeeello"], &["hell"]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo"]);
        check("h[^e]llo", &["hallo"], &["hello"]);
        check("h[a-b]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]);
        check("h\\*llo", &["h*llo"], &["hello"]);
        check("[\\]]", &["]"], &["\\"]);
        check("a\\", &["a\\"], &["a"]);
        check("[ab", &["a", "b"], &["c", "["]);
        check("a*b*c", &["abc", "aXbXc", "abbcc"], &["ab", "acb"]);
        check("", &[""], &["a"]);
        check("a**", &["a", "abc"], &["b"]);
    }

    #[test]
    fn a_hostile_pattern_ends_as_no_match() {
        let text = vec![b'a'; 1 << 20];
        let pattern = [b"*", &text[1 << 19..], b"b*"].concat();
        assert!(!glob_matches(&pattern, &text));
        let class = [b"*[".as_slice(), &vec![b'b'; 1 << 20], b"]c"].concat();
        assert!(!glob_matches(&class, &text));
        // Long is not hostile.
        assert!(glob_matches(&[&text[..], b"*"].concat(), &text));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let pattern = b"a*".repeat(50);
        let text = vec![b'a'; 5000];
        assert!(glob_matches(&pattern, &text));
        assert!(!glob_matches(&[&pattern[..], b"b"].concat(), &text));
    }
}
