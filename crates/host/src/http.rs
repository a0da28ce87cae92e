//! HTTP calls between nodes, over whatever connections a [`Dial`] makes.
//!
//! ```text
//!   call ─► a kept connection to the same node at the same address? ─ yes ─┐
//!              └ no ─► Dial ─► handshake ─────────────────────────────────┴─► request ─► answer ─► kept
//! ```
//! *Invariant:* a call goes to the node that it means, or fails: a connection that was made for one is used for no other,
//! and none is used that was made when other keys were known ([`Dial::generation`]).
//! *Invariant:* a call is sent twice only if the connection that it was to go by had ended before it took a byte of it.
//!
//! In the simulated world a connection serves one call: a kept one would be broken by a partition that is over already, since
//! a simulated connection repeats nothing that was lost; a real one is told by its system, and dialled again.

mod call;
mod dial;
mod pool;

pub use call::{RequestBuilder, Response};
pub use dial::{Connection, Dial, Dialling, Plain};
pub use hyper::StatusCode;

use pool::Pool;
use std::sync::Arc;
use std::time::Duration;

/// How a node calls others. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    dial: Arc<dyn Dial>,
    pool: Arc<Pool>,
    waits: Waits,
}

/// How long it waits.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    /// For a connection, its keys proved.
    pub connect: Duration,
    /// For a whole answer; `None` without an end, unless the call says.
    pub call: Option<Duration>,
    /// For which a connection without a call is kept.
    pub idle: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Waits { connect: Duration::from_secs(1), call: None, idle: Duration::from_secs(30) }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the call took longer than {0:?}")]
    TimedOut(Duration),
    #[error("{0} cannot be reached")]
    Connect(String, #[source] std::io::Error),
    #[error("{0} did not take the connection within {1:?}")]
    ConnectTimedOut(String, Duration),
    #[error("the connection broke")]
    Broke(#[from] hyper::Error),
    #[error("the call is malformed: {0}")]
    Malformed(String),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the body is not what was expected")]
    Json(#[from] serde_json::Error),
}

impl Error {
    pub fn is_timeout(&self) -> bool {
        matches!(self, Error::TimedOut(_) | Error::ConnectTimedOut(..))
    }

    pub fn is_connect(&self) -> bool {
        matches!(self, Error::Connect(..) | Error::ConnectTimedOut(..))
    }

    pub fn is_status(&self) -> bool {
        matches!(self, Error::Status(_))
    }

    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Error::Status(status) => Some(*status),
            Error::TimedOut(_)
            | Error::Connect(..)
            | Error::ConnectTimedOut(..)
            | Error::Broke(_)
            | Error::Malformed(_)
            | Error::Json(_) => None,
        }
    }
}

impl Client {
    pub fn new(dial: Arc<dyn Dial>, waits: Waits) -> Self {
        Self { dial, pool: Arc::default(), waits }
    }

    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), hyper::Method::GET, url.as_ref())
    }

    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::new(self.clone(), hyper::Method::POST, url.as_ref())
    }
}

#[cfg(test)]
mod tests;
