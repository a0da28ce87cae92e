//! Users at this node: those that the log has, what is ordered about them, and what was refused to them.
//!
//! ```text
//!  ACL SETUSER ─► Order ─► worked out on the users applied here ─► entry ─► applied everywhere ─► +OK
//!                               ▲                                    │ somebody was quicker
//!                               └────────────────────────────────────┘
//!  applied users ─► Accounts, which every session of a user holds ─► connections of users that are gone end
//! ```
//! *Invariant:* an order is answered `+OK` once this node has applied it: whoever asks here next is judged by it.
//! *Invariant:* nothing on the data thread waits for the file: it is read and written beside.

use super::DataNode;
use super::client::Client;
use super::plane::{Asked, Plane, ToControl};
use super::server_commands::describe;
use crate::clock::unix_ms;
use ironcache_acl::file::{self, BadFile};
use ironcache_acl::{Attempt, Context, DEFAULT_USER, Denied, RuleError, User};
use ironcache_control::{Command, Credential, Origin};
use ironcache_host::exec::spawn_blocking;
use ironcache_raft::Refusal as LogRefusal;
use ironcache_resp::{Protocol, Writer};
use ironcache_session::{Account, Changed, Order, Refusal};
use ironcache_store::{disk, replace_durably};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
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
    Failed(OrderError),
}

/// Why an order was not carried out. `Display` is the reply, without its leading `-`.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    #[error(
        "ERR This Redis instance is not configured to use an ACL file. The setting aclfile names one; the users are in the log of the cluster in any case"
    )]
    NoFile,
    #[error("ERR Error loading ACLs, opening file '{path}': {why}")]
    Read { path: String, why: String },
    #[error("ERR There was an error trying to save the ACLs to '{path}': {why}")]
    Write { path: String, why: String },
    #[error(transparent)]
    File(#[from] BadFile),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(
        "ERR the rules of '{name}' name what this release does not know: change them at a node that runs the newer one"
    )]
    InPart { name: String },
    #[error("ERR {0}")]
    Log(LogRefusal),
    #[error("ERR whether the users were changed is not known ({why}): ACL LIST tells")]
    Unknown { why: String },
    #[error("ERR the users were changed by others {ATTEMPTS_MAX} times meanwhile: try again")]
    Contended,
}

/// Of an `aclfile`. All users together take a quarter of it in the log; the rest is for how they are written.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the log is asked for.
#[derive(Default)]
struct Change {
    set: BTreeMap<Vec<u8>, Vec<u8>>,
    deleted: BTreeSet<Vec<u8>>,
}

impl Plane {
    /// The applied users are those that hold from here on.
    pub(super) fn take_users(&mut self) {
        let state = Arc::clone(&self.view.state);
        if state.users.epoch == self.accounts.epoch() {
            return;
        }
        let Changed { gone, narrowed, in_part } = self.accounts.set(state.users.epoch, &state.users.by_name);
        for name in in_part {
            let name = String::from_utf8_lossy(&name);
            tracing::error!(
                %name,
                "the rules of a user name what this release does not know: it may do here what the others allow"
            );
        }
        self.clients.end_of_users(&gone);
        self.clients.end_of_listeners(&narrowed);
    }

    /// Something was refused to a client: if that is a matter of who it is, it is remembered.
    pub(super) fn remember_refused(&mut self, client: &Client, refusal: &Refusal) {
        let context =
            if client.session.queued().is_some() { Context::Transaction } else { Context::TopLevel };
        match refusal {
            Refusal::Denied(denied) | Refusal::ExecDenied(denied) => {
                self.remember_denied(client, denied, context)
            }
            Refusal::WrongPassword { command, user } => {
                self.note(client, Attempt::to_come_in(command, context, user));
            }
            _ => {}
        }
    }

    pub(super) fn remember_denied(&mut self, client: &Client, denied: &Denied, context: Context) {
        self.note(client, Attempt::denied(denied, context, client.session.account().name()));
    }

    fn note(&mut self, client: &Client, attempt: Attempt) {
        client.show(self.coarse_ms);
        let line = describe(&client.info.borrow());
        let most = self.config.acllog_max_len as usize;
        self.acl_log.note(attempt, line.trim_end().to_owned(), unix_ms(), most);
    }
}

/// Writes the reply.
pub(super) fn answer(outcome: &Outcome, protocol: Protocol, out: &mut Vec<u8>) {
    let mut reply = Writer::new(out, protocol);
    match outcome {
        Outcome::Done => reply.ok(),
        Outcome::Deleted(count) => reply.count(*count),
        Outcome::Failed(error) => reply.error(&error.to_string()),
    }
}

/// Has it done, for a client that acts for `by`.
pub(super) async fn carry_out(node: &DataNode, order: Order, by: &Account, from: SocketAddr) -> Outcome {
    match tokio::time::timeout(PATIENCE, attempt(node, order, by, from)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => Outcome::Failed(error),
        Err(_) => {
            let why = format!("the log has not answered within {} s", PATIENCE.as_secs());
            Outcome::Failed(OrderError::Unknown { why })
        }
    }
}

