//! A cluster with keys is founded: the first admin's key is made, every node is met, and told who it belongs with.
//!
//! ```text
//!   draw cluster and key ─► meet every node ─► lay out, ask ─► note what was drawn ─► meet and bind every node
//!                                                                                          │
//!              credentials file ◄─ the cluster exists ◄─ create, to the first ◄────────────┘
//! ```
//! *Invariant:* no node is bound before every node has proved its code, and the layout fits.
//! *Invariant:* what was drawn is in a file before the first node knows it: asked again, it goes on, with the same key.
//! *Invariant:* a credentials file stands in its place only if its cluster exists.

use super::create::CreateSpec;
use super::layout::{self, Candidate};
use super::newcomer::Newcomer;
use crate::exit::Failure;
use ironcache_api::{CreateCluster, CreateKeys, Done, JoinBind};
use ironcache_client::{Access, Client, ClientError, join, seed};
use ironcache_identity::{Credentials, CredentialsError, PrivateKey, Tls};
use ironcache_types::{ClusterId, KeyHash, NodeId};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How the first operator is called.
pub const FIRST_ADMIN: &str = "admin";

/// A cluster with keys that is about to be.
#[derive(Debug)]
pub struct Founding {
    begun: Credentials,
    tls: Tls,
    /// Where the credentials are to be.
    path: PathBuf,
    /// By the same order as the nodes are given.
    met: Vec<Met>,
    newcomers: Vec<Newcomer>,
    pub request: CreateCluster,
}

#[derive(Clone, Debug)]
struct Met {
    candidate: Candidate,
    key: KeyHash,
    state: MetState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetState {
    Pristine,
    /// An earlier attempt has come as far as this.
    Member,
}

impl Founding {
    /// Meets the nodes of `spec`, and lays the cluster out. Nothing is changed anywhere yet.
    ///
    /// # Errors
    /// There are credentials at `path` already, a node does not prove its code, or the layout does not fit.
    pub async fn prepare(spec: &CreateSpec, admin: &str, path: &Path) -> Result<Self, Failure> {
        let path = std::path::absolute(path)?;
        if path.exists() {
            return Err(usage(&CredentialsError::Exists { path }));
        }
        let begun = match Credentials::load(&beside(&path)) {
            Ok(begun) => begun,
            Err(CredentialsError::Missing { .. }) => draw()?,
            Err(error) => return Err(usage(&error)),
        };
        let tls = Tls::new(&begun.key).map_err(anyhow::Error::from)?;
        let newcomers: Vec<Newcomer> = spec.data.iter().chain(&spec.witnesses).cloned().collect();
        let mut met = Vec::new();
        for newcomer in &newcomers {
            met.push(meet(newcomer, &tls, &begun).await?);
        }
        if !begun.pins.is_empty() && !met.iter().any(|met| begun.pins.contains(&met.key)) {
            return Err(Failure::Usage(format!(
                "{} is of a cluster of other nodes that was begun: give another --credentials FILE, or remove it if that \
                 cluster is not wanted",
                beside(&path).display()
            )));
        }
        let candidates: Vec<Candidate> = met.iter().map(|met| met.candidate.clone()).collect();
        let (of_data, of_witnesses) = candidates.split_at(spec.data.len());
        let layout = layout::layout(of_data, of_witnesses, spec.replicas, spec.mode.clone());
        let layout = layout.map_err(|error| Failure::Usage(error.to_string()))?;
        let nodes = met.iter().map(|met| (met.candidate.node, met.key)).collect();
        // Of one that an earlier attempt has met the file may be gone.
        let codes = newcomers.iter().filter_map(|newcomer| newcomer.code().ok()).map(|code| code.digest());
        let codes = codes.collect();
        let security = Some(CreateKeys { cluster: begun.cluster, admin: admin.to_owned(), nodes, codes });
        let request = CreateCluster { set: spec.set.clone(), security, ..layout };
        Ok(Founding { begun, tls, path, met, newcomers, request })
    }

