//! `cjson.decode`.

use super::Choices;
use crate::number::leading;
use mlua::{Lua, Result, Value};

/// Reads a text. Outside is the interpreter's failure, inside what is wrong with the text.
pub(super) fn read(lua: &Lua, text: &[u8], choices: &Choices) -> Result<std::result::Result<Value, String>> {
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Ok(Err("JSON parser does not support UTF-16 or UTF-32".to_owned()));
    }
    let mut reader = JsonReader { lua, text, at: 0, depth: 0, choices };
    let read = (|| {
        let token = reader.next();
        let value = reader.value(token)?;
        match reader.next() {
            Token { what: What::End, .. } => Ok(value),
            other => Err(unexpected("the end", &other)),
        }
    })();
    match read {
        Ok(value) => Ok(Ok(value)),
        Err(Wrong::Text(wrong)) => Ok(Err(wrong)),
        Err(Wrong::Lua(error)) => Err(error),
    }
}

enum Wrong {
    Text(String),
    Lua(mlua::Error),
}

impl From<mlua::Error> for Wrong {
    fn from(error: mlua::Error) -> Self {
        Wrong::Lua(error)
    }
}

struct Token {
    what: What,
    /// Where it stands, from 0.
    at: usize,
}

enum What {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    End,
    Bad(&'static str),
}

impl What {
    /// As the library names it.
    fn name(&self) -> &'static str {
        match self {
            What::ObjectBegin => "T_OBJ_BEGIN",
            What::ObjectEnd => "T_OBJ_END",
            What::ArrayBegin => "T_ARR_BEGIN",
            What::ArrayEnd => "T_ARR_END",
            What::Colon => "T_COLON",
            What::Comma => "T_COMMA",
            What::String(_) => "T_STRING",
            What::Number(_) => "T_NUMBER",
            What::Boolean(_) => "T_BOOLEAN",
            What::Null => "T_NULL",
            What::End => "T_END",
            What::Bad(why) => why,
        }
    }
}

fn unexpected(wanted: &str, token: &Token) -> Wrong {
    Wrong::Text(format!("Expected {wanted} but found {} at character {}", token.what.name(), token.at + 1))
}

struct JsonReader<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    depth: i64,
    choices: &'a Choices,
}

