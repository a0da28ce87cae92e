//! What launcher and daemon say to each other: one JSON object a line, over a socket pair.
//!
//! ```text
//!   daemon                                     launcher
//!     Hello{protocol} ────────────────────────>
//!                     <──────────────────────── Hello{protocol, snapshot}
//!     Ready, then Heartbeat… ─────────────────>
//!     Activate{digest, step} ─────────────────> slot verified, trial durable
//!                     <──────────────────────── Activating, Stop{activate}
//!     Heartbeat… with more work each ────────>  (its time begins anew)
//!     (drains, exits 0; the launcher starts the new release)
//!     Confirm{step} ──────────────────────────> idle durable
//!                     <──────────────────────── Confirmed
//! ```
//!
//! The version is one number for all that launchers and daemons of different releases share: these messages, the inherited
//! descriptors and variables, arguments and exit codes, the JSON in `state`, and what one launcher leaves to another.
//!
//! Frozen for ever, read leniently: the daemon's Hello is a JSON object whose `type` is `hello` and whose `protocol` is
//! `{"min":…,"max":…}`; a launcher that speaks none of those versions answers an object whose `type` is `refused`. Other
//! members of the two are ignored. All other messages are strict within the agreed version: a member or word that it does
//! not have is refused. Who adds one adds a version, and sends it only where that was agreed on.
//!
//! *Invariant:* the first message names the versions that its sender speaks; launcher and daemon are often of different
//! releases.
//! *Invariant:* a message that is not understood is refused, never ignored.
//! *Invariant:* a deadline runs only while nothing advances: what the daemon does tells in numbers that only grow, and
//! who waits for it counts from their last change.
//! *Invariant:* a daemon that has no version in common with its launcher ends with an exit code of its own, and nobody is
//! blamed for it.

use crate::outcome::StepRef;
use crate::state::{IllegalTransition, State};
use ironcache_types::{Digest, Level, LevelRange, Release, WireRange};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The newest protocol version of this source; that of the feature `next` is the one above.
const NEWEST: u16 = 1;

/// The protocol versions that this build speaks.
pub const LAUNCHER_PROTOCOL: WireRange =
    WireRange { min: 1, max: if cfg!(feature = "next") { NEWEST + 1 } else { NEWEST } };

/// No message comes near it; without a limit a broken daemon fills the launcher's memory.
pub(crate) const MESSAGE_BYTES_MAX: usize = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToLauncher {
    /// The first message: the protocol versions that the daemon speaks.
    Hello { protocol: WireRange },
    /// Local health is good and clients are served.
    Ready {},
    /// Sent every [`heartbeat_ms`](crate::LauncherLimits::heartbeat_ms), by a thread that is not the one it tells of.
    Heartbeat {
        /// Grows with every command, and inside long ones: a daemon whose ticks stand still hangs.
        ticks: u64,
        /// What was read, received or written on the way to `Ready`, to a confirmation, or to the end: it grows as long
        /// as that advances. Idle it stands still.
        work_bytes: u64,
    },
    /// Run another release: the daemon already holds no role, and the step is committed.
    Activate { digest: Digest, step: StepRef, confirm_timeout_ms: u64 },
    /// The log confirmed the release on trial.
    Confirm { step: StepRef },
    /// The trial cannot be judged, because the node is isolated say: back to the old release.
    Abandon { step: StepRef, reason: String },
    /// Answered by `State`.
    QueryState {},
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ToDaemon {
    /// Answers the daemon's Hello: the version both will speak.
    Hello {
        protocol: u16,
        snapshot: Snapshot,
    },
    State {
        snapshot: Snapshot,
    },
    /// Drain and exit with code 0 within `deadline_ms` of the last advance; then SIGTERM, and at last SIGKILL follow.
    /// Sent a second time it ends what keeps the daemon, a disk without room say; what advances goes on to its end.
    Stop {
        reason: StopReason,
        deadline_ms: u64,
    },
    /// The trial is durable; `Stop` follows.
    Activating {
        step: StepRef,
    },
    Confirmed {
        step: StepRef,
    },
    /// The request had no effect.
    Refused {
        request: Request,
        reason: Refusal,
    },
    /// Since version 2, right after Hello: the launcher's process.
    #[cfg(feature = "next")]
    Launcher {
        pid: u32,
    },
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    Hello {},
    Activate {
        step: StepRef,
    },
    Confirm {
        step: StepRef,
    },
    Abandon {
        step: StepRef,
    },
    /// A message that was not understood.
    Unknown {},
}

/// What the daemon is told about its node's binaries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// The release that the daemon was started from.
    pub running: Release,
    /// With `last_outcome`, which a restarted daemon reports to the log.
    pub state: State,
    /// Why upgrades are refused, for as long as they are.
    pub degraded: Option<String>,
    /// How often this daemon must be heard of, in milliseconds, by this launcher's limits.
    pub heartbeat_ms: u64,
    /// What this launcher speaks: the next release has to have one of these versions.
    pub launcher_protocol: WireRange,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The operator stops the node.
    Operator,
    /// Another release takes over.
    Activate,
    /// The release on trial is left.
    RollBack,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "refused", rename_all = "snake_case", deny_unknown_fields)]
