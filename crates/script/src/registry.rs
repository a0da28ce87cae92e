//! `redis.register_function`: what a library registers while it is loaded.
//!
//! *Invariant:* what is held of it outside of the interpreter is bounded, however a library goes about it.

use crate::shared::Shared;
use crate::shebang::Flags;
use mlua::{Function, Lua, LuaString, Result, Table, Value};
use std::collections::BTreeSet;
use std::rc::Rc;

/// Of one library. More are no library; what is kept of each is some hundred bytes.
const FUNCTIONS_MAX: usize = 1_024;
/// Names and descriptions of one library: a line for each function is far below that.
const TEXT_BYTES_MAX: usize = 64 << 10;
/// Flags are five; whoever names more has named one twice.
const FLAGS_MAX: usize = 16;
/// As in Redis, of functions as well.
pub(crate) const BAD_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";

/// A function of a library, as `FUNCTION LIST` tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    pub name: String,
    pub description: Option<Vec<u8>>,
    pub flags: Flags,
}

/// The library that is loaded at present.
pub(crate) struct Registering {
    pub declared: Vec<Declared>,
    /// What is called, in the order of `declared`.
    pub callbacks: Table,
    /// In lower case: functions are called in any.
    names: BTreeSet<String>,
    text_bytes: usize,
}

impl Registering {
    pub(crate) fn new(lua: &Lua) -> Result<Self> {
        let (declared, names) = (Vec::new(), BTreeSet::new());
        Ok(Self { declared, callbacks: lua.create_table()?, names, text_bytes: 0 })
    }

    /// What is wrong with it, if something is.
    fn register(
        &mut self,
        name: &[u8],
        callback: Function,
        description: Option<Vec<u8>>,
        flags: Option<Table>,
    ) -> Result<Option<String>> {
        let Some(name) = name_of(name) else { return Ok(Some(BAD_NAME.to_owned())) };
        let Some(flags) = flags_of(flags)? else { return Ok(Some("unknown flag given".to_owned())) };
        if !self.names.insert(name.to_ascii_lowercase()) {
            return Ok(Some("Function already exists in the library".to_owned()));
        }
        self.text_bytes += name.len() + description.as_ref().map_or(0, Vec::len);
        if self.declared.len() == FUNCTIONS_MAX || self.text_bytes > TEXT_BYTES_MAX {
            let bounds =
                format!("{FUNCTIONS_MAX} functions and {TEXT_BYTES_MAX} bytes of names and descriptions");
            return Ok(Some(format!("a library has {bounds} at most")));
        }
        self.callbacks.raw_set(self.declared.len() + 1, callback)?;
        self.declared.push(Declared { name: name.to_owned(), description, flags });
        Ok(None)
    }
}

/// A name that a library or a function may have.
pub(crate) fn name_of(name: &[u8]) -> Option<&str> {
    let is_sound = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    std::str::from_utf8(name).ok().filter(|_| is_sound)
}

/// `None` if there is one that is not known.
fn flags_of(words: Option<Table>) -> Result<Option<Flags>> {
    let mut flags = Flags::default();
    let Some(words) = words else { return Ok(Some(flags)) };
    for at in 1..=FLAGS_MAX {
        match words.raw_get::<Value>(at)? {
            Value::Nil => return Ok(Some(flags)),
            Value::String(word) if flags.set(&word.as_bytes().to_ascii_lowercase()) => {}
            _ => return Ok(None),
        }
    }
    Ok(None)
}

/// Puts `register` and `is_loading` into the prelude's `host`.
pub(crate) fn functions(lua: &Lua, host: &Table, shared: &Rc<Shared>) -> Result<()> {
    let mine = Rc::clone(shared);
    let is_loading = move |_: &Lua, ()| Ok(mine.registering.borrow().is_some());
    host.raw_set("is_loading", lua.create_function(is_loading)?)?;
    let mine = Rc::clone(shared);
    let register = move |_: &Lua,
                         (name, callback, description, flags): (
        LuaString,
        Function,
        Option<LuaString>,
        Option<Table>,
    )| {
        match &mut *mine.registering.borrow_mut() {
            Some(registering) => {
                // A longer one is refused, and not copied first.
                let most = TEXT_BYTES_MAX + 1;
                let description = description.map(|text| {
                    let text = text.as_bytes();
                    text[..text.len().min(most)].to_vec()
                });
                let name = name.as_bytes();
                registering.register(&name[..name.len().min(most)], callback, description, flags)
            }
            None => Ok(Some("no library is loaded".to_owned())),
        }
    };
    host.raw_set("register", lua.create_function(register)?)?;
    Ok(())
}
