//! One script: from its first instruction to its reply.

use super::calls::{Calls, Growth, OUT_OF_MEMORY, Touched, may_write};
use super::{About, Hold};
use crate::clock::wall_ms;
use crate::config::Config;
use crate::data::client::Client;
use crate::data::dispatch;
use crate::data::plane::Plane;
use crate::data::statistics;
use ironcache_command::{Flags, Spec};
use ironcache_keyspace::progress;
use ironcache_replication::Scope;
use ironcache_script::{Answer, Ending, Flags as ScriptFlags, Library, LogLevel, Progress, Running, Step};
use ironcache_session::{Busy, Stop, Within, is_function};
use ironcache_shard::Route;
use ironcache_types::{Epoch, Offset, Slot};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a slow script runs between two turns of the others: longer, and they wait for their BUSY; shorter, and it gets
/// less done.
const TURN: Duration = Duration::from_millis(5);

/// A script that has begun.
pub(crate) struct Script {
    running: Running,
    calls: Calls,
    began: Instant,
    /// In which this node was the primary when it began.
    epoch: Option<Epoch>,
    /// Of its keys.
    slot: Option<Slot>,
    /// Once others are seen to beside it.
    waiting: Option<Waiting>,
}

/// What is remembered of a script that lets others have their turn.
struct Waiting {
    hold: Hold,
    /// Where the stream ended: a replica's dataset is another one when it goes on.
    end: Offset,
    /// What its client asked for, and when, by the stopwatch: it is noted when it is answered.
    spec: &'static Spec,
    args: Vec<Vec<u8>>,
    since_ns: u64,
}

/// What came of it for now.
enum Outcome {
    Done(Vec<u8>),
    /// Others have their turn.
    Wait,
}

/// What it reads and writes belongs to these: for whoever puts its effects into the stream.
pub(in crate::data) struct Began {
    pub stop: Option<Stop>,
    pub touched: Touched,
}

