//! The libraries of the cluster at this node: executed once they are applied, so that their functions can be called.
//!
//! ```text
//!  applied libraries ─► those that are new or changed: pending ─► executed, a few ms at a time ─► functions by name
//!                                                                     └─► broken: named in the log, and to who calls
//! ```
//! *Invariant:* what is executed here was executed before by the node that proposed it, and there took no longer than
//! [`TRIAL`]; a library of another kind is ended, and is broken.
//! *Invariant:* between two libraries, others have their turn.

use crate::config::Config;
use crate::data::server_commands::REDIS_VERSION;
use ironcache_control::Libraries as Applied;
use ironcache_keyspace::progress;
use ironcache_script::{Answer, BadLibrary, Ending, Functions, Library, NoScript, Setup, Step};
use ironcache_types::Epoch;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// As long as in Redis a library may take, of a node's only thread. Before it is proposed.
pub(super) const TRIAL: Duration = Duration::from_millis(500);
/// A slower machine, and one that does much else, takes longer over what was proposed.
const EXECUTION: Duration = Duration::from_secs(5);
/// Steps of a thousand instructions, in either: many times what registers all functions that a library may have.
const STEPS_MAX: usize = 2_000;
/// How long libraries are executed before others have their turn.
const TURN: Duration = Duration::from_millis(5);
/// Of all libraries of a cluster. What is kept of each is some hundred bytes.
pub(super) const FUNCTIONS_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct Libraries {
    epoch: Epoch,
    /// Code, by name: what is applied.
    pub(super) code: Arc<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// Their interpreter. It is made when the first library comes, and goes with the last.
    pub(super) interpreter: Option<Functions>,
    pub(super) loaded: BTreeMap<Vec<u8>, Rc<Library>>,
    /// By name in lower case, and where in its library it stands.
    functions: BTreeMap<String, (Rc<Library>, usize)>,
    broken: BTreeMap<Vec<u8>, BadLibrary>,
    pending: BTreeSet<Vec<u8>>,
}

/// Why there is no function of a name. `Display` is the reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoFunction {
    #[error("ERR Function not found")]
    Unknown,
    #[error("ERR Function not found; of library '{library}' this node has none: {why}")]
    PerhapsOf { library: String, why: BadLibrary },
    #[error("TRYAGAIN the libraries of functions are being loaded; nothing was executed")]
    Loading,
}

impl Libraries {
    /// The applied libraries are those that hold from here on.
    pub(super) fn take(&mut self, applied: &Applied) {
        if applied.epoch == self.epoch {
            return;
        }
        let old = std::mem::replace(&mut self.code, Arc::clone(&applied.by_name));
        self.epoch = applied.epoch;
        for name in old.keys().filter(|name| old.get(*name) != self.code.get(*name)) {
            self.pending.remove(name);
            self.broken.remove(name);
            if let Some(library) = self.loaded.remove(name) {
                self.functions.retain(|_, (of, _)| !Rc::ptr_eq(of, &library));
            }
        }
        if self.code.is_empty() {
            // With all garbage of theirs.
            self.interpreter = None;
        }
        self.pending.extend(self.code.keys().filter(|name| old.get(*name) != self.code.get(*name)).cloned());
    }

