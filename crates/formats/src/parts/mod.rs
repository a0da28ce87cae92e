//! What entries, state and RPCs are made of alike.

mod live;
pub(crate) mod v1;

pub(crate) use live::{slot_set, slots};

use crate::BadField;
use ironcache_types::Version;

/// A version is text in every format: the type's own layout belongs to a foreign crate.
pub(crate) fn version(text: &str) -> Result<Version, BadField> {
    Version::parse(text).map_err(|_| BadField { what: "a version", found: text.to_owned() })
}

/// Converts one by one; the first that cannot be is the error.
pub(crate) fn all<T, U: TryFrom<T>, C: FromIterator<U>>(
    items: impl IntoIterator<Item = T>,
) -> Result<C, U::Error> {
    items.into_iter().map(U::try_from).collect()
}

/// Converts one by one.
pub(crate) fn each<T, U: From<T>, C: FromIterator<U>>(items: impl IntoIterator<Item = T>) -> C {
    items.into_iter().map(U::from).collect()
}
