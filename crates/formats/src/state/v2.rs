//! Version 2 of the state: users, and libraries of functions. All else is as version 1 has it.

use super::v1::audit::Audit;
use super::v1::members::MembershipChange;
use super::v1::node::Node;
use super::v1::plan::{Ended, Plan};
use super::v1::release::{Declined, Quarantine, Unfinished};
use super::v1::shard::Shard;
use super::v1::{self, Answer};
use crate::AboveLevel;
use crate::parts::v1::security::Security;
use crate::parts::v1::{Policy, ReleaseInfo};
use ironcache_types::Level;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Users {
    pub epoch: u64,
    /// Rules, by name.
    pub by_name: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Libraries {
    pub epoch: u64,
    /// Code, by name.
    pub by_name: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl From<v1::State> for State {
    fn from(older: v1::State) -> Self {
        let v1::State {
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
        } = older;
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
            users: Users::default(),
            libraries: Libraries::default(),
        }
    }
}

impl State {
    /// As `level`, which is below 2, has it.
    pub(super) fn older(self, level: Level) -> Result<v1::State, AboveLevel> {
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
        if users != Users::default() {
            return Err(AboveLevel { what: "users".to_owned(), level });
        }
        if libraries != Libraries::default() {
            return Err(AboveLevel { what: "libraries".to_owned(), level });
        }
        Ok(v1::State {
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
        })
    }
}