impl JsonReader<'_> {
    fn value(&mut self, token: Token) -> std::result::Result<Value, Wrong> {
        match token.what {
            What::String(text) => Ok(Value::String(self.lua.create_string(text)?)),
            What::Number(number) => Ok(Value::Number(number)),
            What::Boolean(is) => Ok(Value::Boolean(is)),
            What::Null => Ok(Value::NULL),
            What::ObjectBegin => self.object(),
            What::ArrayBegin => self.array(),
            What::ObjectEnd | What::ArrayEnd | What::Colon | What::Comma | What::End | What::Bad(_) => {
                Err(unexpected("value", &token))
            }
        }
    }

    fn descend(&mut self) -> std::result::Result<(), Wrong> {
        self.depth += 1;
        if self.depth <= self.choices.decode_depth_max {
            return Ok(());
        }
        let (depth, at) = (self.depth, self.at);
        Err(Wrong::Text(format!("Found too many nested data structures ({depth}) at character {at}")))
    }

    fn object(&mut self) -> std::result::Result<Value, Wrong> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        if !matches!(token.what, What::ObjectEnd) {
            loop {
                let What::String(key) = token.what else {
                    return Err(unexpected("object key string", &token));
                };
                let key = self.lua.create_string(key)?;
                token = self.next();
                if !matches!(token.what, What::Colon) {
                    return Err(unexpected("colon", &token));
                }
                token = self.next();
                let value = self.value(token)?;
                table.raw_set(key, value)?;
                token = self.next();
                match token.what {
                    What::ObjectEnd => break,
                    What::Comma => token = self.next(),
                    _ => return Err(unexpected("comma or object end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn array(&mut self) -> std::result::Result<Value, Wrong> {
        self.descend()?;
        let table = self.lua.create_table()?;
        let mut token = self.next();
        let mut len = 0_i64;
        if !matches!(token.what, What::ArrayEnd) {
            loop {
                len += 1;
                let value = self.value(token)?;
                table.raw_set(len, value)?;
                token = self.next();
                match token.what {
                    What::ArrayEnd => break,
                    What::Comma => token = self.next(),
                    _ => return Err(unexpected("comma or array end", &token)),
                }
            }
        }
        self.depth -= 1;
        Ok(Value::Table(table))
    }

    fn next(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let at = self.at;
        let Some(&byte) = self.text.get(at) else { return Token { what: What::End, at } };
        let what = match byte {
            b'{' => What::ObjectBegin,
            b'}' => What::ObjectEnd,
            b'[' => What::ArrayBegin,
            b']' => What::ArrayEnd,
            b':' => What::Colon,
            b',' => What::Comma,
            b'"' => return self.string(),
            b'+' | b'-' | b'0'..=b'9' => return self.number(),
            b't' if self.text[at..].starts_with(b"true") => return self.word(4, What::Boolean(true)),
            b'f' if self.text[at..].starts_with(b"false") => return self.word(5, What::Boolean(false)),
            b'n' if self.text[at..].starts_with(b"null") => return self.word(4, What::Null),
            b'i' | b'I' | b'n' | b'N'
                if self.choices.decode_invalid && leading(&self.text[at..]).is_some() =>
            {
                return self.number();
            }
            _ => return Token { what: What::Bad("invalid token"), at },
        };
        self.at += 1;
        Token { what, at }
    }

    fn word(&mut self, len: usize, what: What) -> Token {
        let at = self.at;
        self.at += len;
        Token { what, at }
    }

    fn number(&mut self) -> Token {
        let at = self.at;
        let text = &self.text[at..];
        let bad = Token { what: What::Bad("invalid number"), at };
        if !self.choices.decode_invalid && !is_json_number(text) {
            return bad;
        }
        match leading(text) {
            Some((number, taken)) => self.word(taken, What::Number(number)),
            None => bad,
        }
    }

    fn string(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let bad = |why, at| Token { what: What::Bad(why), at };
            match self.text.get(self.at) {
                None | Some(0) => return bad("unexpected end of string", self.at),
                Some(b'"') => {
                    self.at += 1;
                    return Token { what: What::String(text), at: start };
                }
                Some(b'\\') => match self.text.get(self.at + 1) {
                    Some(b'u') => match self.unicode() {
                        Some(letter) => text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes()),
                        None => return bad("invalid unicode escape code", self.at),
                    },
                    escape => {
                        text.push(match escape {
                            Some(b'"') => b'"',
                            Some(b'\\') => b'\\',
                            Some(b'/') => b'/',
                            Some(b'b') => 8,
                            Some(b'f') => 12,
                            Some(b'n') => b'\n',
                            Some(b'r') => b'\r',
                            Some(b't') => b'\t',
                            _ => return bad("invalid escape code", self.at),
                        });
                        self.at += 2;
                    }
                },
                Some(byte) => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
    }

    /// A `\u` escape, or two of them that make one letter.
    fn unicode(&mut self) -> Option<char> {
        let code = |at: usize| {
            let digits = self.text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            let digits = std::str::from_utf8(digits).ok()?;
            digits
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| u32::from_str_radix(digits, 16).ok())?
        };
        let first = code(self.at)?;
        if !(0xd800..0xdc00).contains(&first) {
            self.at += 6;
            return char::from_u32(first);
        }
        let second = code(self.at + 6).filter(|second| (0xdc00..0xe000).contains(second))?;
        self.at += 12;
        char::from_u32(0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff))
    }
}

/// Does it begin as JSON has numbers begin?
fn is_json_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => false,
        [b'0'..=b'9', ..] => true,
        _ => false,
    }
}
