//! The daemon's side: what it inherits from its launcher, and the link to it.
//!
//! ```text
//! IRONCACHE_FDS=client:4,peer:5,http:6,lock:3,control:9
//! ```
//! Each name is followed by the number of an open descriptor: the listening sockets by the names
//! that the launcher was given, `lock` (the data directory's lock, only to be kept open) and
//! `control` (the link).
//!
//! Blocking and small on purpose: the daemon gives the [`LinkReceiver`] a thread.

use crate::exit::DaemonExit;
use crate::protocol::{
    self, LAUNCHER_PROTOCOL, MESSAGE_BYTES_MAX, MessageError, Refusal, Snapshot, ToDaemon, ToLauncher,
};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What clients may queue while no daemon accepts; the kernel caps it at `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Names the inherited descriptors.
pub const FDS_VARIABLE: &str = "IRONCACHE_FDS";
pub(crate) const CONTROL_NAME: &str = "control";
pub(crate) const LOCK_NAME: &str = "lock";

/// What a daemon gets from its launcher.
#[derive(Debug)]
pub struct Inherited {
    /// Listening already, with clients perhaps queued; by the launcher's names.
    pub listeners: BTreeMap<String, TcpListener>,
    pub link: LauncherLink,
    /// What the launcher answered to Hello.
    pub snapshot: Snapshot,
    /// Keeps the data directory taken until this process is dead.
    _lock: Option<OwnedFd>,
}

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error(
        "{FDS_VARIABLE} is {value:?}; name:descriptor pairs with a \"{CONTROL_NAME}\" are expected: only a launcher may set it"
    )]
    Variable { value: String },
    #[error("the descriptors in {FDS_VARIABLE} were taken before")]
    AlreadyTaken,
    #[error("the launcher has closed the link")]
    Closed,
    #[error("the launcher refuses this daemon: {0}")]
    Refused(Refusal),
    #[error("the launcher refuses this daemon, in words of another release: {answer}")]
    RefusedUnknown { answer: String },
    #[error("the launcher answered Hello with something else")]
    NoHello,
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("the link to the launcher failed")]
    Io(#[from] io::Error),
}

impl LinkError {
    /// How a daemon ends that cannot go on with this.
    pub fn exit(&self) -> DaemonExit {
        match self {
            LinkError::Refused(Refusal::Protocol { .. }) | LinkError::RefusedUnknown { .. } => {
                DaemonExit::LauncherProtocol
            }
            LinkError::Variable { .. }
            | LinkError::AlreadyTaken
            | LinkError::Closed
            | LinkError::Refused(_)
            | LinkError::NoHello
            | LinkError::Message(_)
            | LinkError::Io(_) => DaemonExit::Failed,
        }
    }
}

impl Inherited {
    /// Takes what the environment names, and greets the launcher. `None` if the variable is not
    /// set: this process has no launcher. A second call fails, the descriptors have their owner.
    pub fn from_env() -> Result<Option<Self>, LinkError> {
        static TAKEN: AtomicBool = AtomicBool::new(false);
        let Some(value) = std::env::var_os(FDS_VARIABLE) else { return Ok(None) };
        let value = value.to_string_lossy().into_owned();
        let named = parse_fds(&value).ok_or_else(|| LinkError::Variable { value: value.clone() })?;
        if TAKEN.swap(true, Ordering::SeqCst) {
            return Err(LinkError::AlreadyTaken);
        }
        let mut listeners = BTreeMap::new();
        let mut control = None;
        let mut lock = None;
        for (name, fd) in named {
            let fd = take(fd)?;
            match name {
                CONTROL_NAME => control = Some(fd),
                LOCK_NAME => lock = Some(fd),
                name => {
                    listeners.insert(name.to_owned(), TcpListener::from(fd));
                }
            }
        }
        let control = control.ok_or(LinkError::Variable { value })?;
        // Started through a descriptor, the process is listed under that descriptor's number. Only
        // a matter of looks: a system that forbids the write runs as well.
        let _ = std::fs::write("/proc/self/comm", "ironcache");
        let mut link = LauncherLink::new(UnixStream::from(control))?;
        let snapshot = link.greet()?;
        Ok(Some(Inherited { listeners, link, snapshot, _lock: lock }))
    }
}

/// `name:descriptor` pairs; descriptors are distinct, above stderr's, and `control` is among the names.
fn parse_fds(value: &str) -> Option<Vec<(&str, RawFd)>> {
    let mut named: Vec<(&str, RawFd)> = Vec::new();
    for pair in value.split(',') {
        let (name, fd) = pair.split_once(':')?;
        let fd: RawFd = fd.parse().ok()?;
        if name.is_empty() || fd <= 2 || named.iter().any(|(n, f)| *n == name || *f == fd) {
            return None;
        }
        named.push((name, fd));
    }
    named.iter().any(|(name, _)| *name == CONTROL_NAME).then_some(named)
}

/// Owns an inherited descriptor, and keeps it from this process's own children.
fn take(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: both calls take a number and no memory; a number that is not open answers EBADF.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open (just checked), named by the launcher for us, and TAKEN in the caller
    // makes us its only owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The daemon's end of the link.
#[derive(Debug)]
pub struct LauncherLink {
    sender: LinkSender,
    receiver: LinkReceiver,
}

/// Sends to the launcher; clones share the link.
#[derive(Clone, Debug)]
pub struct LinkSender {
    // A std mutex: held for one short write to a local socket, never across anything that waits.
    stream: Arc<Mutex<UnixStream>>,
}

#[derive(Debug)]
pub struct LinkReceiver {
    reader: BufReader<UnixStream>,
}

impl LauncherLink {
    /// Over a connected stream. [`Inherited::from_env`] is what a daemon calls.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        let reader = BufReader::new(stream.try_clone()?);
        let sender = LinkSender { stream: Arc::new(Mutex::new(stream)) };
        Ok(LauncherLink { sender, receiver: LinkReceiver { reader } })
    }

    fn greet(&mut self) -> Result<Snapshot, LinkError> {
        self.send(&ToLauncher::Hello { protocol: LAUNCHER_PROTOCOL })?;
        let line = self.receiver.line()?;
        let answer = protocol::decode(&line).map_err(|error| {
            if protocol::is_refusal(&line) {
                return LinkError::RefusedUnknown { answer: String::from_utf8_lossy(&line).into_owned() };
            }
            error.into()
        });
        match answer? {
            ToDaemon::Hello { protocol: _, snapshot } => Ok(snapshot),
            ToDaemon::Refused { request: _, reason } => Err(LinkError::Refused(reason)),
            ToDaemon::State { .. }
            | ToDaemon::Stop { .. }
            | ToDaemon::Activating { .. }
            | ToDaemon::Confirmed { .. } => Err(LinkError::NoHello),
            #[cfg(feature = "next")]
            ToDaemon::Launcher { .. } => Err(LinkError::NoHello),
        }
    }

    pub fn send(&self, message: &ToLauncher) -> Result<(), LinkError> {
        self.sender.send(message)
    }

    /// Waits for the launcher's next message.
    pub fn recv(&mut self) -> Result<ToDaemon, LinkError> {
        self.receiver.recv()
    }

    pub fn sender(&self) -> LinkSender {
        self.sender.clone()
    }

    pub fn split(self) -> (LinkSender, LinkReceiver) {
        (self.sender, self.receiver)
    }
}

impl LinkSender {
    pub fn send(&self, message: &ToLauncher) -> Result<(), LinkError> {
        // A poisoned lock guards a socket, which has no state that a panic could have left half done.
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        match stream.write_all(&protocol::encode(message)) {
            Err(error) => Err(closed_or(error)),
            Ok(()) => Ok(()),
        }
    }
}

impl LinkReceiver {
    /// Waits for the launcher's next message. A message that is not understood is an error and
    /// leaves the link usable.
    pub fn recv(&mut self) -> Result<ToDaemon, LinkError> {
        Ok(protocol::decode(&self.line()?)?)
    }

    fn line(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut line = Vec::new();
        let limit = MESSAGE_BYTES_MAX as u64 + 1;
        (&mut self.reader).take(limit).read_until(b'\n', &mut line).map_err(closed_or)?;
        match line.pop() {
            Some(b'\n') => Ok(line),
            Some(_) if line.len() >= MESSAGE_BYTES_MAX => {
                Err(MessageError::TooLong { len_bytes: line.len() + 1 }.into())
            }
            Some(_) | None => Err(LinkError::Closed),
        }
    }
}

/// A socket pair whose other end is gone: with messages unread there, the kernel calls it a reset.
fn closed_or(error: io::Error) -> LinkError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LinkError::Closed,
        _ => LinkError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Request;

    #[test]
    fn the_variable_is_read_or_refused_whole() {
        assert_eq!(parse_fds("client:4,control:9"), Some(vec![("client", 4), ("control", 9)]));
        for bad in
            ["", "client:4", "control:2", "control:x", "control:9,", "a:9,control:9", "control:8,control:9"]
        {
            assert_eq!(parse_fds(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_launcher_that_speaks_nothing_of_this_is_understood_to_refuse() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&theirs).write_all(b"{\"type\":\"refused\",\"why\":\"words to come\"}\n").unwrap();
        let error = LauncherLink::new(ours).unwrap().greet().unwrap_err();
        assert!(
            matches!(&error, LinkError::RefusedUnknown { answer } if answer.contains("words to come")),
            "{error}"
        );
        assert_eq!(error.exit(), DaemonExit::LauncherProtocol);
    }

    #[test]
    fn messages_cross_and_an_end_is_told() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut link = LauncherLink::new(ours).unwrap();
        link.send(&ToLauncher::Ready {}).unwrap();
        let mut line = String::new();
        BufReader::new(&theirs).read_line(&mut line).unwrap();
        assert_eq!(line, "{\"type\":\"ready\"}\n");
        (&theirs).write_all(b"{\"type\":\"reboot\"}\n").unwrap();
        let refused = ToDaemon::Refused { request: Request::Unknown {}, reason: Refusal::Stopping {} };
        (&theirs).write_all(&protocol::encode(&refused)).unwrap();
        assert!(matches!(link.recv(), Err(LinkError::Message(_))));
        assert_eq!(link.recv().unwrap(), refused);
        drop(theirs);
        assert!(matches!(link.recv(), Err(LinkError::Closed)));
        assert!(matches!(link.send(&ToLauncher::Ready {}), Err(LinkError::Closed)));
    }

    #[test]
    fn fuzz_descriptors_that_are_named_are_distinct_and_nobodys_terminal() {
        let values = ["control:3,client:4,peer:5,http:6,lock:7", "control:3", "client:9,control:10,tls:11"];
        ironcache_fuzz::Campaign::of("inherited descriptors")
            .from(values)
            .words([",", ":", "control:", "2"])
            .run(|bytes| {
                let text = String::from_utf8_lossy(bytes);
                let named = parse_fds(&text)?;
                let (mut names, mut fds): (Vec<_>, Vec<_>) = named.iter().copied().unzip();
                assert!(names.contains(&CONTROL_NAME) && fds.iter().all(|fd| *fd > 2), "{named:?}");
                names.sort_unstable();
                fds.sort_unstable();
                assert!(names.windows(2).all(|two| two[0] != two[1]), "{named:?}");
                assert!(fds.windows(2).all(|two| two[0] != two[1]), "{named:?}");
                let again: Vec<_> = named.iter().map(|(name, fd)| format!("{name}:{fd}")).collect();
                assert_eq!(parse_fds(&again.join(",")), Some(named));
                Some(names.len().min(8))
            });
    }
}