    #[inline]
    pub(crate) fn is_loading(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Executes what is pending, for a turn at most; nothing while one of their functions runs.
    pub(super) fn load(&mut self, config: &Config, seed: u64) {
        let turn = Instant::now();
        while let Some(name) = self.pending.pop_first() {
            let Some(code) = self.code.get(&name).cloned() else { continue };
            match self.execute(config, seed, &code, EXECUTION) {
                Ok(library) => self.add(name, Rc::new(library)),
                Err(BadLibrary::Busy) => {
                    self.pending.insert(name);
                    return;
                }
                Err(why) => self.set_aside(name, why),
            }
            if turn.elapsed() >= TURN {
                return;
            }
        }
    }

    fn add(&mut self, name: Vec<u8>, library: Rc<Library>) {
        if let Some(other) = self.clash(&library, |_| false) {
            let error = format!("ERR Function {other} already exists");
            return self.set_aside(name, BadLibrary::Registering { error });
        }
        for (at, declared) in library.functions.iter().enumerate() {
            self.functions.insert(declared.name.to_ascii_lowercase(), (Rc::clone(&library), at));
        }
        self.loaded.insert(name, library);
    }

    fn set_aside(&mut self, name: Vec<u8>, why: BadLibrary) {
        let library = String::from_utf8_lossy(&name);
        tracing::error!(%library, %why, "a library of the cluster cannot be loaded here: its functions are not found");
        self.broken.insert(name, why);
    }

    /// Which of the library's functions there is already, in one that stays?
    pub(super) fn clash<'a>(&self, library: &'a Library, goes: impl Fn(&[u8]) -> bool) -> Option<&'a str> {
        let names = library.functions.iter().map(|declared| declared.name.as_str());
        let mut taken = names.filter(|name| {
            let known = self.functions.get(&name.to_ascii_lowercase());
            known.is_some_and(|(of, _)| !goes(of.name.as_bytes()))
        });
        taken.next()
    }

    /// Of the libraries that stay, how many?
    pub(super) fn functions(&self, goes: impl Fn(&[u8]) -> bool) -> usize {
        let stay = self.loaded.iter().filter(|(name, _)| !goes(name));
        stay.map(|(_, library)| library.functions.len()).sum()
    }

    /// Executes a library, which is none of the cluster's yet.
    pub(super) fn execute(
        &mut self,
        config: &Config,
        seed: u64,
        code: &[u8],
        within: Duration,
    ) -> Result<Library, BadLibrary> {
        let interpreter = self.interpreter(config, seed).map_err(|why| match why {
            NoScript::Busy => BadLibrary::Busy,
            NoScript::Memory => BadLibrary::Memory,
            why => BadLibrary::Interpreter { why: why.to_string() },
        })?;
        let (began, mut steps) = (Instant::now(), 0);
        interpreter.load(code, |step| {
            progress::tick();
            if let Step::Log { level, text } = step {
                super::running::log(*level, text);
            }
            steps += 1;
            let is_over = steps >= STEPS_MAX || began.elapsed() >= within;
            if is_over { Answer::End(Ending::LoadTimeout) } else { Answer::GoOn }
        })
    }

    /// `seed` is only for a new one.
    pub(super) fn interpreter(&mut self, config: &Config, seed: u64) -> Result<&mut Functions, NoScript> {
        let memory_bytes_max = usize::try_from(config.script_memory_bytes).unwrap_or(usize::MAX);
        let interpreter = match self.interpreter.take() {
            Some(interpreter) => interpreter,
            None => {
                let seed = (seed >> 32) as u32;
                Functions::new(Setup { memory_bytes_max, redis_version: REDIS_VERSION, seed })?
            }
        };
        let interpreter = self.interpreter.insert(interpreter);
        interpreter.set_memory_bytes_max(memory_bytes_max);
        Ok(interpreter)
    }

    pub(crate) fn has(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    fn get(&self, name: &[u8]) -> Option<&(Rc<Library>, usize)> {
        let name = std::str::from_utf8(name).ok()?;
        self.functions.get(&name.to_ascii_lowercase())
    }

    pub(super) fn find(&self, name: &[u8]) -> Result<(Rc<Library>, usize), NoFunction> {
        if let Some((library, which)) = self.get(name) {
            return Ok((Rc::clone(library), *which));
        }
        if self.is_loading() {
            return Err(NoFunction::Loading);
        }
        Err(match self.broken.first_key_value() {
            None => NoFunction::Unknown,
            Some((library, why)) => NoFunction::PerhapsOf {
                library: String::from_utf8_lossy(library).into_owned(),
                why: why.clone(),
            },
        })
    }

    /// More memory was allowed: what found none before is tried again.
    pub(crate) fn try_again(&mut self) {
        self.pending.extend(std::mem::take(&mut self.broken).into_keys());
    }
}
