//! `/v1/policy`: the settings of the whole cluster.
//!
//! *Invariant:* bounds are held here, by the table of this release; the log holds what no release can live without.

use super::asked::Asker;
use super::body::JsonBody;
use super::error::HttpError;
use super::forward::require_cluster;
use crate::app::App;
use crate::policy;
use axum::Json;
use axum::extract::State;
use ironcache_api::{PolicyChange, PolicyStatus, Setting, SettingValue};
use ironcache_control::{Command, ControlState, Rejection};
use ironcache_settings::{Change, ClusterKey, Value, cluster};
use std::sync::Arc;

pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Json<PolicyStatus>, HttpError> {
    require_cluster(&app)?;
    let view = app.raft.catch_up().await?;
    Ok(Json(status(&view.state)))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    asker: Asker,
    JsonBody(request): JsonBody<PolicyChange>,
) -> Result<Json<PolicyStatus>, HttpError> {
    require_cluster(&app)?;
    let PolicyChange { set, seen } = request;
    let view = app.raft.catch_up().await?;
    let (state, present) = (&view.state, view.state.policy_epoch);
    if let Some(seen) = seen.filter(|seen| *seen != present) {
        return Err(Rejection::StaleEpoch { what: "the policy".to_owned(), seen, current: present }.into());
    }
    let changes = set.iter().map(|(key, text)| (key.as_str(), text.as_str()));
    let policy = policy::changed(&state.policy, changes)?;
    // Whoever changed it in between is told of: theirs is not overwritten unseen.
    app.raft.propose(asker.asks(Command::SetPolicy { seen: present, policy })).await?.outcome?;
    let view = app.raft.catch_up().await?;
    Ok(Json(status(&view.state)))
}

fn status(state: &ControlState) -> PolicyStatus {
    let settings = cluster::keys().map(|key| setting(state, key)).collect();
    PolicyStatus { epoch: state.policy_epoch, settings }
}

fn setting(state: &ControlState, key: ClusterKey) -> Setting {
    let row = key.setting();
    Setting {
        key: row.name.to_owned(),
        value: shown(&policy::value(&state.policy, key)),
        default: shown(&row.default_value()),
        changeable: match row.change {
            Change::Running => true,
            Change::AtCreate | Change::AtStart => false,
        },
        about: row.doc.to_owned(),
    }
}

fn shown(value: &Value) -> SettingValue {
    match value {
        Value::Number(number) => SettingValue::Number(*number),
        Value::Never | Value::Word(_) | Value::Text(_) => SettingValue::Word(value.to_string()),
    }
}
