//! What a client tells of itself.
//!
//! *Invariant:* it is replaced, never changed: whoever shows it sees by the pointer alone whether it is another one.

/// Empty is not told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub lib_name: String,
    pub lib_version: String,
}

/// Text without spaces and control characters.
pub(crate) fn printable(text: &[u8]) -> Option<String> {
    text.iter().all(|b| (b'!'..=b'~').contains(b)).then(|| String::from_utf8_lossy(text).into_owned())
}
