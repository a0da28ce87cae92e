//! Keys and operators.

use crate::doors::Mode;
use ironcache_api as api;
use ironcache_control::{Operator, OperatorRole, Security};
use ironcache_types::{KeyHash, NodeId};
use std::collections::BTreeMap;

pub(super) fn mode(security: &Security) -> api::SecurityMode {
    match security {
        Security::Insecure => api::SecurityMode::Insecure,
        Security::Keys(_) => api::SecurityMode::Keys,
    }
}

pub(in super::super) fn believes(mode: &Mode) -> api::Believes {
    match mode {
        Mode::Open => api::Believes::Open,
        Mode::Keys(_) | Mode::Heard(..) => api::Believes::Keys,
        Mode::Bound(_) => api::Believes::Bound,
        Mode::Locked => api::Believes::Locked,
    }
}

/// In the order of their names.
pub(in super::super) fn operators(security: &Security) -> Vec<api::Operator> {
    let keys = match security {
        Security::Insecure => return Vec::new(),
        Security::Keys(keys) => keys,
    };
    let mut operators: Vec<_> = keys.operators.iter().map(|(key, of)| operator(*key, of)).collect();
    operators.sort_by(|a, b| a.name.cmp(&b.name));
    operators
}

pub(super) fn pins(security: &Security) -> BTreeMap<NodeId, KeyHash> {
    match security {
        Security::Insecure => BTreeMap::new(),
        Security::Keys(keys) => keys.nodes.clone(),
    }
}

fn operator(key: KeyHash, Operator { name, role }: &Operator) -> api::Operator {
    let role = match role {
        OperatorRole::Viewer => api::OperatorRole::Viewer,
        OperatorRole::Operator => api::OperatorRole::Operator,
        OperatorRole::Admin => api::OperatorRole::Admin,
    };
    api::Operator { key, name: name.clone(), role }
}

pub(in super::super) fn log_admitted(admitted: api::Admitted) -> ironcache_control::Admitted {
    let api::Admitted { key, code } = admitted;
    ironcache_control::Admitted { key, code }
}

/// `None`: the role of another release.
pub(in super::super) fn log_role(role: &api::OperatorRole) -> Option<OperatorRole> {
    match role {
        api::OperatorRole::Viewer => Some(OperatorRole::Viewer),
        api::OperatorRole::Operator => Some(OperatorRole::Operator),
        api::OperatorRole::Admin => Some(OperatorRole::Admin),
        api::OperatorRole::Unknown(_) => None,
    }
}
