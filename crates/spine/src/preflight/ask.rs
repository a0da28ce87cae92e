//! The process that is asked, and how long it may take.

use super::{
    LAUNCHER_PROTOCOL_FLAG, OUTPUT_BYTES_MAX, PREFLIGHT_VERB, PROBLEMS_FOUND, PreflightError, PreflightOf,
    PreflightReport, Problem,
};
use crate::link::FDS_VARIABLE;
use crate::slot_store::VerifiedBinary;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::process::{Pid, PidfdFlags};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What of its last words is worth repeating.
const SAID_BYTES_MAX: usize = 500;

/// Asks `binary` what would keep it from running on this node; nothing, if the answer is empty. Waits for the answer, at
/// most [`PreflightOf::timeout`].
///
/// # Errors
/// The binary gave no report that can be read.
pub fn preflight(binary: &VerifiedBinary, asked: &PreflightOf<'_>) -> Result<Vec<Problem>, PreflightError> {
    let file = binary.file.try_clone().map_err(PreflightError::Start)?;
    // The child's own stdin: the one descriptor that it gets without a step between fork and exec.
    let mut command = Command::new("/proc/self/fd/0");
    command
        .arg0("ironcache")
        .arg(PREFLIGHT_VERB)
        .args([LAUNCHER_PROTOCOL_FLAG, &asked.launcher_protocol.to_string()])
        .args(asked.args)
        .envs(asked.env.iter().map(|(key, value)| (key, value)))
        .env_remove(FDS_VARIABLE)
        .stdin(Stdio::from(file))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A terminal's ^C is not for it.
        .process_group(0);
    let mut process = Process(command.spawn().map_err(PreflightError::Start)?);
    let (stdout, stderr) = process.read_to_its_end(asked.timeout)?;
    let status = process.0.wait().map_err(PreflightError::Watch)?;
    let report = serde_json::from_slice::<PreflightReport>(&stdout);
    match (report, status.code()) {
        (Ok(report), Some(0)) if report.problems.is_empty() => Ok(report.problems),
        (Ok(report), Some(code)) if code == i32::from(PROBLEMS_FOUND) && !report.problems.is_empty() => {
            Ok(report.problems)
        }
        (Ok(_) | Err(_), _) => Err(PreflightError::NoReport { status, said: last_words(&stderr) }),
    }
}

/// Ended with whoever watches it.
struct Process(Child);

impl Process {
    /// What it printed, and what it said on stderr, once it has ended.
    fn read_to_its_end(&mut self, timeout: Duration) -> Result<(Vec<u8>, Vec<u8>), PreflightError> {
        let watch = |error: rustix::io::Errno| PreflightError::Watch(error.into());
        let pidfd =
            rustix::process::pidfd_open(Pid::from_child(&self.0), PidfdFlags::empty()).map_err(watch)?;
        let mut stdout = self.0.stdout.take().expect("it is piped");
        let mut stderr = self.0.stderr.take().expect("it is piped");
        for pipe in [stdout.as_fd(), stderr.as_fd()] {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK).map_err(watch)?;
        }
        let (mut printed, mut said) = (Vec::new(), Vec::new());
        let until = Instant::now() + timeout;
        loop {
            // Looked at before the pipes are: whatever an ended process wrote is there by then.
            let ended = is_readable(&pidfd);
            let open = [take(&mut stdout, &mut printed)?, take(&mut stderr, &mut said)?];
            if ended {
                return Ok((printed, said));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let timeout_ms = timeout.as_millis().try_into().unwrap_or(u64::MAX);
                return Err(PreflightError::TimedOut { timeout_ms });
            }
            let mut fds = vec![PollFd::new(&pidfd, PollFlags::IN)];
            let pipes = [stdout.as_fd(), stderr.as_fd()].into_iter().zip(open).filter(|(_, open)| *open);
            fds.extend(pipes.map(|(pipe, _)| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
            let left = Timespec {
                tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            match rustix::event::poll(&mut fds, Some(&left)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(watch(error)),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            // Its id is ours until it is waited for. A failure leaves a zombie to our own parent.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

fn is_readable(fd: &impl AsFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

/// Reads what is there; false once the pipe is closed.
fn take(pipe: &mut impl Read, into: &mut Vec<u8>) -> Result<bool, PreflightError> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => into.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(PreflightError::Watch(error)),
        }
        if into.len() > OUTPUT_BYTES_MAX {
            return Err(PreflightError::TooMuch);
        }
    }
}

fn last_words(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(SAID_BYTES_MAX)..]);
    let text = text.trim();
    if text.is_empty() { "it said nothing".to_owned() } else { text.to_owned() }
}
