//! The state of the feature `next`: a node stands in a zone. All else is as version 2 has it.

use super::v1;
use super::v1::audit::Audit;
use super::v1::members::MembershipChange;
use super::v1::node::{OutStep, Preflight};
use super::v1::plan::{Ended, Plan};
use super::v1::release::{Declined, Quarantine, Unfinished};
use super::v1::shard::Shard;
use super::v2::{self, Libraries, Users};
use crate::AboveLevel;
use crate::parts::v1::security::Security;
use crate::parts::v1::{LevelRange, NodeRole, Policy, ProtocolRange, Release, ReleaseInfo};
use ironcache_types::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use v1::Answer;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub cluster_id: Option<u128>,
    pub epoch: u64,
    pub cluster_level: u16,
    pub policy: Policy,
    pub policy_epoch: u64,
    pub nodes: BTreeMap<u64, Node>,
    pub shards: BTreeMap<u16, Shard>,
    pub releases: BTreeMap<[u8; 32], ReleaseInfo>,
    pub quarantined: BTreeMap<[u8; 32], Quarantine>,
    pub declined: BTreeMap<[u8; 32], Declined>,
    pub unfinished: Option<Unfinished>,
    pub plan: Option<Plan>,
    pub last_plan: u64,
    /// Oldest first.
    pub history: Vec<Ended>,
    pub membership: Option<MembershipChange>,
    /// Oldest first.
    pub removed: Vec<u64>,
    pub security: Security,
    pub audit: Audit,
    /// Oldest first.
    pub answers: Vec<Answer>,
    pub users: Users,
    pub libraries: Libraries,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub id: u64,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    pub tls_port: Option<u16>,
    pub role: NodeRole,
    pub voter: bool,
    pub shard: Option<u16>,
    pub incarnation: u64,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub machine: u128,
    pub oldest: u16,
    pub staged: Vec<[u8; 32]>,
    pub preflight: Option<Preflight>,
    pub out: Option<OutStep>,
    pub zone: Option<String>,
}

impl From<v2::State> for State {
    fn from(older: v2::State) -> Self {
        let v2::State {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
            membership,
            removed,
            security,
            audit,
            answers,
            users,
            libraries,
        } = older;
        let nodes = nodes.into_iter().map(|(id, node)| (id, node.into())).collect();
        State {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
            membership,
            removed,
            security,
            audit,
            answers,
            users,
            libraries,
        }
    }
}

impl State {
    /// As `level`, which is below [`ironcache_types::NEXT`], has it.
    pub(super) fn older(self, level: Level) -> Result<v2::State, AboveLevel> {
        let State {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
            membership,
            removed,
            security,
            audit,
            answers,
            users,
            libraries,
        } = self;
        let nodes =
            nodes.into_iter().map(|(id, node)| Ok((id, node.older(level)?))).collect::<Result<_, _>>()?;
        Ok(v2::State {
            cluster_id,
            epoch,
            cluster_level,
            policy,
            policy_epoch,
            nodes,
            shards,
            releases,
            quarantined,
            declined,
            unfinished,
            plan,
            last_plan,
            history,
            membership,
            removed,
            security,
            audit,
            answers,
            users,
            libraries,
        })
    }
}

impl From<v1::node::Node> for Node {
    fn from(older: v1::node::Node) -> Self {
        let v1::node::Node {
            id,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role,
            voter,
            shard,
            incarnation,
            release,
            levels,
            launcher_protocol,
            machine,
            oldest,
            staged,
            preflight,
            out,
        } = older;
        Node {
            id,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role,
            voter,
            shard,
            incarnation,
            release,
            levels,
            launcher_protocol,
            machine,
            oldest,
            staged,
            preflight,
            out,
            zone: None,
        }
    }
}

impl Node {
    fn older(self, level: Level) -> Result<v1::node::Node, AboveLevel> {
        let Node {
            id,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            role,
            voter,
            shard,
            incarnation,
            release,
            levels,
            launcher_protocol,
            machine,
            oldest,
            staged,
            preflight,
            out,
            zone,
        } = self;
        match zone {
            Some(_) => Err(AboveLevel { what: format!("the zone of node {id}"), level }),
            None => Ok(v1::node::Node {
                id,
                client_addr,
                peer_addr,
                http_addr,
                tls_port,
                role,
                voter,
                shard,
                incarnation,
                release,
                levels,
                launcher_protocol,
                machine,
                oldest,
                staged,
                preflight,
                out,
            }),
        }
    }
}
