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
use ironcache_api::{CreateCluster, CreateKeys, Done, JoinBind, Refused};
use ironcache_client::{Access, Client, ClientError, join, seed};
use ironcache_identity::{Credentials, CredentialsError, PrivateKey, Tls};
use ironcache_types::{ClusterId, KeyHash, NodeId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How the first operator is called.
pub const FIRST_ADMIN: &str = "admin";

/// A node says so to whoever proves a code after it has joined.
const NOT_PRISTINE: &str = "not_pristine";

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
        let credentials = Credentials { pins: nodes.values().copied().collect(), ..begun };
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        credentials.replace(&beside(&path)).map_err(|error| usage(&error))?;
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
        Err(Failure::Refused(Refused { code, .. })) if code == NOT_PRISTINE && !begun.pins.is_empty() => {
            (join::visit(&http_addr, tls, &begun.pins).await?, MetState::Member)
        }
        Err(failure) => return Err(failure),
    };
    let status = contact.status().await?;
    // What the node announces, not how it was reached from here: the others go there.
    let candidate = Candidate { node: status.node, http_addr: status.http_addr };
    Ok(Met { candidate, key: contact.key, state })
}

fn draw() -> Result<Credentials, Failure> {
    let key = PrivateKey::generate().map_err(anyhow::Error::from)?;
    let mut cluster = [0; 16];
    getrandom::fill(&mut cluster).map_err(|error| Failure::failed(format!("no random numbers: {error}")))?;
    // 0 is nobody's.
    let cluster = ClusterId(u128::from_le_bytes(cluster).max(1));
    Ok(Credentials { cluster, key, pins: std::collections::BTreeSet::new() })
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
