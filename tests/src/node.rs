//! One node's processes, and what can be done to them.

use ironcache_types::Digest;
use rustix::process::{Pid, Signal};
use std::fs::OpenOptions;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// Lines of a log that are shown when a test fails.
const LOG_TAIL_LINES: usize = 25;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub client: u16,
    pub peer: u16,
    pub http: u16,
}

/// In a flag it stands for the node's own TLS port.
pub const TLS_PORT: &str = "{tls-port}";

impl Ports {
    /// For a node that is given one.
    pub fn tls(&self) -> u16 {
        self.client + 15_000
    }

    /// Ports for `count` nodes: below those that the system gives to outgoing connections.
    pub fn free(count: usize) -> Vec<Ports> {
        use std::hash::BuildHasher;
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        for attempt in 0_u64..400 {
            let base = 7_000 + (std::hash::RandomState::new().hash_one(attempt) % 5_600) as u16;
            let all: Vec<Ports> = (0..count as u16)
                .map(|i| base + i)
                .map(|client| Ports { client, peer: client + 10_000, http: client + 20_000 })
                .collect();
            if all.iter().all(|p| [p.client, p.peer, p.http, p.tls()].into_iter().all(is_free)) {
                return all;
            }
        }
        panic!("no {count} free ports were found");
    }
}

#[derive(Debug)]
pub struct Node {
    pub ports: Ports,
    pub data_dir: PathBuf,
    pub log: PathBuf,
    /// Its configuration file. Empty at first: everything that a test needs is a flag.
    pub config: PathBuf,
    binary: PathBuf,
    flags: Vec<String>,
    launcher: Child,
}

impl Node {
    /// Starts `binary server` with its data in `dir/node-<index>`. To be called from a thread that lives as
    /// long as the node should: the kernel ends the launcher when that thread ends.
    pub fn start(binary: &Path, dir: &Path, index: usize, ports: Ports, flags: Vec<String>) -> Self {
        let (data_dir, log) = (dir.join(format!("node-{index}")), dir.join(format!("node-{index}.log")));
        let config = dir.join(format!("node-{index}.toml"));
        std::fs::write(&config, "").expect("a file can be written");
        let launcher = spawn(binary, &data_dir, &log, &config, ports, &flags);
        Self { ports, data_dir, log, config, binary: binary.to_owned(), flags, launcher }
    }

    /// Starts the launcher again, after it has ended.
    pub fn start_again(&mut self) {
        self.launcher = spawn(&self.binary, &self.data_dir, &self.log, &self.config, self.ports, &self.flags);
    }

    /// From the next start on this is the launcher that is started, with these flags more.
    pub fn change(&mut self, binary: &Path, more: &[&str]) {
        self.binary = binary.to_owned();
        self.flags.extend(more.iter().map(|flag| (*flag).to_owned()));
    }

    /// From the next start on, without this flag.
    pub fn drop_flag(&mut self, flag: &str) {
        self.flags.retain(|given| given != flag);
    }

    /// Starts the launcher again at other ports, after it has ended.
    pub fn start_again_at(&mut self, ports: Ports) {
        self.ports = ports;
        self.start_again();
    }

    /// As an operator stops it; returns when it has ended.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal_launcher(Signal::TERM);
        self.ended()
    }

    /// Waits for the launcher's end.
    pub fn ended(&mut self) -> ExitStatus {
        self.launcher.wait().expect("a child of ours can be waited for")
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.launcher.try_wait().expect("a child of ours can be asked for")
    }

    pub fn http_addr(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    pub fn client_addr(&self) -> String {
        format!("127.0.0.1:{}", self.ports.client)
    }

    pub fn launcher_pid(&self) -> Pid {
        Pid::from_child(&self.launcher)
    }

    /// The launcher's one child, while it has one.
    pub fn daemon_pid(&self) -> Option<Pid> {
        let launcher = self.launcher.id();
        let children = std::fs::read_to_string(format!("/proc/{launcher}/task/{launcher}/children")).ok()?;
        Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
    }

    /// Does the daemon of this moment run the release of this digest?
    pub fn runs(&self, digest: &Digest) -> bool {
        self.daemon_pid().is_some_and(|daemon| self.is_of(daemon, digest))
    }

    /// Is the launcher that of the release of this digest? It becomes it a moment after a trial is final.
    pub fn is_launched_by(&self, digest: &Digest) -> bool {
        self.is_of(self.launcher_pid(), digest)
    }

    fn is_of(&self, process: Pid, digest: &Digest) -> bool {
        let binary = std::fs::read_link(format!("/proc/{}/exe", process.as_raw_nonzero()));
        binary.is_ok_and(|binary| binary.starts_with(self.data_dir.join(format!("slots/{digest}"))))
    }

    pub fn signal_launcher(&self, signal: Signal) {
        // It may have ended: then there is nobody to signal. It is not reaped before it is waited for.
        let _ = rustix::process::kill_process(self.launcher_pid(), signal);
    }

    /// Signals the daemon of this moment, and says which it was.
    pub fn signal_daemon(&self, signal: Signal) -> Option<Pid> {
        let pid = self.daemon_pid()?;
        rustix::process::kill_process(pid, signal).ok()?;
        Some(pid)
    }

    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn log_tail(&self) -> String {
        let text = self.log_text();
        let mut lines: Vec<_> = text.lines().collect();
        // What is said again and again is shown once. The time comes first.
        let said = |line: &str| line.split_once("Z ").map(|(_, said)| said.to_owned());
        lines.dedup_by(|a, b| said(a).is_some_and(|said_a| Some(said_a) == said(b)));
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n  ")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The daemon dies with its launcher, by the kernel's hand, stopped or not.
        let _ = self.launcher.kill();
        let _ = self.launcher.wait();
    }
}

fn spawn(binary: &Path, data_dir: &Path, log: &Path, config: &Path, ports: Ports, flags: &[String]) -> Child {
    let to_log = OpenOptions::new().create(true).append(true).open(log).expect("a log can be opened");
    let mut command = clean_command(binary);
    command
        .args(["server", "--bind", "127.0.0.1", "--port", &ports.client.to_string()])
        .args(["--peer-port", &ports.peer.to_string(), "--http-port", &ports.http.to_string()])
        .arg("--config")
        .arg(config)
        .arg("--data-dir")
        .arg(data_dir)
        .args(flags.iter().map(|flag| flag.replace(TLS_PORT, &ports.tls().to_string())))
        .stdin(Stdio::null())
        .stdout(to_log.try_clone().expect("a descriptor can be copied"))
        .stderr(to_log)
        .process_group(0);
    // SAFETY: one system call, no allocation, no lock.
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    command.spawn().expect("the binary can be started")
}

/// `binary`, without any of our variables.
pub(crate) fn clean_command(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("IRONCACHE_") {
            command.env_remove(name);
        }
    }
    command
}
