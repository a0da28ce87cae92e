//! What clients order of the cluster: an entry of the log, worked out here from what this node has applied.
//!
//! ```text
//!  ACL SETUSER, FUNCTION LOAD ─► Order ─► worked out on what is applied here ─► entry ─► applied everywhere ─► reply
//!                                              ▲                                 │ somebody was quicker
//!                                              └─────────────────────────────────┘
//! ```
//! *Invariant:* an order is answered as done once this node has applied it: whoever asks here next finds it so.

use super::DataNode;
use super::plane::{Asked, Plane, ToControl};
use super::scripts::{self, LibraryError};
use super::users::{self, UserError};
use crate::clock::unix_ms;
use ironcache_control::{Command, Credential, Origin};
use ironcache_raft::Refusal as LogRefusal;
use ironcache_resp::{Protocol, Writer};
use ironcache_session::{Account, Order};
use ironcache_types::Epoch;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::oneshot;

/// A leader is found, and an entry applied, in far less. A client that waits longer is better told.
const PATIENCE: Duration = Duration::from_secs(10);
/// Each time somebody else's order was quicker: more of them than that have something wrong with them.
const ATTEMPTS_MAX: usize = 20;

/// What an order came to.
pub(super) enum Outcome {
    Done,
    Deleted(usize),
    /// A library of this name.
    Loaded(String),
    Failed(OrderError),
}

/// What it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Users,
    Libraries,
}

impl About {
    fn of(order: &Order) -> Self {
        match order {
            Order::SetUser { .. } | Order::DeleteUsers { .. } | Order::LoadUsers | Order::SaveUsers => {
                About::Users
            }
            Order::Libraries(_) => About::Libraries,
        }
    }

    /// Which entry changed it last, of those applied here.
    fn epoch(self, plane: &Plane) -> Epoch {
        match self {
            About::Users => plane.view.state.users.epoch,
            About::Libraries => plane.view.state.libraries.epoch,
        }
    }

    fn list(self) -> &'static str {
        match self {
            About::Users => "ACL LIST",
            About::Libraries => "FUNCTION LIST",
        }
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            About::Users => "users",
            About::Libraries => "libraries",
        })
    }
}

/// Why an order was not carried out. `Display` is the reply, without its leading `-`.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(transparent)]
    User(#[from] UserError),
    #[error(transparent)]
    Library(#[from] LibraryError),
    #[error("ERR {0}")]
    Log(LogRefusal),
    #[error("ERR whether the {about} were changed is not known ({why}): {} tells", about.list())]
    Unknown { about: About, why: String },
    #[error("ERR the {about} were changed by others {ATTEMPTS_MAX} times meanwhile: try again")]
    Contended { about: About },
}

/// Writes the reply.
pub(super) fn answer(outcome: &Outcome, protocol: Protocol, out: &mut Vec<u8>) {
    let mut reply = Writer::new(out, protocol);
    match outcome {
        Outcome::Done => reply.ok(),
        Outcome::Deleted(count) => reply.count(*count),
        Outcome::Loaded(name) => reply.bulk(name.as_bytes()),
        Outcome::Failed(error) => reply.error(&error.to_string()),
    }
}

/// Has it done, for a client that acts for `by`.
pub(super) async fn carry_out(node: &DataNode, order: Order, by: &Account, from: SocketAddr) -> Outcome {
    let about = About::of(&order);
    let orderer = Orderer { node, about, by: by.name(), from };
    match tokio::time::timeout(PATIENCE, orderer.attempt(order)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(error),
        Err(_) => {
            let why = format!("the log has not answered within {} s", PATIENCE.as_secs());
            Outcome::Failed(OrderError::Unknown { about, why })
        }
    }
}

/// Who has ordered what, and where.
#[derive(Clone, Copy)]
pub(super) struct Orderer<'a> {
    pub node: &'a DataNode,
    about: About,
    pub by: &'a [u8],
    from: SocketAddr,
}

impl Orderer<'_> {
    async fn attempt(self, order: Order) -> Result<Outcome, OrderError> {
        match order {
            Order::SetUser { name, rules } => users::set(self, &name, &rules).await,
            Order::DeleteUsers { names } => users::delete(self, &names).await,
            Order::LoadUsers => users::load(self).await,
            Order::SaveUsers => users::save(self).await,
            Order::Libraries(order) => scripts::order(self, order).await,
        }
    }

    /// Has the log take what `work_out` makes of what is applied here, again and again until nobody was quicker. `None`: it is
    /// so already.
    pub(super) async fn change<E>(
        self,
        mut work_out: impl FnMut(&Plane) -> Result<Option<Command>, E>,
    ) -> Result<(), OrderError>
    where
        OrderError: From<E>,
    {
        let Self { node, about, by: _, from } = self;
        for _ in 0..ATTEMPTS_MAX {
            let (seen, outcome) = {
                let plane = node.plane.borrow();
                let Some(command) = work_out(&plane)? else { return Ok(()) };
                let credential = Credential::Node(plane.me.node);
                let origin = Origin { by: credential, from: Some(from.to_string()), at_ms: unix_ms() };
                let (tell, outcome) = oneshot::channel();
                let asked = Some(Asked { origin, outcome: tell });
                // The receiver lives as long as the process does.
                let _ = plane.to_control.send(ToControl { command, rejected: None, asked });
                (about.epoch(&plane), outcome)
            };
            match outcome.await {
                Ok(Ok((index, Ok(())))) => {
                    self.applied(|plane| plane.view.index >= index).await;
                    return Ok(());
                }
                Ok(Ok((_, Err(refusal)))) if refusal.code == "stale_epoch" => {
                    self.applied(|plane| about.epoch(plane) != seen).await;
                }
                Ok(Ok((_, Err(refusal)))) => return Err(OrderError::Log(refusal)),
                Ok(Err(why)) => return Err(OrderError::Unknown { about, why }),
                Err(_) => return Err(OrderError::Unknown { about, why: "the node stops".to_owned() }),
            }
        }
        Err(OrderError::Contended { about })
    }

    /// Until the applied state is so.
    pub(super) async fn applied(self, is_so: impl Fn(&Plane) -> bool) {
        loop {
            // Before it looks: what happens from here on is not missed.
            let changed = self.node.changed.notified();
            if is_so(&self.node.plane.borrow()) {
                return;
            }
            changed.await;
        }
    }
}
