//! `FUNCTION LOAD`, `DELETE`, `FLUSH` and `RESTORE`: what is proposed to the log.
//!
//! *Invariant:* a library is proposed once it was executed here, within its bounds, and none of its functions is another
//! library's. That the others have changed meanwhile, the log finds.

use super::libraries::{FUNCTIONS_MAX, Libraries, TRIAL};
use crate::data::orders::{OrderError, Orderer, Outcome};
use crate::data::plane::Plane;
use ironcache_control::{Command, Libraries as Applied};
use ironcache_script::{BadLibrary, Library, library_name};
use ironcache_session::{Known, LibraryOrder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Why libraries are not changed. `Display` is the reply, without its leading `-`.
#[derive(Debug, thiserror::Error)]
pub(in crate::data) enum LibraryError {
    #[error(transparent)]
    Bad(#[from] BadLibrary),
    #[error("ERR Library '{name}' already exists")]
    Exists { name: String },
    /// As `FUNCTION RESTORE` words it.
    #[error("ERR Library {name} already exists")]
    RestoredExists { name: String },
    #[error("ERR Function {name} already exists")]
    FunctionExists { name: String },
    #[error("ERR Library not found")]
    NotFound,
    #[error(
        "ERR a cluster has {} libraries of {} bytes and {FUNCTIONS_MAX} functions at most",
        Applied::COUNT_MAX,
        Applied::BYTES_MAX
    )]
    TooMany,
    #[error("ERR not enough memory: libraries take half of script-memory-bytes at most")]
    Memory,
}

/// Has it done.
pub(in crate::data) async fn order(orderer: Orderer<'_>, order: LibraryOrder) -> Result<Outcome, OrderError> {
    // Which functions there are is known once all are executed.
    orderer.applied(|plane| !plane.scripts.libraries.is_loading()).await;
    let outcome = match order {
        LibraryOrder::Load { code, known } => {
            let name = library_name(&code).map_err(LibraryError::from)?;
            let all = Change::new(vec![(name.clone(), code)], known, Worded::Load);
            take(orderer, all).await?;
            Outcome::Loaded(name)
        }
        LibraryOrder::Restore { libraries, known } => {
            if libraries.len() > Applied::COUNT_MAX {
                return Err(LibraryError::TooMany.into());
            }
            let mut named = Vec::with_capacity(libraries.len());
            for code in libraries {
                let name = library_name(&code).map_err(LibraryError::from)?;
                if named.iter().any(|(other, _)| *other == name) {
                    return Err(LibraryError::Exists { name }.into());
                }
                named.push((name, code));
            }
            take(orderer, Change::new(named, known, Worded::Restore)).await?;
            Outcome::Done
        }
        LibraryOrder::Delete { name } => {
            let work_out = |plane: &Plane| {
                if !plane.scripts.libraries.code.contains_key(&name) {
                    return Err(LibraryError::NotFound);
                }
                let deleted = BTreeSet::from([name.clone()]);
                Ok(Some(command(plane, orderer.by, BTreeMap::new(), deleted)))
            };
            orderer.change(work_out).await?;
            Outcome::Done
        }
        LibraryOrder::Flush => {
            let work_out = |plane: &Plane| {
                let deleted: BTreeSet<_> = plane.scripts.libraries.code.keys().cloned().collect();
                let command = || command(plane, orderer.by, BTreeMap::new(), deleted.clone());
                Ok::<_, LibraryError>((!deleted.is_empty()).then(command))
            };
            orderer.change(work_out).await?;
            Outcome::Done
        }
    };
    // Whoever asks next finds them.
    orderer.applied(|plane| !plane.scripts.libraries.is_loading()).await;
    Ok(outcome)
}

fn command(plane: &Plane, by: &[u8], set: BTreeMap<Vec<u8>, Vec<u8>>, deleted: BTreeSet<Vec<u8>>) -> Command {
    let seen = plane.view.state.libraries.epoch;
    Command::ChangeLibraries { seen, by: by.to_vec(), set, deleted }
}

/// Libraries that are to be there.
struct Change {
    /// Name and code.
    named: Vec<(String, Vec<u8>)>,
    known: Known,
    worded: Worded,
}

