//! The commands that rules may name: what each is called, where its bit is, and its categories.
//!
//! *Invariant:* every command of the command table is in it, and every one of redis 7.0.15; a container comes before its
//! subcommands.

use crate::named::NAMED;
use ironcache_command::{find, subcommands, table};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// In the order in which `ACL CAT` tells them.
const CATEGORIES: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// A set of categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Categories(u32);

/// One command or subcommand.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// In lower case; of a subcommand behind its command and a `|`.
    pub name: &'static str,
    pub categories: Categories,
    /// Its subcommands; empty for a command that has none.
    pub subcommands: Vec<usize>,
    pub is_subcommand: bool,
}

pub(crate) struct Catalogue {
    /// A bit each, in this order.
    pub entries: Vec<Entry>,
    by_name: BTreeMap<&'static str, usize>,
}

/// The names of the categories.
pub fn category_names() -> &'static [&'static str] {
    &CATEGORIES
}

/// What there is here of a category, by name: commands, and of containers the subcommands. `None`: there is no such category.
pub fn commands_in(category: &[u8]) -> Option<Vec<&'static str>> {
    let category = Categories::named(category)?;
    let exists = |entry: &&Entry| find(entry.name.as_bytes()).is_some() || is_of_one_row(entry);
    let here = catalogue().entries.iter().filter(exists).filter(|entry| entry.categories.meets(category));
    Some(here.map(|entry| entry.name).collect())
}

/// A subcommand of a command that has one row in the command table for all of them, as `XGROUP` has.
fn is_of_one_row(entry: &Entry) -> bool {
    let command = entry.name.split_once('|').and_then(|(command, _)| find(command.as_bytes()));
    command.is_some_and(|spec| !spec.is_container)
}

pub(crate) fn catalogue() -> &'static Catalogue {
    static CATALOGUE: OnceLock<Catalogue> = OnceLock::new();
    CATALOGUE.get_or_init(Catalogue::new)
}

impl Categories {
    /// Of one name, without its `@`.
    pub(crate) fn named(name: &[u8]) -> Option<Categories> {
        let at = CATEGORIES.iter().position(|known| name.eq_ignore_ascii_case(known.as_bytes()))?;
        Some(Categories(1 << at))
    }

    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Categories {
        Categories(
            names.filter_map(|name| Categories::named(name.as_bytes())).fold(0, |all, one| all | one.0),
        )
    }

    pub(crate) fn meets(self, other: Categories) -> bool {
        self.0 & other.0 != 0
    }

    /// Of a set of one.
    pub(crate) fn name(self) -> &'static str {
        CATEGORIES.get(self.0.trailing_zeros() as usize).copied().unwrap_or_default()
    }
}

impl Catalogue {
    fn new() -> Self {
        let of_redis = NAMED.iter().flat_map(|(categories, names)| {
            let categories = Categories::of(categories.split(' '));
            names.split(' ').map(move |name| (name, categories))
        });
        let mut categories: BTreeMap<&'static str, Categories> = of_redis.collect();
        for spec in table().iter().chain(table().iter().flat_map(subcommands)) {
            let said = || Categories::of(spec.categories().map(|name| name.trim_start_matches('@')));
            categories.entry(spec.name).or_insert_with(said);
        }
        // By name, a container stands before its subcommands.
        let by_name: BTreeMap<&'static str, usize> =
            categories.keys().enumerate().map(|(id, name)| (*name, id)).collect();
        let entries = categories.iter().map(|(name, categories)| {
            let below = format!("{name}|");
            let subcommands = by_name.iter().filter(|(other, _)| other.starts_with(&below));
            Entry {
                name,
                categories: *categories,
                subcommands: subcommands.map(|(_, id)| *id).collect(),
                is_subcommand: name.contains('|'),
            }
        });
        Self { entries: entries.collect(), by_name: by_name.clone() }
    }

    /// By a name in any case.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?;
        match self.by_name.get(name) {
            Some(id) => Some(*id),
            None => self.by_name.get(name.to_ascii_lowercase().as_str()).copied(),
        }
    }

    /// What is executed by `args` of the command `name`: its subcommand, if the command has one of that name.
    pub(crate) fn executed(&self, name: &str, args: &[&[u8]]) -> Option<usize> {
        let command = *self.by_name.get(name)?;
        let subcommands = &self.entries[command].subcommands;
        let asked = args.get(1).filter(|_| !subcommands.is_empty())?;
        let is_asked = |id: &&usize| {
            let (_, sub) = self.entries[**id].name.split_once('|').unwrap_or_default();
            asked.eq_ignore_ascii_case(sub.as_bytes())
        };
        subcommands.iter().find(is_asked).copied()
    }

    /// The command itself.
    pub(crate) fn command(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The names of the commands, of no subcommand: for whoever tries all of them.
    #[cfg(test)]
    fn commands(&self) -> std::collections::BTreeSet<&'static str> {
        self.entries.iter().filter(|entry| !entry.is_subcommand).map(|entry| entry.name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_the_table_is_in_it_and_so_is_what_only_redis_has() {
        let known = catalogue().commands();
        for spec in table() {
            assert!(known.contains(spec.name), "{}", spec.name);
        }
        for name in ["debug", "migrate", "psync", "xgroup", "acl"] {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn what_the_table_says_of_categories_is_what_redis_says() {
        for spec in table().iter().chain(table().iter().flat_map(subcommands)) {
            let Some(id) = catalogue().command(spec.name) else { panic!("{}", spec.name) };
            let entry = &catalogue().entries[id];
            let said = Categories::of(spec.categories().map(|name| name.trim_start_matches('@')));
            // One row for all of its subcommands is in the categories of each of them.
            let of_subcommands = entry.subcommands.iter().map(|id| catalogue().entries[*id].categories.0);
            let one_row = !spec.is_container && !entry.subcommands.is_empty();
            let told = if one_row {
                Categories(of_subcommands.fold(0, |all, one| all | one))
            } else {
                entry.categories
            };
            assert_eq!(said, told, "{}", spec.name);
        }
    }

    #[test]
    fn a_category_lists_what_there_is_here() {
        let hash = commands_in(b"HASH").unwrap();
        assert!(hash.contains(&"hget") && !hash.contains(&"get"), "{hash:?}");
        let dangerous = commands_in(b"dangerous").unwrap();
        assert!(dangerous.contains(&"config|set") && dangerous.contains(&"keys"), "{dangerous:?}");
        assert!(!dangerous.contains(&"psync"), "there is none here");
        let stream = commands_in(b"stream").unwrap();
        assert!(stream.contains(&"xgroup|create") && stream.contains(&"xadd"), "{stream:?}");
        assert_eq!(commands_in(b"nonsense"), None);
    }
}
