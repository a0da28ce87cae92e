//! Would a release start on this node as it is configured now? Its own binary is asked, unstarted, with the arguments and
//! the environment that this daemon was given.

use crate::background;
use ironcache_control::Reason;
use ironcache_spine::{PREFLIGHT_TIMEOUT, PreflightOf, Problem, ProblemCode, SlotStore, preflight};
use ironcache_types::{Digest, WireRange, chain};
use std::ffi::OsString;
use std::sync::Arc;

/// What became of a question.
pub(crate) enum Asked {
    /// What stands against starting the release, if anything does: the first problem in full, and how many there are.
    Answered(Option<Reason>),
    /// The slot holds something else than what was verified once: the artifact has to be fetched anew.
    SlotUnusable(String),
}

pub(crate) async fn ask(slots: Arc<SlotStore>, digest: Digest, launcher_protocol: WireRange) -> Asked {
    // After the verb: what the launcher passes to every daemon of this node.
    let args: Vec<OsString> = std::env::args_os().skip(2).collect();
    let asked = background::run(move || {
        let binary = slots.open_unchanged(&digest).map_err(|error| chain(&error))?;
        let of = PreflightOf { launcher_protocol, args: &args, env: &[], timeout: PREFLIGHT_TIMEOUT };
        Ok(preflight(&binary, &of).unwrap_or_else(|error| vec![Problem::from(&error)]))
    });
    match asked.await {
        Ok(Ok(problems)) => Asked::Answered(reason(problems)),
        Ok(Err(slot)) => Asked::SlotUnusable(slot),
        Err(error) => {
            let problem = Problem::new(ProblemCode::PreflightFailed, None, chain(&error));
            Asked::Answered(reason(vec![problem]))
        }
    }
}

fn reason(problems: Vec<Problem>) -> Option<Reason> {
    let others = problems.len().saturating_sub(1);
    let Problem { code, key, detail } = problems.into_iter().next()?;
    let mut text = match key {
        Some(key) => format!("{key}: {detail}"),
        None => detail,
    };
    if others > 0 {
        text.push_str(&format!(" (and {others} more)"));
    }
    Some(Reason::new(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_is_at_fault_is_named_and_the_rest_counted() {
        assert_eq!(reason(Vec::new()), None);
        let problem =
            |key: &str| Problem::new(ProblemCode::Configuration, Some(key.to_owned()), "unknown key");
        let two = reason(vec![problem("next-key"), problem("other")]);
        assert_eq!(two, Some(Reason::new("configuration", "next-key: unknown key (and 1 more)")));
    }
}
