//! Clients that all come at the same moment.

use super::connections::{expect, until};
use super::tls;
use super::*;
use crate::data::admission::start_accepting;
use std::io::{ErrorKind, Read};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

const PLACES: u32 = 16;
/// As many as a socket that is listened on keeps for whoever accepts, on every system.
const CROWD: usize = 100;

fn full(config: &mut Config) {
    config.maxclients = PLACES;
}

/// Has a whole crowd wait at a door before the first of them is accepted; answers those who were let in.
async fn crowd_at(node: &Rc<DataNode>, door: Door) -> Vec<TcpStream> {
    let (_, bound) = node.listeners.iter().find(|(of, _)| *of == door).expect("there is such a door");
    let addr = bound.local_addr().unwrap();
    let mut waiting: Vec<_> = (0..CROWD).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
    let refused_before = node.plane.borrow().stats.rejected_connections;
    start_accepting(node);
    let refused = |plane: &Plane| (plane.stats.rejected_connections - refused_before) as usize;
    until(node, |plane| plane.clients.len() + refused(plane) == CROWD).await;
    assert_eq!(node.plane.borrow().clients.len(), PLACES as usize, "of {CROWD} who came at once");
    waiting.retain_mut(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut said = String::new();
        match stream.read_to_string(&mut said) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => true,
            ended => {
                ended.unwrap();
                // By TLS it would be no answer.
                let why = if door == Door::Plain { "-ERR max number of clients reached\r\n" } else { "" };
                assert_eq!(said, why);
                false
            }
        }
    });
    assert_eq!(waiting.len(), PLACES as usize);
    waiting.into_iter().map(|stream| TcpStream::from_std(stream).unwrap()).collect()
}

#[tokio::test]
async fn of_many_who_come_at_once_no_more_than_maxclients_are_let_in() {
    LocalSet::new()
        .run_until(async {
            let (mut plane, _proposals) = plane(A, &World::alone(AckMode::Primary));
            let mut config = Config::clone(&plane.config);
            full(&mut config);
            plane.reconfigure(config);
            let node = node(plane);
            let mut here = crowd_at(&node, Door::Plain).await;
            for stream in &mut here {
                stream.write_all(b"PING\r\n").await.unwrap();
                expect(stream, "+PONG\r\n").await;
            }
            // Who leaves makes room.
            here.pop();
            until(&node, |plane| plane.clients.len() < PLACES as usize).await;
            let addr = node.listeners[0].1.local_addr().unwrap();
            let mut next = TcpStream::connect(addr).await.unwrap();
            next.write_all(b"PING\r\n").await.unwrap();
            expect(&mut next, "+PONG\r\n").await;
        })
        .await;
}

#[tokio::test]
async fn a_handshake_that_is_under_way_is_one_of_maxclients() {
    LocalSet::new()
        .run_until(async {
            let door = tls::Door::open(full).await;
            let _silent = crowd_at(&door.node, Door::Tls).await;
        })
        .await;
}