    /// Makes the cluster, and writes the credentials file.
    ///
    /// # Errors
    /// A node refused or did not answer: asked again with the same nodes, it goes on.
    pub async fn carry_out(self) -> Result<Done, Failure> {
        let Founding { begun, tls, path, met, newcomers, request } = self;
        let nodes: BTreeMap<NodeId, KeyHash> = met.iter().map(|met| (met.candidate.node, met.key)).collect();
        let drawn = if begun.pins.is_empty() { Drawn::Now } else { Drawn::Before };
        let credentials = Credentials { pins: nodes.values().copied().collect(), ..begun };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        note(&credentials, &path, drawn)?;
        let bind = JoinBind { cluster: credentials.cluster, nodes };
        for (newcomer, known) in newcomers.iter().zip(&met).filter(|(_, met)| met.state == MetState::Pristine)
        {
            let (mut contact, _) = newcomer.meet(&tls).await?;
            if contact.key != known.key {
                return Err(Failure::failed(format!(
                    "another node answers at {} than a moment ago",
                    newcomer.addr
                )));
            }
            contact.bind(&bind).await?;
        }
        let first = request.nodes.first().expect("a layout has at least one node");
        let access = Access::of(&credentials)?;
        let done = Client::with(access, vec![first.http_addr.clone()]).create(&request).await?;
        credentials.create(&path).map_err(|error| usage(&error))?;
        // It says nothing that the file does not.
        let _ = std::fs::remove_file(beside(&path));
        Ok(Done { done: format!("{}; the admin's credentials are in {}", done.done, path.display()) })
    }
}

/// Who the node is. One that an earlier attempt has made a member does not prove its code any more, and is known by its key.
async fn meet(newcomer: &Newcomer, tls: &Tls, begun: &Credentials) -> Result<Met, Failure> {
    let http_addr = seed::resolve(&newcomer.addr).await.map_err(ClientError::from)?;
    let (mut contact, state) = match newcomer.meet(tls).await {
        Ok((contact, _)) => (contact, MetState::Pristine),
        Err(failure) => match come_back(&http_addr, tls, begun).await {
            Some(contact) => (contact, MetState::Member),
            None => return Err(failure),
        },
    };
    let status = contact.status().await?;
    // What the node announces, not how it was reached from here: the others go there.
    let candidate = Candidate { node: status.node, http_addr: status.http_addr };
    Ok(Met { candidate, key: contact.key, state })
}

/// To a node that an earlier attempt has made a member. It proves no code any more, and the file of it may be gone.
async fn come_back(http_addr: &str, tls: &Tls, begun: &Credentials) -> Option<join::Contact> {
    if begun.pins.is_empty() {
        return None;
    }
    let mut contact = join::visit(http_addr, tls, &begun.pins).await.ok()?;
    let status = contact.status().await.ok()?;
    (!status.pristine).then_some(contact)
}

/// When the cluster's id and the admin's key were drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drawn {
    Now,
    /// By an attempt that this one goes on with.
    Before,
}

/// Keeps what was drawn, beside `path`. Of two attempts that begin at once one goes on: the other's key would be lost.
fn note(credentials: &Credentials, path: &Path, drawn: Drawn) -> Result<(), Failure> {
    let noted = beside(path);
    match drawn {
        Drawn::Before => credentials.replace(&noted).map_err(|error| usage(&error)),
        Drawn::Now => credentials.create(&noted).map_err(|error| match error {
            CredentialsError::Exists { path } => Failure::Usage(format!(
                "{} has come while you were asked: somebody else creates a cluster with the same credentials file. Nothing was \
                 changed; ask again to go on with what they began, or give another --credentials FILE",
                path.display()
            )),
            CredentialsError::Missing { .. }
            | CredentialsError::Unusable { .. }
            | CredentialsError::Key { .. }
            | CredentialsError::File(_) => usage(&error),
        }),
    }
}

fn draw() -> Result<Credentials, Failure> {
    let key = PrivateKey::generate().map_err(anyhow::Error::from)?;
    let mut cluster = [0; 16];
    getrandom::fill(&mut cluster).map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    // 0 is nobody's.
    let cluster = ClusterId(u128::from_le_bytes(cluster).max(1));
    Ok(Credentials { cluster, key, pins: BTreeSet::new(), heard: BTreeSet::new() })
}

/// Where what was drawn is until the cluster exists.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".begun");
    PathBuf::from(name)
}

fn usage(error: &CredentialsError) -> Failure {
    Failure::Usage(ironcache_types::chain(error))
}

impl From<join::JoinError> for Failure {
    fn from(error: join::JoinError) -> Self {
        match error {
            join::JoinError::Unreachable { .. } => Failure::Unreachable(error.to_string()),
            join::JoinError::OtherCode { .. } => Failure::Failed(error.into()),
            join::JoinError::Answered(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_begin_at_once_the_second_writes_nothing_over_and_who_goes_on_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.json");
        let kept = || Credentials::load(&beside(&path)).unwrap().key.hash();
        let (first, second) = (draw().unwrap(), draw().unwrap());
        note(&first, &path, Drawn::Now).unwrap();
        let refused = note(&second, &path, Drawn::Now).unwrap_err();
        assert_eq!((refused.code(), kept()), (2, first.key.hash()));
        let pins = BTreeSet::from([second.key.hash()]);
        note(&Credentials { pins: pins.clone(), ..first }, &path, Drawn::Before).unwrap();
        assert_eq!(Credentials::load(&beside(&path)).unwrap().pins, pins);
    }
}
