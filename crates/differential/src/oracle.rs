//! A redis-server of our own, for as long as it is compared with.

use crate::grammar::Grammar;
use crate::remote::Remote;
use ironcache_resp::Value;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The server whose behaviour ours is held against.
const VERSION: &str = "7.0.15";
/// On a machine that is busy; alone it takes two seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why there is no oracle.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    #[error(
        "redis-server {VERSION} is what commands are compared with, and it cannot be started: install it (apt-get install redis-server)"
    )]
    Missing(#[source] std::io::Error),
    #[error("redis-server {VERSION} is what commands are compared with, and the one installed is {found}")]
    OtherVersion { found: String },
    #[error("redis-server was not ready within {} s", START_TIMEOUT.as_secs())]
    NotReady,
    #[error("redis-server: {0}")]
    Talk(String),
    #[error("a directory or port for redis-server")]
    Room(#[source] std::io::Error),
}

/// A process that owns every slot of a cluster of one.
pub struct Oracle {
    process: Child,
    addr: String,
    /// Its `nodes.conf`; goes when the process went.
    _dir: tempfile::TempDir,
}

impl Oracle {
    /// # Errors
    /// [`OracleError`].
    pub fn start() -> Result<Self, OracleError> {
        let dir = tempfile::tempdir().map_err(OracleError::Room)?;
        let port = free_port().map_err(OracleError::Room)?;
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--cluster-enabled", "yes"])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // SAFETY: one system call, no allocation, no lock.
        unsafe {
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let process = command.spawn().map_err(OracleError::Missing)?;
        let oracle = Self { process, addr: format!("127.0.0.1:{port}"), _dir: dir };
        oracle.own_every_slot()?;
        Ok(oracle)
    }

    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// # Errors
    /// It is not reached.
    pub fn connect(&self) -> Result<Remote, OracleError> {
        Remote::connect(&self.addr).map_err(|error| OracleError::Talk(error.to_string()))
    }

    /// # Errors
    /// It does not tell.
    pub(crate) fn grammar(&self) -> Result<Grammar, OracleError> {
        let docs = self.connect()?.ask(&["COMMAND", "DOCS"]).map_err(OracleError::Talk)?;
        Ok(Grammar::read(&docs))
    }

    fn own_every_slot(&self) -> Result<(), OracleError> {
        let give_up = Instant::now() + START_TIMEOUT;
        let mut remote = until(give_up, || Remote::connect(&self.addr).ok())?;
        let info = remote.ask(&["INFO", "server"]).map_err(OracleError::Talk)?;
        let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default()).into_owned();
        let found = info.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap_or("unknown");
        if found.trim() != VERSION {
            return Err(OracleError::OtherVersion { found: found.trim().to_owned() });
        }
        remote.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).map_err(OracleError::Talk)?;
        until(give_up, || match remote.ask(&["SET", "k", "v"]) {
            Ok(Value::Error(_)) => None,
            Ok(_) => Some(()),
            Err(_) => None,
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn until<T>(give_up: Instant, mut look: impl FnMut() -> Option<T>) -> Result<T, OracleError> {
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if Instant::now() > give_up {
            return Err(OracleError::NotReady);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Free a moment ago, and so is its cluster bus, 10000 above.
fn free_port() -> std::io::Result<u16> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let port = if port > 55_000 { port - 20_000 } else { port };
        if TcpListener::bind(("127.0.0.1", port)).is_ok()
            && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok()
        {
            return Ok(port);
        }
    }
}