async fn attempt(
    node: &DataNode,
    order: Order,
    by: &Account,
    from: SocketAddr,
) -> Result<Outcome, OrderError> {
    match order {
        Order::SetUser { name, rules } => {
            change(node, by, from, |plane| set(plane, &name, &rules)).await?;
            Ok(Outcome::Done)
        }
        Order::DeleteUsers { names } => {
            let mut count = 0;
            change(node, by, from, |plane| {
                let known = names.iter().filter(|name| plane.accounts.find(name).is_some());
                let deleted: BTreeSet<_> = known.cloned().collect();
                count = deleted.len();
                Ok(Change { deleted, ..Change::default() })
            })
            .await?;
            Ok(Outcome::Deleted(count))
        }
        Order::LoadUsers => {
            let users = read(file_of(node)?).await?;
            change(node, by, from, |plane| Ok(replace(plane, &users))).await?;
            Ok(Outcome::Done)
        }
        Order::SaveUsers => {
            let path = file_of(node)?;
            let users: Vec<_> = {
                let plane = node.plane.borrow();
                plane.accounts.iter().map(|account| (account.name().to_vec(), account.user())).collect()
            };
            let bytes = file::write(users.iter().map(|(name, user)| (&name[..], user)));
            write(path, bytes).await?;
            Ok(Outcome::Done)
        }
    }
}

/// The user as its rules make it.
fn set(plane: &Plane, name: &[u8], rules: &[Vec<u8>]) -> Result<Change, OrderError> {
    let known = plane.accounts.find(name);
    if known.is_some_and(|account| !account.is_whole()) {
        return Err(OrderError::InPart { name: String::from_utf8_lossy(name).into_owned() });
    }
    let rules: Vec<&[u8]> = rules.iter().map(Vec::as_slice).collect();
    let user = known.map_or_else(User::default, |account| account.user()).with(&rules)?;
    Ok(Change { set: BTreeMap::from([(name.to_vec(), user.text())]), ..Change::default() })
}

/// These users in place of all there are. Without `default` among them everybody is what `requirepass` says.
fn replace(plane: &Plane, users: &file::Users) -> Change {
    let goes = |name: &[u8]| {
        let is_set = name != DEFAULT_USER || plane.accounts.is_default_set();
        is_set && !users.contains_key(name)
    };
    let known = plane.accounts.iter().map(|account| account.name());
    Change {
        set: users.iter().map(|(name, user)| (name.clone(), user.text())).collect(),
        deleted: known.filter(|name| goes(name)).map(<[u8]>::to_vec).collect(),
    }
}

/// Has the log take what `work_out` makes of the users as they are here, again and again until nobody was quicker.
async fn change(
    node: &DataNode,
    by: &Account,
    from: SocketAddr,
    mut work_out: impl FnMut(&Plane) -> Result<Change, OrderError>,
) -> Result<(), OrderError> {
    for _ in 0..ATTEMPTS_MAX {
        let (seen, outcome) = {
            let plane = node.plane.borrow();
            let Change { set, deleted } = work_out(&plane)?;
            if set.is_empty() && deleted.is_empty() {
                return Ok(());
            }
            let seen = plane.accounts.epoch();
            let command = Command::ChangeUsers { seen, by: by.name().to_vec(), set, deleted };
            let credential = Credential::Node(plane.me.node);
            let origin = Origin { by: credential, from: Some(from.to_string()), at_ms: unix_ms() };
            let (tell, outcome) = oneshot::channel();
            let asked = Some(Asked { origin, outcome: tell });
            // The receiver lives as long as the process does.
            let _ = plane.to_control.send(ToControl { command, rejected: None, asked });
            (seen, outcome)
        };
        match outcome.await {
            Ok(Ok((index, Ok(())))) => {
                applied(node, |plane| plane.view.index >= index).await;
                return Ok(());
            }
            Ok(Ok((_, Err(refusal)))) if refusal.code == "stale_epoch" => {
                applied(node, |plane| plane.accounts.epoch() != seen).await;
            }
            Ok(Ok((_, Err(refusal)))) => return Err(OrderError::Log(refusal)),
            Ok(Err(why)) => return Err(OrderError::Unknown { why }),
            Err(_) => return Err(OrderError::Unknown { why: "the node stops".to_owned() }),
        }
    }
    Err(OrderError::Contended)
}

/// Until the applied state is so.
async fn applied(node: &DataNode, is_so: impl Fn(&Plane) -> bool) {
    loop {
        // Before it looks: what happens from here on is not missed.
        let changed = node.changed.notified();
        if is_so(&node.plane.borrow()) {
            return;
        }
        changed.await;
    }
}

fn file_of(node: &DataNode) -> Result<PathBuf, OrderError> {
    let plane = node.plane.borrow();
    match plane.config.aclfile.as_str() {
        "" => Err(OrderError::NoFile),
        path => Ok(PathBuf::from(path)),
    }
}

async fn read(path: PathBuf) -> Result<file::Users, OrderError> {
    let shown = path.display().to_string();
    let bytes =
        spawn_blocking(move || disk::read_given(&path, FILE_BYTES_MAX)).await.map_err(std::io::Error::other);
    let bytes =
        bytes.flatten().map_err(|error| OrderError::Read { path: shown.clone(), why: error.to_string() })?;
    Ok(file::read(&shown, &bytes)?)
}

async fn write(path: PathBuf, bytes: Vec<u8>) -> Result<(), OrderError> {
    let shown = path.display().to_string();
    let failed = |why: String| OrderError::Write { path: shown.clone(), why };
    let written = spawn_blocking(move || replace_durably(&path, &bytes)).await;
    written
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(ironcache_types::chain(&error)))
}
