//! A model of the launcher: which binary runs, and what became of the last step. It survives its daemon.

use crate::scenario::old;
use ironcache_agent::{LauncherFacts, LauncherPhase, StepOutcome, StepResult};
use ironcache_control::Reason;
use ironcache_types::{Epoch, Release};

#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    pub active: Release,
    pub facts: LauncherFacts,
    /// A trial of it ended by the release's fault.
    pub has_blamed: bool,
    trial: Option<Trial>,
}

#[derive(Clone, Debug)]
struct Trial {
    step: Epoch,
    previous: Release,
    failures: u32,
    deadline_ms: u64,
}

const ATTEMPTS: u32 = 3;
const TRIAL_MS: u64 = 4_000;

impl Launcher {
    pub(crate) fn new() -> Self {
        let facts = LauncherFacts { phase: LauncherPhase::Idle, ..LauncherFacts::default() };
        Launcher { active: old(), facts, has_blamed: false, trial: None }
    }

    /// The daemon asks for a new binary. The caller ends the daemon if it is granted.
    pub(crate) fn activate(&mut self, step: Epoch, target: Release, now_ms: u64) -> bool {
        if self.trial.is_some() || step <= self.facts.last_done {
            return false;
        }
        let previous = std::mem::replace(&mut self.active, target);
        self.trial = Some(Trial { step, previous, failures: 0, deadline_ms: now_ms + TRIAL_MS });
        self.facts.phase = LauncherPhase::Trial { step };
        true
    }

    pub(crate) fn confirm(&mut self, step: Epoch) {
        if self.trial.as_ref().is_some_and(|t| t.step == step) {
            self.trial = None;
            self.end(step, StepResult::Done);
        }
    }

    /// The daemon ended by itself. Answers whether the old binary is back.
    pub(crate) fn daemon_died(&mut self) -> bool {
        let Some(trial) = &mut self.trial else { return false };
        trial.failures += 1;
        trial.failures >= ATTEMPTS
            && self.roll_back(StepResult::Failed {
                reason: Reason::new("exit", format!("{ATTEMPTS} starts failed")),
            })
    }

    pub(crate) fn abandon(&mut self, step: Epoch, reason: String) -> bool {
        self.trial.as_ref().is_some_and(|t| t.step == step)
            && self.roll_back(StepResult::Inconclusive { reason: Reason::new("abandoned", reason) })
    }

    /// A trial that nobody accepted in time says nothing about the release.
    pub(crate) fn tick(&mut self, now_ms: u64) -> bool {
        let late = self.trial.as_ref().is_some_and(|t| now_ms > t.deadline_ms);
        late && self
            .roll_back(StepResult::Inconclusive { reason: Reason::new("deadline", "not accepted in time") })
    }

    pub(crate) fn is_on_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Is the end of a trial's time near?
    pub(crate) fn is_nearly_over(&self, now_ms: u64) -> bool {
        self.trial.as_ref().is_some_and(|t| now_ms + TRIAL_MS / 4 > t.deadline_ms)
    }

    /// Answers true: the daemon has to be started anew.
    fn roll_back(&mut self, result: StepResult) -> bool {
        if let Some(trial) = self.trial.take() {
            self.active = trial.previous;
            self.end(trial.step, result);
        }
        true
    }

    fn end(&mut self, step: Epoch, result: StepResult) {
        self.has_blamed |= matches!(result, StepResult::Failed { .. });
        self.facts.phase = LauncherPhase::Idle;
        self.facts.last_done = step;
        self.facts.last_outcome = Some(StepOutcome { step, result });
    }
}
