//! The first line of a script, if it is `#!lua flags=…`: what it says of itself.

/// What a script may do. Redis' defaults of a script without a first line are `Flags::COMPAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub no_writes: bool,
    pub allow_oom: bool,
    pub allow_stale: bool,
    pub no_cluster: bool,
    pub allow_cross_slot_keys: bool,
    /// It has no first line, and so has said nothing.
    pub undeclared: bool,
}

impl Flags {
    pub(crate) const COMPAT: Flags = Flags {
        no_writes: false,
        allow_oom: false,
        allow_stale: false,
        no_cluster: false,
        allow_cross_slot_keys: true,
        undeclared: true,
    };

    /// Sets the one of this name, if there is one.
    pub(crate) fn set(&mut self, name: &[u8]) -> bool {
        let flag = match name {
            b"no-writes" => &mut self.no_writes,
            b"allow-oom" => &mut self.allow_oom,
            b"allow-stale" => &mut self.allow_stale,
            b"no-cluster" => &mut self.no_cluster,
            b"allow-cross-slot-keys" => &mut self.allow_cross_slot_keys,
            _ => return false,
        };
        *flag = true;
        true
    }

    /// The names of those that are set, in the order of `FUNCTION LIST`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let Self { no_writes, allow_oom, allow_stale, no_cluster, allow_cross_slot_keys, undeclared: _ } =
            self;
        [
            ("no-writes", no_writes),
            ("allow-oom", allow_oom),
            ("allow-stale", allow_stale),
            ("no-cluster", no_cluster),
            ("allow-cross-slot-keys", allow_cross_slot_keys),
        ]
        .into_iter()
        .filter_map(|(name, is_set)| is_set.then_some(name))
    }
}

/// Why a first line is refused; `Display` is the reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShebang {
    #[error("ERR Invalid script shebang")]
    NoEnd,
    #[error("ERR Invalid engine in script shebang")]
    NoEngine,
    #[error("ERR Unexpected engine in script shebang: {engine}")]
    Engine { engine: String },
    #[error("ERR Unknown lua shebang option: {option}")]
    Option { option: String },
    #[error("ERR Unexpected flag in script shebang: {flag}")]
    Flag { flag: String },
}

/// What a script says of itself, and what there is to be compiled: the first line is left out, its end is not, so that lines
/// are counted from it.
pub(crate) fn read(body: &[u8]) -> Result<(Flags, &[u8]), BadShebang> {
    if !body.starts_with(b"#!") {
        return Ok((Flags::COMPAT, body));
    }
    let end = body.iter().position(|byte| *byte == b'\n').ok_or(BadShebang::NoEnd)?;
    let line = String::from_utf8_lossy(&body[..end]).into_owned();
    let mut words = line.split_ascii_whitespace();
    match words.next() {
        Some("#!lua") => {}
        Some(engine) => return Err(BadShebang::Engine { engine: engine.to_owned() }),
        None => return Err(BadShebang::NoEngine),
    }
    let mut flags = Flags::default();
    for option in words {
        let Some(list) = option.strip_prefix("flags=") else {
            return Err(BadShebang::Option { option: option.to_owned() });
        };
        for flag in list.split(',').filter(|_| !list.is_empty()) {
            if !flags.set(flag.as_bytes()) {
                return Err(BadShebang::Flag { flag: flag.to_owned() });
            }
        }
    }
    Ok((flags, &body[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_it_does() {
        assert_eq!(read(b"return 1"), Ok((Flags::COMPAT, &b"return 1"[..])));
        let (flags, rest) = read(b"#!lua flags=no-writes,allow-oom\nreturn 1").unwrap();
        assert_eq!(flags, Flags { no_writes: true, allow_oom: true, ..Flags::default() });
        assert_eq!(rest, b"\nreturn 1");
        assert_eq!(read(b"#!lua\n").unwrap().0, Flags::default());
        assert_eq!(read(b"#!lua flags=\n").unwrap().0, Flags::default());
        assert_eq!(
            read(b"#!lua flags=no-writes,\n").unwrap_err().to_string(),
            "ERR Unexpected flag in script shebang: "
        );
        assert_eq!(read(b"#!lua").unwrap_err(), BadShebang::NoEnd);
        assert_eq!(
            read(b"#!luax\n").unwrap_err().to_string(),
            "ERR Unexpected engine in script shebang: #!luax"
        );
        assert_eq!(
            read(b"#!lua name=x\n").unwrap_err().to_string(),
            "ERR Unknown lua shebang option: name=x"
        );
        assert_eq!(
            read(b"#!lua flags=foo\n").unwrap_err().to_string(),
            "ERR Unexpected flag in script shebang: foo"
        );
    }
}
