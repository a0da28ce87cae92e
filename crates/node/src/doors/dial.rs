//! Connections to other nodes, on which nobody answers but who is meant.

use super::{Doors, Mode, Wire};
use crate::keepalive::Keepalive;
use ironcache_host::http::{Connection, Dial, Dialling};
use ironcache_host::net::{TcpStream, prepare};
use ironcache_identity::{Expect, Tls};
use ironcache_types::{KeyHash, NodeId};
use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How somebody is called.
#[derive(Debug)]
enum Way {
    Plain,
    Tls(Expect),
}

impl Doors {
    fn way(&self, to: Option<NodeId>) -> io::Result<Way> {
        let pins = match (self.pins(), self.mode()) {
            (None, _) => return Ok(Way::Plain),
            (Some(_), Mode::Locked) => {
                return Err(io::Error::other("this node knows nobody, and calls nobody"));
            }
            (Some(pins), _) => pins,
        };
        match to {
            Some(node) => {
                let unknown = || io::Error::other(format!("the key of node {node} is not known here"));
                Ok(Way::Tls(Expect::Key(*pins.get(&node).ok_or_else(unknown)?)))
            }
            None => Ok(Way::Tls(Expect::OneOf(Arc::new(pins.into_values().collect::<BTreeSet<_>>())))),
        }
    }

    /// A connection to `addr`, on which `to` has proved its key if it has one.
    pub(crate) async fn call(&self, addr: &str, to: Option<NodeId>) -> io::Result<(Wire, Option<KeyHash>)> {
        match self.way(to)? {
            Way::Plain => {
                let stream = TcpStream::connect(addr).await?;
                prepare(&stream, self.keepalive.seconds())?;
                Ok((Wire::Plain(stream), None))
            }
            Way::Tls(expect) => {
                let (wire, key) = secure(&self.tls, addr, expect, self.keepalive.seconds()).await?;
                Ok((wire, Some(key)))
            }
        }
    }
}

async fn secure(tls: &Tls, addr: &str, expect: Expect, keepalive_s: u64) -> io::Result<(Wire, KeyHash)> {
    let stream = TcpStream::connect(addr).await?;
    prepare(&stream, keepalive_s)?;
    let secured = tls.connect(stream, expect).await.map_err(io::Error::other)?;
    let key = secured.session.peer.ok_or_else(|| io::Error::other("it shows no key"))?;
    Ok((Wire::Tls(Box::new(secured.stream)), key))
}

impl Dial for Doors {
    fn dial<'a>(&'a self, addr: &'a str, to: Option<NodeId>) -> Dialling<'a> {
        Box::pin(async move {
            let (wire, _) = self.call(addr, to).await?;
            Ok(Box::new(wire) as Box<dyn Connection>)
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// Calls whoever has one key, whatever the log says: a node that is about to become a member.
#[derive(Clone, Debug)]
pub(crate) struct KeyDial {
    pub tls: Tls,
    pub key: KeyHash,
    pub keepalive: Keepalive,
}

impl Dial for KeyDial {
    fn dial<'a>(&'a self, addr: &'a str, _to: Option<NodeId>) -> Dialling<'a> {
        Box::pin(async move {
            let (wire, _) = secure(&self.tls, addr, Expect::Key(self.key), self.keepalive.seconds()).await?;
            Ok(Box::new(wire) as Box<dyn Connection>)
        })
    }

    fn generation(&self) -> u64 {
        0
    }
}
