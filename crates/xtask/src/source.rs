//! Rust source as tokens with their line numbers, without comments, text and test code.
//!
//! Not a parser: just enough of the language to know that a word is code. It follows nested block
//! comments, raw and byte strings, and tells a lifetime from a character.
//!
//! *Invariant:* total. Source that does not end properly gives the tokens read so far.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub text: &'a str,
    /// Counted from 1.
    pub line: usize,
}

/// The tokens of the file that are compiled into the product: `#[cfg(test)]` items are left out.
pub(crate) fn product_tokens(source: &str) -> Vec<Token<'_>> {
    without_test_items(&tokens(source))
}

/// Names of the modules declared as `#[cfg(test)] mod name;`, whose files are test code.
pub(crate) fn test_modules(source: &str) -> Vec<&str> {
    let tokens = tokens(source);
    let mut names = Vec::new();
    for at in 0..tokens.len() {
        if let Some(mut next) = after_cfg_test(&tokens, at) {
            while tokens.get(next).is_some_and(|t| t.text == "pub") {
                next += 1;
            }
            if let [keyword, name, end, ..] = tokens[next..]
                && keyword.text == "mod"
                && end.text == ";"
            {
                names.push(name.text);
            }
        }
    }
    names
}

fn without_test_items<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match after_cfg_test(tokens, at) {
            Some(item) => at = after_item(tokens, item),
            None => {
                kept.push(tokens[at]);
                at += 1;
            }
        }
    }
    kept
}

/// If `#[cfg(test)]` starts at `at`: the position of the item behind it and its other attributes.
fn after_cfg_test(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    const CFG_TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let here = tokens.get(at..at + CFG_TEST.len())?;
    if !here.iter().map(|t| t.text).eq(CFG_TEST) {
        return None;
    }
    let mut next = at + CFG_TEST.len();
    while tokens.get(next).is_some_and(|t| t.text == "#") {
        next = after_group(tokens, next + 1);
    }
    Some(next)
}

/// The position behind the item at `at`: behind its `;`, or behind its outermost `{…}` (and the `;` of a `use a::{…};`).
fn after_item(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "{" => {
                let behind = after_group(tokens, at);
                let closed = tokens.get(behind).is_some_and(|t| t.text == ";");
                return behind + usize::from(closed);
            }
            "(" | "[" => at = after_group(tokens, at),
            // The end of the block around an item without one of its own, such as a field.
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

/// The position behind the bracket that closes the one at `at`.
pub(crate) fn after_group(tokens: &[Token<'_>], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token.text {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (len, is_code) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            '/' if rest.starts_with("/*") => (block_comment_len(rest), false),
            '"' => (quoted_len(rest), false),
            'r' | 'b' | 'c' if string_prefix(rest).is_some() => {
                let (prefix, hashes) = string_prefix(rest).expect("the guard has just found one");
                (prefix + string_len(&rest[prefix..], hashes), false)
            }
            '\'' => (char_or_lifetime_len(rest), false),
            ':' if rest.starts_with("::") => (2, true),
            c if is_word(c) => (rest.find(|c| !is_word(c)).unwrap_or(rest.len()), true),
            c => (c.len_utf8(), !c.is_whitespace()),
        };
        if is_code {
            tokens.push(Token { text: &rest[..len], line });
        }
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment_len(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a `"…"` with escapes.
fn quoted_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// If a prefixed string starts here (`b"`, `r#"`, `br"`, `c"`): the prefix's length before the hashes,
/// and the number of hashes for a raw string.
fn string_prefix(text: &str) -> Option<(usize, Option<usize>)> {
    let letters = ["br", "cr", "r", "b", "c"].into_iter().find(|letters| {
        let rest = text[letters.len().min(text.len())..].trim_start_matches('#');
        text.starts_with(letters) && rest.starts_with('"')
    })?;
    let hashes = text[letters.len()..].chars().take_while(|&c| c == '#').count();
    match letters.ends_with('r') {
        true => Some((letters.len(), Some(hashes))),
        false if hashes == 0 => Some((letters.len(), None)),
        false => None,
    }
}

/// Length of a string from its hashes or quote on.
fn string_len(text: &str, hashes: Option<usize>) -> usize {
    let Some(hashes) = hashes else { return quoted_len(text) };
    let end = format!("\"{}", "#".repeat(hashes));
    let body = hashes + 1;
    text.get(body..).and_then(|rest| rest.find(&end)).map_or(text.len(), |at| body + at + end.len())
}

fn char_or_lifetime_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // An escape ends at the next quote behind the escaped character.
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(text.len(), |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        product_tokens(source).iter().map(|t| t.text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_text_are_no_code() {
        assert_eq!(words("a // Instant\nb /* x /* Instant */ y */ c"), "a b c");
        assert_eq!(
            words(r##"f("Instant \" Instant", r#"an "Instant""#, b"Instant", br"\")"##),
            "f ( , , , )"
        );
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        assert_eq!(words(r"f('\'', '\\', '\u{1F}', 'x', b'\n') fn g<'a>(x: &'a T)"), {
            "f ( , , , , b ) fn g < a > ( x : & a T )"
        });
        assert_eq!(words("f('\"') Instant"), "f ( ) Instant");
    }

    #[test]
    fn test_items_are_left_out() {
        assert_eq!(words("use a;\n#[cfg(test)]\nuse b::{c};\nfn d() {}"), "use a ; fn d ( ) { }");
        assert_eq!(words("#[cfg(test)] #[allow(x)] mod tests { fn t() { {} } }\nfn d() {}"), "fn d ( ) { }");
        assert_eq!(words("#[cfg(test)] pub fn f(a: [u8; 2]) -> u8 { 1 } mod x;"), "mod x ;");
    }

    #[test]
    fn a_test_module_in_its_own_file_is_named() {
        assert_eq!(test_modules("mod a; #[cfg(test)] mod b; #[cfg(test)] pub mod c { } "), ["b"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_text() {
        let tokens = product_tokens("/*\n*/ a \"\n\n\" b");
        assert_eq!(tokens, [Token { text: "a", line: 2 }, Token { text: "b", line: 4 }]);
    }

    #[test]
    fn unfinished_source_gives_what_was_read() {
        for source in
            ["a \"", "a /*", "a r#\"x", "a '", "a '\\", "a b\"\\", "#[cfg(test)]", "#[cfg(test)] mod x {"]
        {
            product_tokens(source);
            test_modules(source);
        }
    }
}
