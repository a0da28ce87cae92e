//! One node's processes: the launcher, which is ours, and the daemon, which is the launcher's.

use super::cluster::LocalSpec;
use super::links::Shown;
use super::ports::NodePorts;
use anyhow::Context;
use rustix::process::{Pid, Signal};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whoever ends sooner after its start is not started again at once.
const SOON: Duration = Duration::from_secs(10);
/// Before a node that ended soon is started again, at first and at most. The daemon of a launcher that was killed ends by
/// itself within the first; more often than the last fills the log.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Lines of a log that say why a node ended.
const LOG_TAIL_LINES: usize = 12;

#[derive(Debug)]
pub(super) struct LocalNode {
    pub ports: NodePorts,
    launcher: Child,
    log: PathBuf,
    started: Instant,
    /// Since when it has not run, and how long it is not started.
    down: Option<(Instant, Duration)>,
    /// The last pause.
    pause: Option<Duration>,
}

impl LocalNode {
    /// Starts the binary of `spec` as a `server` with its data in `dir/node-<index>`, and what it says in
    /// `dir/node-<index>.log`. To be called from a thread that lives as long as the node should: the
    /// kernel ends the launcher when that thread ends.
    pub(super) fn start(spec: &LocalSpec, index: u16, ports: NodePorts) -> anyhow::Result<Self> {
        let LocalSpec { binary, private_variables, dir, links, shards: _, replicas: _, base_port: _, set: _ } =
            spec;
        let log = dir.join(format!("node-{index}.log"));
        let to_log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("could not open {}", log.display()))?;
        let mut command = Command::new(binary);
        command
            .arg0("ironcache")
            .args(["server", "--bind", "127.0.0.1", "--announce-host", "127.0.0.1"])
            .args(["--port", &ports.client.to_string()])
            .args(["--peer-port", &ports.peer.to_string()])
            .args(["--http-port", &ports.http.to_string()])
            .arg("--data-dir")
            .arg(spec.node_dir(index))
            .env_remove("IRONCACHE_CONFIG")
            .stdin(Stdio::null())
            .stdout(to_log.try_clone().context("could not share the log file")?)
            .stderr(to_log)
            // A group of its own: Ctrl-C on the terminal is for us, who then stop the nodes in order.
            .process_group(0);
        if links.insecure {
            command.args(["--insecure", "yes"]);
        }
        if let Some(Shown { certificate, key }) = links.shown() {
            command.args(["--tls-port", &ports.tls.to_string(), "--tls-auth-clients", "no"]);
            command.arg("--tls-cert-file").arg(certificate).arg("--tls-key-file").arg(key);
        }
        for variable in *private_variables {
            command.env_remove(variable);
        }
        let parent = rustix::process::getpid();
        // SAFETY: two system calls, no allocation, no lock.
        unsafe { command.pre_exec(move || die_with(parent)) };
        let launcher = command.spawn().with_context(|| format!("could not start {}", binary.display()))?;
        Ok(Self { ports, launcher, log, started: Instant::now(), down: None, pause: None })
    }

    pub(super) fn launcher_pid(&self) -> u32 {
        self.launcher.id()
    }

    /// An error with the end of its log, if the node has ended.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.launcher.try_wait().context("could not ask for a node's state")? {
            None => Ok(()),
            Some(status) => {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                let lines: Vec<_> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ");
                Err(anyhow::anyhow!("the node at port {} ended with {status}:\n  {tail}", self.ports.client))
            }
        }
    }

    /// What there is to say: that the node has ended, or that it could not be started again.
    pub(super) fn revive(&mut self, spec: &LocalSpec, index: u16) -> Option<String> {
        if let Some((since, pause)) = self.down {
            if since.elapsed() < pause {
                return None;
            }
            match Self::start(spec, index, self.ports) {
                Ok(node) => *self = Self { pause: self.pause, ..node },
                Err(error) => {
                    self.down = Some((Instant::now(), PAUSES.1));
                    return Some(format!("{error:#}; tried again in {} s", PAUSES.1.as_secs()));
                }
            }
            return None;
        }
        let ended = self.check().err()?;
        let pause = match self.pause {
            Some(last) if self.started.elapsed() < SOON => (last * 2).min(PAUSES.1),
            Some(_) | None => PAUSES.0,
        };
        (self.down, self.pause) = (Some((Instant::now(), pause)), Some(pause));
        Some(format!("{ended:#}\nit is started again in {} s", pause.as_secs()))
    }

    /// Asks the launcher to stop its node; it answers by ending.
    pub(super) fn ask_to_stop(&self) {
        if self.down.is_some() {
            // It was waited for: its id may be another's by now.
            return;
        }
        // The child has not been waited for, so its id is still its own. It may have ended: then
        // there is nobody to ask.
        let _ = rustix::process::kill_process(Pid::from_child(&self.launcher), Signal::TERM);
    }

    pub(super) fn has_ended(&mut self) -> bool {
        matches!(self.launcher.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// Ends the launcher and its daemon, whatever they are doing.
    pub(super) fn kill(&mut self) {
        // The group's leader has not been waited for: the group's id is still its own.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.launcher), Signal::KILL);
        let _ = self.launcher.wait();
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
