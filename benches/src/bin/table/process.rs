//! A process that is stopped when it goes out of scope, and what the kernel knows of it.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A cluster drains its nodes before it ends.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    child: Child,
    name: &'static str,
}

impl Running {
    /// Starts `command`. The kernel ends it, too, when this thread ends.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let parent = rustix::process::getpid();
        // SAFETY: two system calls, no allocation, no lock.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let child = command.spawn().with_context(|| format!("could not start {name}; is it installed?"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error if it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}", self.name),
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The child has not been waited for, so its id is still its own.
        let _ = rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM);
        let give_up = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > give_up {
                eprintln!("{} does not stop and is killed", self.name);
                let _ = self.kill();
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// SIGTERM for the calling process when the thread that started it ends.
fn die_with(parent: Pid) -> std::io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    // The parent may have ended before the call above, and then no signal will come.
    if rustix::process::getppid() == Some(parent) {
        Ok(())
    } else {
        Err(std::io::ErrorKind::Interrupted.into())
    }
}

/// Resident memory of a process, in MiB.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status =
        std::fs::read_to_string(Path::new(&path)).with_context(|| format!("could not read {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line
        .and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok())
        .with_context(|| format!("{path} does not tell VmRSS"))?;
    Ok(kib / 1024.0)
}

/// For how long the threads of a process, and of those that it started, had a processor, in ns.
pub(crate) fn cpu_ns(pid: u32) -> Result<u64> {
    let mut sum = 0;
    let tasks = format!("/proc/{pid}/task");
    for task in std::fs::read_dir(&tasks).with_context(|| format!("could not read {tasks}"))? {
        let task = task?.path();
        // A thread may end meanwhile: what it took is little, or is not of the load.
        let Ok(stat) = std::fs::read_to_string(task.join("schedstat")) else { continue };
        let ran = stat.split(' ').next().and_then(|ran| ran.parse::<u64>().ok());
        sum += ran.with_context(|| format!("{} is no schedstat", task.display()))?;
        let children = match std::fs::read_to_string(task.join("children")) {
            Ok(children) => children,
            Err(_) if !task.exists() => continue,
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("could not read the children of {}", task.display()));
            }
        };
        for child in children.split_whitespace() {
            sum += cpu_ns(child.parse()?)?;
        }
    }
    Ok(sum)
}

/// Asks again until there is an answer: `what` names what is waited for.
pub(crate) fn wait_for<T>(
    what: &str,
    timeout: Duration,
    mut ask: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if started.elapsed() > timeout {
            bail!("waited {} s for {what}", timeout.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
