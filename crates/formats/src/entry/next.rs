//! The bodies that came with the feature `next`.

use super::v1::membership::RegisterNode as Older;
use crate::AboveLevel;
use crate::parts::v1::{LevelRange, Member, ProtocolRange, Release};
use ironcache_control::Command;
use ironcache_types::{Level, NodeId};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegisterNode {
    pub member: Member,
    pub client_addr: String,
    pub peer_addr: String,
    pub http_addr: String,
    /// The port, on the same host as `client_addr`, that clients are sent to which came by TLS.
    pub tls_port: Option<u16>,
    pub release: Release,
    pub levels: LevelRange,
    pub launcher_protocol: ProtocolRange,
    pub machine: u128,
    pub zone: Option<String>,
}

impl From<Older> for RegisterNode {
    fn from(older: Older) -> Self {
        let Older {
            member,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            release,
            levels,
            launcher_protocol,
            machine,
        } = older;
        let zone = None;
        RegisterNode {
            member,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            release,
            levels,
            launcher_protocol,
            machine,
            zone,
        }
    }
}

impl RegisterNode {
    /// As `level`, which is below [`ironcache_types::NEXT`], has it.
    pub(super) fn older(self, level: Level) -> Result<Older, AboveLevel> {
        let RegisterNode {
            member,
            client_addr,
            peer_addr,
            http_addr,
            tls_port,
            release,
            levels,
            launcher_protocol,
            machine,
            zone,
        } = self;
        match zone {
            Some(_) => Err(AboveLevel { what: "the zone of a registering node".to_owned(), level }),
            None => Ok(Older {
                member,
                client_addr,
                peer_addr,
                http_addr,
                tls_port,
                release,
                levels,
                launcher_protocol,
                machine,
            }),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetZone {
    pub node: u64,
    pub zone: String,
}

impl From<SetZone> for Command {
    fn from(SetZone { node, zone }: SetZone) -> Self {
        Command::SetZone { node: NodeId(node), zone }
    }
}