/// In the words of which command it is refused.
#[derive(Clone, Copy)]
enum Worded {
    Load,
    Restore,
}

impl Change {
    fn new(named: Vec<(String, Vec<u8>)>, known: Known, worded: Worded) -> Self {
        Self { named, known, worded }
    }

    /// Is that one of those that are there now, and will not be?
    fn goes(&self, name: &[u8]) -> bool {
        self.known == Known::Flushed || self.named.iter().any(|(new, _)| new.as_bytes() == name)
    }

    /// Those that are not there with that very code: a tool loads the same at each primary of a cluster.
    fn new_ones<'a>(&'a self, libraries: &'a Libraries) -> impl Iterator<Item = &'a (String, Vec<u8>)> {
        self.named.iter().filter(|(name, code)| libraries.code.get(name.as_bytes()) != Some(code))
    }

    fn check_names(&self, libraries: &Libraries) -> Result<(), LibraryError> {
        if self.known != Known::Stay {
            return Ok(());
        }
        let taken = |(name, _): &&(String, Vec<u8>)| libraries.code.contains_key(name.as_bytes());
        let taken = self.new_ones(libraries).find(taken);
        taken.map_or(Ok(()), |(name, _)| {
            let name = name.clone();
            Err(match self.worded {
                Worded::Load => LibraryError::Exists { name },
                Worded::Restore => LibraryError::RestoredExists { name },
            })
        })
    }

    /// None of their functions is one of a library that stays.
    fn check_functions(&self, executed: &[Library], libraries: &Libraries) -> Result<(), LibraryError> {
        let mut count = libraries.functions(|name| self.goes(name));
        let mut names = BTreeSet::new();
        for library in executed {
            if let Some(name) = libraries.clash(library, |name| self.goes(name)) {
                return Err(LibraryError::FunctionExists { name: name.to_owned() });
            }
            for declared in &library.functions {
                if !names.insert(declared.name.to_ascii_lowercase()) {
                    return Err(LibraryError::FunctionExists { name: declared.name.clone() });
                }
            }
            count += library.functions.len();
        }
        if count > FUNCTIONS_MAX { Err(LibraryError::TooMany) } else { Ok(()) }
    }

    /// What the log is asked for; `None` if all is so.
    fn work_out(
        &self,
        plane: &Plane,
        executed: &[Library],
        by: &[u8],
    ) -> Result<Option<Command>, LibraryError> {
        let libraries = &plane.scripts.libraries;
        self.check_names(libraries)?;
        self.check_functions(executed, libraries)?;
        let set: BTreeMap<_, _> =
            self.new_ones(libraries).map(|(name, code)| (name.clone().into_bytes(), code.clone())).collect();
        let stays = |name: &[u8]| self.named.iter().any(|(new, _)| new.as_bytes() == name);
        let deleted: BTreeSet<_> = match self.known {
            Known::Flushed => libraries.code.keys().filter(|name| !stays(name)).cloned().collect(),
            Known::Stay | Known::Replaced => BTreeSet::new(),
        };
        let is_some = !set.is_empty() || !deleted.is_empty();
        Ok(is_some.then(|| command(plane, by, set, deleted)))
    }
}

/// Executes them here, and has the log take them.
async fn take(orderer: Orderer<'_>, change: Change) -> Result<(), OrderError> {
    let mut executed = Vec::with_capacity(change.named.len());
    for (_, code) in &change.named {
        {
            let mut plane = orderer.node.plane.borrow_mut();
            // As in Redis, before it is executed.
            change.check_names(&plane.scripts.libraries)?;
            let (config, seed) = (Arc::clone(&plane.config), plane.random());
            let libraries = &mut plane.scripts.libraries;
            executed.push(libraries.execute(&config, seed, code, TRIAL).map_err(LibraryError::from)?);
            let interpreter = libraries.interpreter.as_mut();
            if interpreter.is_some_and(|interpreter| interpreter.is_crowded()) {
                return Err(LibraryError::Memory.into());
            }
        }
        // Others have their turn.
        tokio::task::yield_now().await;
    }
    orderer.change(|plane| change.work_out(plane, &executed, orderer.by)).await
}
