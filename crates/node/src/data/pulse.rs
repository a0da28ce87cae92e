//! Says that a frame is being applied, while the data thread is busy with just that.
//!
//! ```text
//!  data thread    process: busy ─► tick, tick, tick … ─► not busy: what is owed to the socket, then the Ack
//!  this thread                    every 50 ms: Progress{received, ticks} ──► the primary
//! ```
//!
//! One frame may take seconds to apply: a transaction over long lists. Its replica acknowledges nothing meanwhile, and is
//! well. It is the data thread's own count that is told ([`progress`]), so that a thread which hangs tells nothing new.
//!
//! *Invariant:* two threads never write to one socket at a time: this one does between `busy` and the end of it, the data
//! thread before and after.

use super::link_stream::{LinkStream, SharedSession};
use ironcache_keyspace::progress::{self, Ticks};
use ironcache_replication::{LinkVersion, Message, Progress, encode};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
#[cfg(not(turmoil))]
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// A quarter of the least patience that a primary has by default. More often, it would say little more; more seldom, one
/// report that comes late is taken for silence.
pub(super) const REPORT_EVERY: Duration = Duration::from_millis(50);

/// The data thread's count, and whom to tell of it.
pub(crate) struct Pulse(Arc<Shared>);

struct Shared {
    ticks: Ticks,
    busy: Mutex<Option<Busy>>,
}

/// The data thread applies what came on this link.
struct Busy {
    voice: Voice,
    version: LinkVersion,
    received_bytes: u64,
    /// How often this thread has looked since.
    looks: u32,
    /// The rest of a report that the socket did not take.
    owed: Vec<u8>,
}

/// A link's socket, as the reporting thread has it.
#[derive(Clone)]
pub(super) struct Voice {
    socket: Arc<TcpStream>,
    session: Option<SharedSession>,
}

impl Voice {
    #[cfg(not(turmoil))]
    pub(super) fn of(stream: &LinkStream) -> std::io::Result<Voice> {
        // The same open socket: it does not block here either.
        let socket = Arc::new(TcpStream::from(stream.tcp.as_fd().try_clone_to_owned()?));
        Ok(Voice { socket, session: stream.session.clone() })
    }

    /// A simulated host has one thread: nobody speaks while it applies, and it takes no time.
    #[cfg(turmoil)]
    pub(super) fn of(_stream: &LinkStream) -> std::io::Result<Voice> {
        let (near, _far) = std::os::unix::net::UnixStream::pair()?;
        let socket = Arc::new(TcpStream::from(std::os::fd::OwnedFd::from(near)));
        Ok(Voice { socket, session: None })
    }
}

impl Pulse {
    /// Of the thread that calls this.
    pub(super) fn of_this_thread() -> Pulse {
        Pulse(Arc::new(Shared { ticks: progress::of_this_thread(), busy: Mutex::new(None) }))
    }

    /// Has a thread report from now on, for as long as this exists.
    pub(super) fn report(&self) -> std::io::Result<()> {
        #[cfg(turmoil)]
        return Ok(());
        #[cfg(not(turmoil))]
        self.report_by_thread()
    }

    #[cfg(not(turmoil))]
    fn report_by_thread(&self) -> std::io::Result<()> {
        let shared = Arc::downgrade(&self.0);
        std::thread::Builder::new().name("ironcache-pulse".to_owned()).spawn(move || {
            while look(&shared) {
                std::thread::sleep(REPORT_EVERY);
            }
        })?;
        Ok(())
    }

    /// The data thread begins with what has arrived: so many bytes on this link so far.
    pub(super) fn busy(&self, voice: &Voice, version: LinkVersion, received_bytes: u64) {
        let voice = voice.clone();
        *lock(&self.0.busy) = Some(Busy { voice, version, received_bytes, looks: 0, owed: Vec::new() });
    }

    /// It is done with that. What is answered has to be written to the socket first.
    pub(super) fn not_busy(&self) -> Vec<u8> {
        lock(&self.0.busy).take().map(|busy| busy.owed).unwrap_or_default()
    }

    pub(super) fn ticks(&self) -> u64 {
        self.0.ticks.count()
    }
}

/// Reports, if there is something to be reported; false once nobody is left.
fn look(shared: &Weak<Shared>) -> bool {
    let Some(shared) = shared.upgrade() else { return false };
    if let Some(busy) = &mut *lock(&shared.busy) {
        busy.looks += 1;
        // It began since the last look: the acknowledgement is about to follow.
        if busy.looks > 1 {
            say(busy, shared.ticks.count());
        }
    }
    true
}

fn say(busy: &mut Busy, ticks: u64) {
    if busy.owed.is_empty() {
        let report = Message::Progress(Progress { received_bytes: busy.received_bytes, ticks });
        if encode(&report, busy.version, &mut busy.owed).is_err() {
            return;
        }
    }
    if let Some(session) = &busy.voice.session {
        // What the socket does not take stays in the session. If it is broken, the data thread meets the same.
        let _ = session.say_at_once(&mut &*busy.voice.socket, &busy.owed);
        busy.owed.clear();
        return;
    }
    match (&*busy.voice.socket).write(&busy.owed) {
        Ok(written) => drop(busy.owed.drain(..written)),
        // Nothing of it left: what is said next time is newer.
        Err(error) if error.kind() == ErrorKind::WouldBlock && is_whole(busy) => busy.owed.clear(),
        // The data thread meets the same on its next word.
        Err(_) => {}
    }
}

/// Is what is owed a report of which nothing was written?
fn is_whole(busy: &Busy) -> bool {
    let mut report = Vec::new();
    let any = Message::Progress(Progress { received_bytes: 0, ticks: 0 });
    encode(&any, busy.version, &mut report).is_ok_and(|len| len == busy.owed.len())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked with it has left it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_replication::decode;
    use std::io::Read;
    use tokio::net::{TcpListener, TcpStream};

    const V1: LinkVersion = LinkVersion(1);

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    fn heard(peer: &mut std::net::TcpStream) -> Progress {
        let mut bytes = [0; 25];
        peer.read_exact(&mut bytes).unwrap();
        match decode(&bytes, V1) {
            Ok(Some((Message::Progress(progress), 25))) => progress,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_busy_data_thread_is_told_of_and_a_free_one_speaks_for_itself() {
        let (near, far) = sockets().await;
        let mut far = far.into_std().unwrap();
        far.set_nonblocking(false).unwrap();
        let near = LinkStream::new(near, None);
        let (pulse, voice) = (Pulse::of_this_thread(), Voice::of(&near).unwrap());
        let reporter = Arc::downgrade(&pulse.0);
        pulse.busy(&voice, V1, 77);
        assert!(look(&reporter), "it has just begun");
        progress::tick();
        let told = Progress { received_bytes: 77, ticks: pulse.ticks() };
        assert!(look(&reporter));
        assert_eq!(heard(&mut far), told);
        assert!(look(&reporter));
        assert_eq!(heard(&mut far), told, "nothing moved");
        progress::tick();
        assert!(look(&reporter));
        assert_eq!(heard(&mut far), Progress { ticks: told.ticks + 1, ..told });
        assert!(pulse.not_busy().is_empty());
        assert!(look(&reporter) && look(&reporter));
        drop((near, voice));
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"", "not a word of it afterwards");
        drop(pulse);
        assert!(!look(&reporter), "its thread ends");
    }
}
