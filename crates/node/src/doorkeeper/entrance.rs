//! The entrance of a port, on a thread of its own: from the first packet until it is known with what key somebody comes.
//!
//! ```text
//!   raft, plans, answers: the control plane's thread │ this thread
//!        serve ◄─ a request may follow ──────────────┼── plain, its first byte is here   ◄─┬─ accept ◄─ the kernel's queue
//!                                                    └── TLS, both keys are proved       ◄─┘
//! ```
//! The rule: **what a stranger makes the node compute runs beside the thread on which raft and the data wait, one piece at a
//! time for each port.** A signature and an exchange of keys take 0.3 ms, and whoever sends a hello of 225 bytes gets them:
//! a few thousand in a second are all that one thread can do. Where more come, they wait in the kernel's queue, and
//! take nothing but this thread's time.
//!
//! *Invariant:* nothing that somebody sends is looked at here but the first byte, and the handshake.
//! *Invariant:* whoever is silent, or in a handshake, has a place in the door's book, and those are bounded: so are the
//! connections on their way from here to where they are answered.

use super::{Book, Doorkeeper, Limits, Refuse, Remote, Standing, Turned, Visit};
use crate::doors::{self, Doors, Opened};
use crate::http::Refusals;
use ironcache_host::exec;
use ironcache_host::net::{Bound, TcpStream, accepting};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// On their way from here to where they are answered. More, and they hold the places of those who come; fewer, and the two
/// threads wait for each other.
const HANDED_MAX: usize = 8;

/// What a port begins with.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Of its thread, too.
    pub name: &'static str,
    pub limits: Limits,
    /// How it says that there is no room for an answer.
    pub refuse: Refuse,
    pub doors: Arc<Doors>,
    /// Connections that come to nothing.
    pub refused: Arc<Refusals>,
}

/// One who may ask something, on the way to where it is answered.
#[derive(Debug)]
pub(super) struct Arrived {
    pub opened: Opened,
    pub visit: Visit,
    pub remote: Remote,
}

/// Whoever comes to `bound` from now on, for as long as the receiver is there.
pub(super) fn open(
    bound: Bound,
    door: &Arc<Doorkeeper>,
    options: &Options,
) -> io::Result<mpsc::UnboundedReceiver<Arrived>> {
    let Options { name, limits: _, refuse: _, doors, refused: _ } = options;
    // Each of those in it has a place in the book.
    let (to, arrived) = mpsc::unbounded_channel();
    let name = *name;
    let (door, doors) = (Arc::clone(door), Arc::clone(doors));
    exec::apart(name, move || async move {
        tokio::select! {
            () = accept_all(&bound, &door, &doors, &to) => {}
            () = to.closed() => {}
        }
    })?;
    Ok(arrived)
}

/// Returns if connections cannot be accepted at all.
async fn accept_all(
    bound: &Bound,
    door: &Arc<Doorkeeper>,
    doors: &Arc<Doors>,
    to: &mpsc::UnboundedSender<Arrived>,
) {
    let listener = match accepting(bound).await {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "connections cannot be accepted"),
    };
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if ironcache_host::net::prepare(&stream, doors.keepalive.seconds()).is_err() {
            continue;
        }
        // Nobody who has just come is pushed out: the others wait in the kernel's queue.
        while let Some(left) = door.full_for() {
            tokio::time::sleep(left).await;
        }
        let (at, doors, to) = (Arc::clone(door), Arc::clone(doors), to.clone());
        tokio::spawn(async move { let_in(stream, &at, &doors, &to).await });
        // Its hello may have come with it: read before the next one comes in, it is nobody that only holds a place.
        tokio::task::yield_now().await;
        // Nobody is let in faster than what they ask is looked at: whoever asks at once is answered before others push it out.
        while door.book().handed_on() > HANDED_MAX {
            door.looked.notified().await;
        }
    }
}

/// What it has until its first head is asked for covers the proof of its key.
async fn let_in(
    stream: TcpStream,
    door: &Arc<Doorkeeper>,
    doors: &Doors,
    to: &mpsc::UnboundedSender<Arrived>,
) {
    let remote = Remote(stream.peer_addr().ok());
    let visit = door.enter(remote);
    let opened = tokio::select! {
        biased;
        opened = doors::open(stream, doors, &visit) => opened,
        why = visit.turned() => return match why {
            // It was counted when the other one came in.
            Turned::MadeRoom => tracing::debug!(%why, "a connection was closed"),
            Turned::Late { .. } => door.refuse(remote, why.code(), &why),
        },
    };
    match opened {
        Ok(opened) => {
            if let Some(standing) = opened.caller().standing(doors) {
                visit.stands(standing);
            }
            visit.handed();
            // Nobody is answered any more: the process ends.
            let _ = to.send(Arrived { opened, visit, remote });
        }
        Err(error) => match error.code() {
            Some(code) => door.refuse(remote, code, &error),
            None => tracing::debug!(%error, "a connection came to nothing"),
        },
    }
}

impl Doorkeeper {
    fn full_for(&self) -> Option<Duration> {
        self.book().full_for(Instant::now(), &self.limits)
    }

    /// Lets a connection in; if there is no place, whoever is lowest in the book makes one.
    pub(super) fn enter(self: &Arc<Self>, remote: Remote) -> Visit {
        let now = Instant::now();
        let (id, told, made_room) = Book::enter(&mut self.book(), remote, now, &self.limits);
        for standing in made_room {
            let code = match standing {
                Standing::Stranger => "made_room",
                Standing::Known => "known_made_room",
            };
            self.refuse(remote, code, &"a connection had to make room for this one");
        }
        Visit::new(Arc::clone(self), id, told)
    }
}
