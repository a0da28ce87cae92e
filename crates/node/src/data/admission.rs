//! Who comes by the client ports: counted and let in, in one step, or told that there is no place.
//!
//! ```text
//!  accepted ─► a place? ─┬─ yes: it is in the list of clients from here on ─► handshake, commands
//!                        ├─ of one that has said nothing for long: that one ends, and gives its place
//!                        └─ no: told so (by TLS just closed), and closed before anybody else is accepted
//! ```
//! *Invariant:* nothing awaits between the look at the count and its increase: however many come at the same moment,
//! `maxclients` is the most that are here. A handshake of TLS that is under way counts, for it has its descriptor.
//! *Invariant:* who is turned away keeps no descriptor: it is told what the socket takes at once.

use super::connection;
use super::{DataNode, Door, Entrance};
use crate::clock::unix_ms;
use ironcache_host::net::{TcpStream, accepting, prepare, write_at_once};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_local;

/// As Redis says it.
const FULL: &[u8] = b"-ERR max number of clients reached\r\n";

impl DataNode {
    fn has_too_many(&self) -> bool {
        let plane = self.plane.borrow();
        plane.clients.len() > plane.config.maxclients as usize
    }
}

/// Clients are accepted from here on, until the task is ended.
pub(super) fn start_accepting(node: &Rc<DataNode>) {
    let tasks = (0..node.listeners.len()).map(|index| spawn_local(accept(Rc::clone(node), index)));
    node.accepting.borrow_mut().extend(tasks);
}

async fn accept(node: Rc<DataNode>, index: usize) {
    let (door, bound) = &node.listeners[index];
    // The socket stays open for as long as the node lives: one that drains and then serves on accepts again.
    let listener = match accepting(bound).await {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "clients cannot be accepted"),
    };
    loop {
        let entrance = match door {
            Door::Plain => Entrance::Plain,
            Door::Tls => match Arc::clone(&node.places).acquire_owned().await {
                Ok(place) => Entrance::Tls(place),
                // They are never closed while somebody accepts.
                Err(_) => return,
            },
        };
        match listener.accept().await {
            Ok((stream, addr)) => {
                admit(&node, stream, addr, entrance);
                if node.has_too_many() {
                    // Who makes room is gone, with its descriptor, before anybody else comes.
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: it passes when clients leave.
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one more client, or tells it that there are too many.
pub(super) fn admit(node: &Rc<DataNode>, stream: TcpStream, addr: SocketAddr, entrance: Entrance) {
    let local = stream.local_addr().unwrap_or(addr);
    let mut plane = node.plane.borrow_mut();
    if let Err(error) = prepare(&stream, plane.config.tcp_keepalive) {
        tracing::debug!(%addr, %error, "a client left before it was served");
        return;
    }
    let everybody = Rc::clone(plane.accounts.everybody());
    let most = plane.config.maxclients as usize;
    let Some(client) = plane.clients.admit(most, addr, local, unix_ms(), &everybody, entrance.door()) else {
        plane.stats.rejected_connections += 1;
        match entrance.door() {
            // It is told why, if it still listens: so little fits into a socket that has just been opened.
            Door::Plain => {
                let (_from, mut to) = stream.into_split();
                let _ = write_at_once(&mut to, FULL);
            }
            // As in Redis: what is not TLS would be an error of its own there, and nobody waits for a handshake to refuse.
            Door::Tls => {}
        }
        return;
    };
    client.info.borrow_mut().descriptor = descriptor(&stream);
    drop(plane);
    spawn_local(connection::serve(Rc::clone(node), stream, addr, client, entrance));
}

/// As `CLIENT LIST` tells it.
#[cfg(not(turmoil))]
fn descriptor(stream: &TcpStream) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(stream)
}

/// The simulated world has none.
#[cfg(turmoil)]
fn descriptor(_: &TcpStream) -> i32 {
    -1
}