pub enum Refusal {
    #[error(transparent)]
    Illegal { why: IllegalTransition },
    #[error("the release cannot be run: {problem}")]
    SlotUnusable { digest: Digest, problem: String },
    #[error("the node is at level {level}, and the release admits {admits}")]
    Level { level: Level, admits: LevelRange },
    #[error("{why}")]
    Degraded { why: String },
    #[error("the node is stopping")]
    Stopping {},
    #[error("the state could not be made durable, so nothing was done: {problem}")]
    StateNotWritten { problem: String },
    #[error(
        "launcher protocol {theirs} is spoken by the daemon, and {ours} by the launcher: upgrade to a release in between first"
    )]
    Protocol { theirs: WireRange, ours: WireRange },
    #[error("the message was not understood: {problem}")]
    NotUnderstood { problem: String },
}

#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("a message of {len_bytes} bytes is longer than the {MESSAGE_BYTES_MAX} allowed")]
    TooLong { len_bytes: usize },
    #[error("a message is not one of the launcher protocol")]
    NotUnderstood(#[source] serde_json::Error),
}

/// The message as one line, its newline included.
pub(crate) fn encode(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).expect("messages have only string keys and finite numbers");
    line.push(b'\n');
    line
}

/// Reads one line, without its newline.
pub(crate) fn decode<M: DeserializeOwned>(line: &[u8]) -> Result<M, MessageError> {
    serde_json::from_slice(line).map_err(MessageError::NotUnderstood)
}

