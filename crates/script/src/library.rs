//! The first line of a library: `#!lua name=…`.

use crate::registry::{BAD_NAME, name_of};
use ironcache_resp::split_words;

/// Why there is no library. `Display` is the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLibrary {
    #[error("ERR Missing library metadata")]
    NoFirstLine,
    #[error("ERR Invalid library metadata")]
    FirstLine,
    #[error("ERR Invalid metadata value given: {word}")]
    Word { word: String },
    #[error("ERR Invalid metadata value, name argument was given multiple times")]
    NamedTwice,
    #[error("ERR Library name was not given")]
    Unnamed,
    #[error("ERR {BAD_NAME}")]
    Name,
    #[error("ERR Engine '{engine}' not found")]
    Engine { engine: String },
    #[error("ERR Error compiling function: {message}")]
    Syntax { message: String },
    /// With its own code.
    #[error("ERR Error registering functions: {error}")]
    Registering { error: String },
    #[error("ERR No functions registered")]
    Empty,
    #[error("ERR not enough memory for the library")]
    Memory,
    #[error("ERR no interpreter: {why}")]
    Interpreter { why: String },
    /// A script runs, or a function.
    #[error("BUSY Redis is busy running a script.")]
    Busy,
}

const NAME: &[u8] = b"name=";

/// The name of a library, and what there is to be compiled: the first line is left out, its end is not, so that lines are
/// counted from it.
pub(crate) fn read(code: &[u8]) -> Result<(&[u8], String), BadLibrary> {
    if !code.starts_with(b"#!") {
        return Err(BadLibrary::NoFirstLine);
    }
    let end = code.iter().position(|byte| *byte == b'\n').ok_or(BadLibrary::FirstLine)?;
    let words = split_words(&code[..end]).ok_or(BadLibrary::FirstLine)?;
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let (first, words) = words.split_first().ok_or(BadLibrary::FirstLine)?;
    let engine = first.get(2..).unwrap_or_default();
    let mut name = None;
    for word in words {
        let (key, value) = word.split_at_checked(NAME.len()).unwrap_or_default();
        if !key.eq_ignore_ascii_case(NAME) {
            return Err(BadLibrary::Word { word: text(word) });
        }
        if name.replace(value).is_some() {
            return Err(BadLibrary::NamedTwice);
        }
    }
    let name = name_of(name.ok_or(BadLibrary::Unnamed)?).ok_or(BadLibrary::Name)?;
    if !engine.eq_ignore_ascii_case(b"lua") {
        return Err(BadLibrary::Engine { engine: text(engine) });
    }
    Ok((&code[end..], name.to_owned()))
}

/// The name of the library that this code says it is.
///
/// # Errors
/// It says none.
pub fn library_name(code: &[u8]) -> Result<String, BadLibrary> {
    read(code).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_says_its_name() {
        let told = |code: &[u8]| match read(code) {
            Ok((rest, name)) => format!("{name} {}", rest.escape_ascii()),
            Err(error) => error.to_string(),
        };
        for (code, expected) in [
            (&b"#!lua name=x\nreturn"[..], "x \\nreturn"),
            (b"#!LUA NAME=\"a_B9\"\n", "a_B9 \\n"),
            (b"return 1", "ERR Missing library metadata"),
            (b"#!lua name=x return 1", "ERR Invalid library metadata"),
            (b"#!lua \"name=x\nreturn 1", "ERR Invalid library metadata"),
            (b"#!lua\nreturn 1", "ERR Library name was not given"),
            (b"#!foo name=x\nreturn 1", "ERR Engine 'foo' not found"),
            (b"#! name=x\nreturn 1", "ERR Engine '' not found"),
            (b"#!lua name=x name=y\n", "ERR Invalid metadata value, name argument was given multiple times"),
            (b"#!lua foo=bar name=x\n", "ERR Invalid metadata value given: foo=bar"),
            (b"#!lua name\n", "ERR Invalid metadata value given: name"),
        ] {
            assert_eq!(told(code), expected, "{}", code.escape_ascii());
        }
        for code in [&b"#!lua name=\n"[..], b"#!lua name=a-b\n", b"#!lua \"name=a b\"\n"] {
            assert_eq!(read(code), Err(BadLibrary::Name), "{}", code.escape_ascii());
        }
    }
}
