//! TLS on the data thread: the credentials that handshakes are made with, and how they follow the files.
//!
//! ```text
//!  files ─► looked at every 2 s, at SIGHUP ─► changed? ─► read ─┬─ good ─► in force from the next handshake on
//!  CONFIG SET tls-… ──────────────────────────────────────► read ┘  └─ spoilt ─► what was in force stays; log, status
//! ```
//! *Invariant:* credentials that cannot be used never replace some that can.
//! *Invariant:* this thread reads no file: it waits for whoever does, at the start and for `CONFIG SET` within a bound.

mod handshake;
mod socket;

#[cfg(test)]
pub(crate) use handshake::{
    AT_ONCE as HANDSHAKES_MAX, BYTES_MAX as HANDSHAKE_BYTES_MAX, DONE_WITHIN as HANDSHAKE_WITHIN,
    PROVED_AT_ONCE_MAX as HANDSHAKES_SIGNED_MAX,
};
pub(super) use handshake::{AT_ONCE, NotMade, proved_at_once, shake_hands};
pub(super) use socket::{Incoming, Leaving, Outgoing};

use super::DataNode;
use crate::config::Config;
use crate::tls::{self, Credentials, Look, TlsError};
use ironcache_host::exec::spawn_blocking;
use ironcache_types::chain;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// A certificate is replaced days before it ends. Rarer, and whoever replaces one waits to see it; oftener, and a folder of
/// CAs is listed for nothing.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long `CONFIG SET` may hold up every client of the node. Local files take a millisecond.
const CONFIG_SET_WITHIN: Duration = Duration::from_millis(200);

/// How long the start waits for the files. Local ones take a millisecond, and whoever comes sooner is shown no certificate.
/// Longer, and a mount that is dead keeps clients without TLS, replicas and the log's links waiting with it.
const BEGIN_WITHIN: Duration = Duration::from_secs(2);

/// What TLS there is.
#[derive(Default)]
pub(crate) struct Tls {
    credentials: Option<Credentials>,
    /// Why what the files hold now is not in force.
    problem: Option<String>,
    /// What the files looked like when they were read last.
    seen: Option<Look>,
}

impl Tls {
    pub(crate) fn server(&self) -> Option<Arc<rustls::ServerConfig>> {
        self.credentials.as_ref().map(|credentials| Arc::clone(&credentials.server))
    }

    #[cfg(test)]
    pub(crate) fn serve_with(&mut self, server: Arc<rustls::ServerConfig>) {
        let credentials = self.credentials.as_mut().expect("there are some");
        credentials.server = server;
    }

    /// Of the certificate in force, in hex.
    pub(crate) fn print(&self) -> Option<String> {
        self.credentials.as_ref().map(|credentials| credentials.print.to_string())
    }

    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    fn take(&mut self, Read { look, loaded }: Read) {
        self.seen = Some(look);
        match loaded {
            Ok(credentials) => {
                tracing::info!(certificate = %credentials.print, "clients by TLS are shown this certificate from now on");
                self.problem = None;
                self.credentials = Some(credentials);
            }
            Err(error) => {
                let error = chain(&error);
                let instead = match self.credentials {
                    Some(_) => "what was read before stays in force",
                    None => "nobody can connect by TLS until they are mended",
                };
                tracing::error!(error, instead, "the files of TLS cannot be used");
                self.problem = Some(error);
            }
        }
    }
}

/// What came of reading the files.
pub(crate) struct Read {
    look: Look,
    loaded: Result<Credentials, TlsError>,
}

/// Blocks. The look comes first: what changes while it is read looks different the next time.
fn read(config: &Config) -> Read {
    let look = tls::look(config);
    Read { look, loaded: tls::load(config) }
}

/// Reads the files once, before anybody is accepted, unless that takes too long: then [`follow`] goes on with it.
pub(super) async fn begin(node: &DataNode) {
    if tokio::time::timeout(BEGIN_WITHIN, reread(node, Rereads::Always)).await.is_err() {
        let problem = format!("the files of TLS were not read within {} ms", BEGIN_WITHIN.as_millis());
        tracing::error!(problem, "nobody can connect by TLS until they are");
        node.plane.borrow_mut().tls.problem = Some(problem);
    }
}

/// Reads them again whenever they have changed, or somebody asks.
pub(super) async fn follow(node: Rc<DataNode>) {
    loop {
        let when = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => Rereads::IfChanged,
            () = node.reread.notified() => Rereads::Always,
        };
        reread(&node, when).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Rereads {
    Always,
    IfChanged,
}

async fn reread(node: &DataNode, when: Rereads) {
    let (config, seen) = {
        let plane = node.plane.borrow();
        let seen = plane.tls.seen.clone();
        (Arc::clone(&plane.config), seen.filter(|_| when == Rereads::IfChanged))
    };
    if config.announced_tls_port().is_none() {
        return;
    }
    let asked = Arc::clone(&config);
    let read = spawn_blocking(move || {
        let changed = seen.is_none_or(|seen| seen != tls::look(&asked));
        changed.then(|| read(&asked))
    });
    let Ok(Some(read)) = read.await else { return };
    let mut plane = node.plane.borrow_mut();
    // Settings may have changed meanwhile: then these are the files of others.
    if Arc::ptr_eq(&plane.config, &config) {
        plane.tls.take(read);
    }
}

/// Why `CONFIG SET` leaves everything as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error(transparent)]
    Tls(TlsError),
    #[error("the files were not read within {} ms", CONFIG_SET_WITHIN.as_millis())]
    TooSlow,
}

/// Reads what `config` names, for whoever waits for an answer; nothing is in force before [`put_in_force`].
pub(super) fn read_within(config: &Config) -> Result<Read, NotTaken> {
    let (done, read_files) = channel();
    let config = config.clone();
    std::thread::spawn(move || {
        // Nobody waits any more when it took too long.
        let _ = done.send(read(&config));
    });
    match read_files.recv_timeout(CONFIG_SET_WITHIN) {
        Ok(Read { look, loaded: Ok(credentials) }) => Ok(Read { look, loaded: Ok(credentials) }),
        Ok(Read { look: _, loaded: Err(error) }) => Err(NotTaken::Tls(error)),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(NotTaken::TooSlow),
    }
}

pub(super) fn put_in_force(tls: &mut Tls, read: Read) {
    tls.take(read);
}