/// Runs a script until it ends, or others have to be seen to.
pub(in crate::data) fn begin(
    plane: &mut Plane,
    client: &mut Client,
    (spec, slot, keys): (&'static Spec, Option<Slot>, usize),
    args: &[&[u8]],
    within: Within,
    out: &mut Vec<u8>,
) -> Began {
    let nothing = Began { stop: None, touched: Touched::Nothing };
    let since_ns = plane.statistics.stopwatch.ns();
    if plane.clients.is_monitored() {
        let addr = client.info.borrow().addr;
        dispatch::show_monitors(plane, &addr, args);
    }
    let mut script = match prepare(plane, client, (spec, slot, keys), args) {
        Ok(script) => script,
        Err(why) => {
            client.session.fail(&why, out);
            return nothing;
        }
    };
    match script.advance(plane, client, Answer::GoOn, within) {
        Outcome::Done(reply) => {
            out.extend_from_slice(&reply);
            Began { stop: None, touched: script.calls.touched() }
        }
        Outcome::Wait => {
            let end = script.give_way(plane, client);
            tracing::warn!(
                ms = u64::try_from(script.began.elapsed().as_millis()).unwrap_or(u64::MAX),
                "a script or function is slow: other clients are answered BUSY, and SCRIPT KILL or FUNCTION KILL ends it"
            );
            let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
            let about = About { name: args[1].clone(), args: args.clone(), began: script.began };
            let what = if is_function(spec) { Busy::Function } else { Busy::Script };
            let hold = Hold::new(&plane.scripts.slow, what, about);
            script.waiting = Some(Waiting { hold, end, spec, args, since_ns });
            client.script = Some(Box::new(script));
            Began { stop: Some(Stop::Slow), touched: Touched::Nothing }
        }
    }
}

/// What is to run.
enum Subject {
    Script(Rc<ironcache_script::Script>),
    /// Of its library the one that stands there.
    Function(Rc<Library>, usize),
}

impl Subject {
    fn flags(&self) -> ScriptFlags {
        match self {
            Subject::Script(script) => script.flags,
            Subject::Function(library, which) => {
                library.functions.get(*which).map_or(ScriptFlags::default(), |declared| declared.flags)
            }
        }
    }
}

/// The script of this text or digest, or the function of this name.
fn subject(
    plane: &mut Plane,
    (config, seed): (&Config, u64),
    spec: &Spec,
    named: &[u8],
) -> Result<Subject, String> {
    if is_function(spec) {
        let found = plane.scripts.libraries.find(named);
        let (library, which) = found.map_err(|why| why.to_string())?;
        return Ok(Subject::Function(library, which));
    }
    let engine = plane.scripts.engine(config, seed).map_err(|why| why.to_string())?;
    let script = if matches!(spec.name, "evalsha" | "evalsha_ro") {
        engine.get(named).ok_or("NOSCRIPT No matching script. Please use EVAL.")?
    } else {
        engine.load(named).map_err(|why| why.to_string())?
    };
    Ok(Subject::Script(script))
}

fn prepare(
    plane: &mut Plane,
    client: &Client,
    (spec, slot, keys): (&'static Spec, Option<Slot>, usize),
    args: &[&[u8]],
) -> Result<Script, String> {
    let (config, seed) = (Arc::clone(&plane.config), plane.random());
    let subject = subject(plane, (&config, seed), spec, args[1])?;
    let flags = subject.flags();
    let read_only = spec.flags.contains(Flags::READONLY);
    // In Redis' order.
    let declares_writes = !flags.undeclared && !flags.no_writes;
    if declares_writes && !flags.allow_oom && plane.is_out_of_memory() {
        return Err(OUT_OF_MEMORY.to_owned());
    }
    if declares_writes {
        may_write(plane)?;
    }
    if flags.no_cluster {
        return Err("ERR Can not run script on cluster, 'no-cluster' flag is set.".to_owned());
    }
    if declares_writes && read_only {
        return Err("ERR Can not execute a script with write flag using *_ro command.".to_owned());
    }
    let is_short = plane.is_out_of_memory() && !flags.allow_oom;
    let grows = if is_short { Growth::Refused } else { Growth::Allowed };
    let words = &args[3..];
    let most = config.output_bytes_max();
    let protocol = client.session.protocol();
    let (keys, words) = words.split_at(keys);
    let running = match &subject {
        Subject::Script(script) => {
            let engine = plane.scripts.engine(&config, seed);
            engine.and_then(|engine| engine.start(script, keys, words, protocol, most))
        }
        Subject::Function(library, which) => {
            let interpreter = plane.scripts.libraries.interpreter(&config, seed);
            interpreter.and_then(|own| own.start(library, *which, keys, words, protocol, most))
        }
    };
    let running = running.map_err(|why| why.to_string())?;
    let calls = Calls::new(flags, read_only, slot, grows, wall_ms());
    let epoch = plane.primary_epoch();
    Ok(Script { running, calls, began: Instant::now(), epoch, slot, waiting: None })
}

/// Lets the script of a client run for a turn; `None` once it is answered.
pub(in crate::data) fn go_on(plane: &mut Plane, client: &mut Client, out: &mut Vec<u8>) -> Option<Stop> {
    let mut script = client.script.take()?;
    let start = out.len();
    let (end, is_killed) = script.waiting.as_ref().map(|waiting| (waiting.end, waiting.hold.is_killed()))?;
    if script.may_go_on(plane, client, end) {
        let answer = if is_killed { Answer::End(Ending::Killed) } else { Answer::GoOn };
        match script.advance(plane, client, answer, Within::Nothing) {
            Outcome::Done(reply) => {
                out.extend_from_slice(&reply);
                dispatch::finish(plane, client, script.calls.touched().slot());
            }
            Outcome::Wait => {
                let end = script.give_way(plane, client);
                script.waiting.as_mut()?.end = end;
                client.script = Some(script);
                return Some(Stop::Slow);
            }
        }
    } else {
        // It has written nothing, and nobody has seen anything of it: whoever asks again loses nothing.
        let why = "TRYAGAIN the data is no longer what the script began on; it had written nothing";
        plane.stats.tryagain += 1;
        client.session.fail(&why, out);
    }
    let Waiting { hold: _hold, end: _, spec, args, since_ns } = script.waiting.take()?;
    drop(script);
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    statistics::executed(plane, client, spec, &args, since_ns, out.get(start..));
    None
}

impl Script {
    /// Is it still where it began? While it waited the shard may have got another primary, the node may be stopping, and a
    /// replica may have applied what its primary wrote: a script reads one dataset, not parts of two.
    fn may_go_on(&self, plane: &Plane, client: &Client, end: Offset) -> bool {
        let here = match self.slot {
            Some(slot) => plane.route(slot, self.calls.read_from(client)) == Route::Execute,
            None => plane.route_without_keys() != Route::Park,
        };
        here && plane.primary_epoch() == self.epoch && !plane.engine.is_sealed() && plane.offset() == end
    }

    fn advance(&mut self, plane: &mut Plane, client: &mut Client, first: Answer, within: Within) -> Outcome {
        let turn = Instant::now();
        let mut answer = first;
        loop {
            answer = match self.running.resume(answer) {
                Progress::Done(reply) => return Outcome::Done(reply),
                Progress::Asks(Step::Call { args, protocol }) => match self.look(plane, turn, within) {
                    // What it called is executed first: it is not asked for again.
                    Look::GoOn | Look::Wait => Answer::Reply(self.calls.call(plane, client, &args, protocol)),
                    Look::End(ending) => Answer::End(ending),
                },
                Progress::Asks(Step::MayCall { args }) => Answer::Reply(Calls::may_call(client, &args)),
                Progress::Asks(Step::Log { level, text }) => {
                    log(level, &text);
                    Answer::GoOn
                }
                Progress::Asks(Step::Tick) => {
                    progress::tick();
                    match self.look(plane, turn, within) {
                        Look::GoOn => Answer::GoOn,
                        Look::Wait => return Outcome::Wait,
                        Look::End(ending) => Answer::End(ending),
                    }
                }
            };
        }
    }

    /// Looks at the clock.
    fn look(&self, plane: &Plane, turn: Instant, within: Within) -> Look {
        let (config, now) = (&plane.config, Instant::now());
        let ran_ms = u64::try_from((now - self.began).as_millis()).unwrap_or(u64::MAX);
        if config.script_ms_max > 0 && ran_ms >= config.script_ms_max {
            return Look::End(Ending::TooLong { ms_max: config.script_ms_max });
        }
        let is_up = match &self.waiting {
            Some(_) => now - turn >= TURN,
            None => config.busy_reply_threshold > 0 && ran_ms >= config.busy_reply_threshold,
        };
        if is_up && within == Within::Nothing && !self.calls.wrote() { Look::Wait } else { Look::GoOn }
    }

    /// Others have their turn. Keys that it read and that had expired were deleted, and that is whole by itself.
    /// Answers where the stream ends.
    fn give_way(&mut self, plane: &mut Plane, client: &mut Client) -> Offset {
        if !plane.effects.is_empty() {
            let end = plane.commit(Scope::All);
            client.session.wrote(end);
            client.owed.write = end.0;
        }
        plane.offset()
    }
}

enum Look {
    GoOn,
    Wait,
    End(Ending),
}

pub(super) fn log(level: LogLevel, text: &str) {
    match level {
        LogLevel::Debug => tracing::debug!(script = true, "{text}"),
        LogLevel::Verbose => tracing::debug!(script = true, "{text}"),
        LogLevel::Notice => tracing::info!(script = true, "{text}"),
        LogLevel::Warning => tracing::warn!(script = true, "{text}"),
    }
}