/// The versions that a daemon of any release greets with; `None` if the line is no Hello.
pub(crate) fn decode_hello(line: &[u8]) -> Option<WireRange> {
    #[derive(Deserialize)]
    struct Hello {
        r#type: String,
        protocol: WireRange,
    }
    serde_json::from_slice(line)
        .ok()
        .filter(|hello: &Hello| hello.r#type == "hello")
        .map(|hello| hello.protocol)
}

/// Is this, in the words of any release, a refusal?
pub(crate) fn is_refusal(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        r#type: String,
    }
    serde_json::from_slice(line).is_ok_and(|typed: Typed| typed.r#type == "refused")
}

/// The version that both speak, the newest one if several.
pub(crate) fn agree(theirs: WireRange, ours: WireRange) -> Option<u16> {
    let newest = theirs.max.min(ours.max);
    (newest >= theirs.min.max(ours.min)).then_some(newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;
    use crate::state::Event;
    use ironcache_types::{Epoch, PlanId, Version};

    fn release(n: u8) -> Release {
        Release { version: Version::new(0, n.into(), 0), digest: Digest([n; 32]) }
    }

    const STEP: StepRef = StepRef { plan: PlanId(3), epoch: Epoch(41) };

    fn to_launcher() -> Vec<ToLauncher> {
        vec![
            ToLauncher::Hello { protocol: WireRange { min: 1, max: 1 } },
            ToLauncher::Ready {},
            ToLauncher::Heartbeat { ticks: 41, work_bytes: 7_516_192_768 },
            ToLauncher::Activate { digest: release(2).digest, step: STEP, confirm_timeout_ms: 60_000 },
            ToLauncher::Confirm { step: STEP },
            ToLauncher::Abandon { step: STEP, reason: "no quorum in reach".into() },
            ToLauncher::QueryState {},
        ]
    }

    fn to_daemon() -> Vec<ToDaemon> {
        let activate =
            Event::Activate { release: release(2), step: STEP, attempts_max: 1, confirm_timeout_ms: 60_000 };
        let failed = Event::AttemptFailed { failure: Failure::Killed { signal: 9 } };
        let starts = Event::AttemptStarts { now_unix_ms: 1_700_000_000_000 };
        let trial = State::new(release(1)).on(&activate).unwrap();
        let back = trial.on(&starts).unwrap().on(&failed).unwrap();
        let snapshot = |state: State| Snapshot {
            running: state.to_run().clone(),
            state,
            degraded: None,
            heartbeat_ms: 200,
            launcher_protocol: WireRange { min: 1, max: 1 },
        };
        let refused = |reason| ToDaemon::Refused { request: Request::Activate { step: STEP }, reason };
        let refusal_of = |request| ToDaemon::Refused { request, reason: Refusal::Stopping {} };
        let given_up =
            trial.on(&starts).unwrap().on(&Event::DeadlineMissed).unwrap().on(&Event::OldStarted).unwrap();
        vec![
            ToDaemon::Hello { protocol: 1, snapshot: snapshot(State::new(release(1))) },
            ToDaemon::State { snapshot: snapshot(trial.clone()) },
            ToDaemon::State { snapshot: snapshot(back) },
            ToDaemon::State { snapshot: snapshot(given_up) },
            ToDaemon::Stop { reason: StopReason::Operator, deadline_ms: 5000 },
            ToDaemon::Stop { reason: StopReason::Activate, deadline_ms: 5000 },
            ToDaemon::Stop { reason: StopReason::RollBack, deadline_ms: 5000 },
            ToDaemon::Activating { step: STEP },
            ToDaemon::Confirmed { step: STEP },
            refused(Refusal::Illegal { why: trial.on(&activate).unwrap_err() }),
            refused(Refusal::SlotUnusable { digest: release(2).digest, problem: "altered".into() }),
            refused(Refusal::Level { level: Level(3), admits: LevelRange::new(1, 2) }),
            refused(Refusal::Degraded { why: "the state file was corrupt".into() }),
            refused(Refusal::Stopping {}),
            refused(Refusal::StateNotWritten { problem: "no space".into() }),
            refused(Refusal::Protocol {
                theirs: WireRange { min: 2, max: 3 },
                ours: WireRange { min: 1, max: 1 },
            }),
            refused(Refusal::NotUnderstood { problem: "unknown variant".into() }),
            refusal_of(Request::Hello {}),
            refusal_of(Request::Confirm { step: STEP }),
            refusal_of(Request::Abandon { step: STEP }),
            refusal_of(Request::Unknown {}),
        ]
    }

    fn lines(messages: &[impl Serialize]) -> String {
        messages.iter().map(|m| String::from_utf8(encode(m)).unwrap()).collect()
    }

    /// These files never change: a launcher of this release meets daemons of the next one.
    #[test]
    fn the_first_version_stays_as_it_is() {
        assert_eq!(lines(&to_launcher()), include_str!("../tests/golden/to-launcher-1"));
        assert_eq!(lines(&to_daemon()), include_str!("../tests/golden/to-daemon-1"));
    }

    #[test]
    fn what_is_sent_is_received() {
        for message in to_launcher() {
            assert_eq!(decode::<ToLauncher>(encode(&message).trim_ascii_end()).unwrap(), message);
        }
        for message in to_daemon() {
            assert_eq!(decode::<ToDaemon>(encode(&message).trim_ascii_end()).unwrap(), message);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let lines: [&[u8]; 6] = [
            b"",
            b"ready",
            b"{\"type\":\"reboot\"}",
            b"{\"type\":\"ready\",\"at\":1}",
            b"{\"type\":\"activate\",\"digest\":\"00\"}",
            b"\xff\xfe",
        ];
        for line in lines {
            assert!(decode::<ToLauncher>(line).is_err(), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn a_hello_and_a_refusal_of_any_release_are_understood() {
        let future = br#"{"type":"hello","protocol":{"min":2,"max":5,"odd":true},"zone":"north"}"#;
        assert_eq!(decode_hello(future), Some(WireRange { min: 2, max: 5 }));
        assert_eq!(decode_hello(b"{\"type\":\"ready\",\"protocol\":{\"min\":2,\"max\":5}}"), None);
        assert!(is_refusal(b"{\"type\":\"refused\",\"for\":[\"new reasons\"]}"));
        assert!(!is_refusal(b"{\"type\":\"hello\"}"));
    }

    #[test]
    fn both_sides_agree_on_the_newest_common_version() {
        let range = |min, max| WireRange { min, max };
        assert_eq!(agree(range(1, 1), range(1, 1)), Some(1));
        assert_eq!(agree(range(1, 3), range(2, 5)), Some(3));
        assert_eq!(agree(range(2, 3), range(1, 1)), None);
    }

    #[test]
    fn fuzz_messages_between_launcher_and_daemon() {
        let lines =
            to_launcher().iter().map(encode).chain(to_daemon().iter().map(encode)).collect::<Vec<_>>();
        let words = ["\"", "{", "}", "[", ":", "null", "1e999", "\\u0000"];
        ironcache_fuzz::Campaign::of("messages of the launcher").from(lines).words(words).run(|line| {
            let (up, down) = (decode::<ToLauncher>(line), decode::<ToDaemon>(line));
            if let Ok(message) = &up {
                assert_eq!(decode::<ToLauncher>(&encode(message)).unwrap(), *message);
            }
            (up.is_ok(), down.is_ok(), decode_hello(line).is_some(), is_refusal(line))
        });
    }
}
