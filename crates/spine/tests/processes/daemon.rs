//! The daemon of the tests. Its version's pre-release text says what is wrong with it:
//! `0.2.0` is good, `0.2.0-exits` exits at once, `-hangs` never heartbeats, `-unready` is never
//! ready, `-mute` never greets, `-stubborn` neither stops when asked nor on SIGTERM, `-foreign`
//! speaks another protocol version, `-above` says that it does not admit the level. `-stuck` heartbeats and
//! ticks no more; `-loads` is ready, and `-writes` ends, after much work that advances all the time; `-loses` ends without
//! its dataset, `-stays` ends so only when it is asked a second time.
//!
//! Each connection to `client` carries one line: `who`, `fds`, `exit`, or a message for the launcher, whose
//! answer goes back.

use crate::own_version;
use ironcache_spine::{
    DaemonExit, DataDir, Inherited, LauncherLink, Phase, ReadState, StateFile, ToDaemon, ToLauncher, Verdict,
};
use ironcache_types::{Version, WireRange};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::exit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

pub(crate) fn main() -> ! {
    let version = own_version();
    if !state_was_durable_before(&version) {
        exit(NOT_DURABLE);
    }
    match version.pre.as_str() {
        "exits" => exit(3),
        "above" => exit(DaemonExit::AboveLevel.code().into()),
        "mute" => wait_for_ever(),
        "foreign" => foreign(),
        _ => {}
    }
    let inherited = Inherited::from_env().unwrap().expect("the tests start daemons through a launcher");
    serve(&version, inherited)
}

/// Exit code of a daemon that was started before the state on the disk said so.
const NOT_DURABLE: i32 = 77;

/// Looks at the disk as it is when the daemon starts: the state names this version, with the
/// attempt counted if it is a trial, and what is rolled back from in quarantine.
fn state_was_durable_before(version: &Version) -> bool {
    let data_dir = std::env::args_os().nth(2).expect("the launcher passes its arguments on");
    let Ok(ReadState::Present(state)) = StateFile::new(&DataDir::new(data_dir)).read() else { return false };
    let recorded = match &state.phase {
        Phase::Idle { .. } => true,
        Phase::Trial { attempts, .. } => *attempts > 0,
        Phase::RollingBack { outcome, .. } => match outcome.verdict {
            Verdict::Failed { .. } => state.quarantined.iter().any(|q| q.digest == outcome.release.digest),
            Verdict::Inconclusive { .. } | Verdict::Confirmed {} => true,
        },
    };
    recorded && state.to_run().version == *version
}

fn serve(version: &Version, mut inherited: Inherited) -> ! {
    let client = inherited.listeners.remove("client").unwrap();
    let (sender, mut receiver) = inherited.link.split();
    let work = Arc::new(AtomicU64::new(0));
    if version.pre.as_str() != "hangs" {
        let (sender, work, stuck) = (sender.clone(), Arc::clone(&work), version.pre.as_str() == "stuck");
        std::thread::spawn(move || {
            for tick in 1.. {
                let ticks = if stuck { 1 } else { tick };
                let work_bytes = work.load(Ordering::Relaxed);
                if sender.send(&ToLauncher::Heartbeat { ticks, work_bytes }).is_err() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }
    if version.pre.as_str() == "loads" {
        long_work(&work);
    }
    if version.pre.as_str() != "unready" {
        sender.send(&ToLauncher::Ready {}).unwrap();
    }

    let stubborn = version.pre.as_str() == "stubborn";
    if stubborn {
        // SAFETY: ignoring a signal installs no handler.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
    }
    // Held while a client is served, so that a stop does not cut an answer off.
    let serving = Arc::new(Mutex::new(()));
    let idle = Arc::clone(&serving);
    let (answers, answer) = mpsc::channel();
    let kind = version.pre.as_str().to_owned();
    std::thread::spawn(move || {
        let mut stops = 0;
        // The link ends with the launcher, and this process a moment later.
        while let Ok(message) = receiver.recv() {
            match message {
                ToDaemon::Stop { .. } if stubborn => {}
                ToDaemon::Stop { .. } => {
                    stops += 1;
                    if kind == "stays" && stops == 1 {
                        continue;
                    }
                    let _served = idle.lock();
                    match kind.as_str() {
                        "stays" | "loses" => exit(DaemonExit::DatasetLost.code().into()),
                        "writes" => long_work(&work),
                        _ => {}
                    }
                    exit(0);
                }
                message => answers.send(message).unwrap(),
            }
        }
    });
    loop {
        let (stream, _) = client.accept().unwrap();
        let _serving = serving.lock().unwrap();
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line).unwrap();
        let reply = match line.trim() {
            "who" => format!("{version} {}", std::process::id()),
            "fds" => open_fds(),
            "exit" => exit(0),
            message => {
                let message: ToLauncher = serde_json::from_str(message).unwrap();
                sender.send(&message).unwrap();
                // A launcher that has just taken over tells the state unasked.
                let asked_for = |answer: &ToDaemon| {
                    !matches!(answer, ToDaemon::State { .. }) || message == ToLauncher::QueryState {}
                };
                let answer = answer.iter().find(asked_for).unwrap();
                serde_json::to_string(&answer).unwrap()
            }
        };
        reply_to(&stream, &reply);
    }
}

/// How long `-loads` and `-writes` work: above every deadline of their tests. No step of it takes nearly as long as one.
const LONG_WORK: Duration = Duration::from_millis(4_000);

fn long_work(work: &AtomicU64) {
    let began = Instant::now();
    while began.elapsed() < LONG_WORK {
        work.fetch_add(1 << 20, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client may have given up meanwhile; that is its affair.
fn reply_to(mut stream: &TcpStream, reply: &str) {
    let _ = stream.write_all(format!("{reply}\n").as_bytes());
}

/// What is open above stderr, by kind.
fn open_fds() -> String {
    let mut kinds: Vec<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.unwrap();
            let number: u32 = entry.file_name().to_str().unwrap().parse().unwrap();
            let target = std::fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned();
            let is_own_listing = target.starts_with("/proc/");
            (number > 2 && !is_own_listing).then(|| target.split([':', '[']).next().unwrap().to_owned())
        })
        .collect();
    kinds.sort();
    kinds.join(" ")
}

/// Greets with a protocol version that this launcher does not know.
fn foreign() -> ! {
    let variable = std::env::var(ironcache_spine::FDS_VARIABLE).unwrap();
    let fd = variable.rsplit_once(':').unwrap().1.parse().unwrap();
    // SAFETY: `control` is the last pair, and nothing else in this process owns it.
    let stream = unsafe { <std::os::unix::net::UnixStream as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    let link = LauncherLink::new(stream).unwrap();
    link.send(&ToLauncher::Hello { protocol: WireRange { min: 7, max: 9 } }).unwrap();
    wait_for_ever()
}

fn wait_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
