//! Users at this node: those that the log has, what is ordered about them, and what was refused to them.
//!
//! ```text
//!  applied users ─► Accounts, which every session of a user holds ─► connections of users that are gone end
//! ```
//! *Invariant:* nothing on the data thread waits for the file: it is read and written beside.

use super::DataNode;
use super::client::Client;
use super::orders::{OrderError, Orderer, Outcome};
use super::plane::Plane;
use super::server_commands::describe;
use crate::clock::unix_ms;
use ironcache_acl::file::{self, BadFile};
use ironcache_acl::{Attempt, Context, DEFAULT_USER, Denied, RuleError, User};
use ironcache_control::Command;
use ironcache_host::exec::spawn_blocking;
use ironcache_session::{Changed, Refusal};
use ironcache_store::{disk, replace_durably};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Why an order about users was not carried out. `Display` is the reply, without its leading `-`.
#[derive(Debug, thiserror::Error)]
pub(super) enum UserError {
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
}

/// Of an `aclfile`. All users together take a quarter of it in the log; the rest is for how they are written.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;

/// What the log is asked for.
#[derive(Default)]
struct Change {
    set: BTreeMap<Vec<u8>, Vec<u8>>,
    deleted: BTreeSet<Vec<u8>>,
}

impl Change {
    /// `None` if there is nothing to be changed.
    fn command(self, plane: &Plane, by: &[u8]) -> Option<Command> {
        let Self { set, deleted } = self;
        let seen = plane.accounts.epoch();
        (!set.is_empty() || !deleted.is_empty()).then(|| Command::ChangeUsers {
            seen,
            by: by.to_vec(),
            set,
            deleted,
        })
    }
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

/// `ACL SETUSER`.
pub(super) async fn set(order: Orderer<'_>, name: &[u8], rules: &[Vec<u8>]) -> Result<Outcome, OrderError> {
    let by = order.by;
    order
        .change(|plane| Ok::<_, UserError>(with_rules(plane, name, rules)?.command(plane, by)))
        .await
        .map(|()| Outcome::Done)
}

/// `ACL DELUSER`: how many of these there were.
pub(super) async fn delete(order: Orderer<'_>, names: &[Vec<u8>]) -> Result<Outcome, OrderError> {
    let (by, mut count) = (order.by, 0);
    let work_out = |plane: &Plane| {
        let known = names.iter().filter(|name| plane.accounts.find(name).is_some());
        let deleted: BTreeSet<_> = known.cloned().collect();
        count = deleted.len();
        Ok::<_, UserError>(Change { deleted, ..Change::default() }.command(plane, by))
    };
    order.change(work_out).await?;
    Ok(Outcome::Deleted(count))
}

/// `ACL LOAD`.
pub(super) async fn load(order: Orderer<'_>) -> Result<Outcome, OrderError> {
    let (by, users) = (order.by, read(file_of(order.node)?).await?);
    order
        .change(|plane| Ok::<_, UserError>(replace(plane, &users).command(plane, by)))
        .await
        .map(|()| Outcome::Done)
}

/// `ACL SAVE`.
pub(super) async fn save(order: Orderer<'_>) -> Result<Outcome, OrderError> {
    let path = file_of(order.node)?;
    let users: Vec<_> = {
        let plane = order.node.plane.borrow();
        plane.accounts.iter().map(|account| (account.name().to_vec(), account.user())).collect()
    };
    let bytes = file::write(users.iter().map(|(name, user)| (&name[..], user)));
    write(path, bytes).await?;
    Ok(Outcome::Done)
}

/// The user as its rules make it.
fn with_rules(plane: &Plane, name: &[u8], rules: &[Vec<u8>]) -> Result<Change, UserError> {
    let known = plane.accounts.find(name);
    if known.is_some_and(|account| !account.is_whole()) {
        return Err(UserError::InPart { name: String::from_utf8_lossy(name).into_owned() });
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

fn file_of(node: &DataNode) -> Result<PathBuf, UserError> {
    let plane = node.plane.borrow();
    match plane.config.aclfile.as_str() {
        "" => Err(UserError::NoFile),
        path => Ok(PathBuf::from(path)),
    }
}

async fn read(path: PathBuf) -> Result<file::Users, UserError> {
    let shown = path.display().to_string();
    let bytes =
        spawn_blocking(move || disk::read_given(&path, FILE_BYTES_MAX)).await.map_err(std::io::Error::other);
    let bytes =
        bytes.flatten().map_err(|error| UserError::Read { path: shown.clone(), why: error.to_string() })?;
    Ok(file::read(&shown, &bytes)?)
}

async fn write(path: PathBuf, bytes: Vec<u8>) -> Result<(), UserError> {
    let shown = path.display().to_string();
    let failed = |why: String| UserError::Write { path: shown.clone(), why };
    let written = spawn_blocking(move || replace_durably(&path, &bytes)).await;
    written
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(ironcache_types::chain(&error)))
}
