//! `POST /v1/cluster/recover`: an operator lets a shard that lost its whole in-sync set go on with what is left.
//!
//! *Invariant:* only the leader answers it: it alone knows what the nodes of the shard hold, and proposes it itself.
//! *Invariant:* nothing is done without `accept_loss`; the refusal says what would be.

use super::asked::Asker;
use super::body::JsonBody;
use super::error::HttpError;
use super::forward::{Answerer, Origin, Question, find_leader};
use crate::app::App;
use crate::clock::unix_ms;
use crate::lead::{commit, what_nodes_said};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use ironcache_api::{Done, RecoverRequest};
use ironcache_control::{Command, Recover};
use ironcache_coordinator::{Bars, CannotRecover, Remains, by_operator};
use ironcache_raft::AppliedView;
use ironcache_types::{NodeId, Offset};
use std::sync::Arc;

/// The code of the refusal of an order without `accept_loss`.
const NOT_ACCEPTED: &str = "loss_not_accepted";

pub(super) async fn recover(
    State(app): State<Arc<App>>,
    origin: Origin,
    asker: Asker,
    JsonBody(request): JsonBody<RecoverRequest>,
) -> Result<Response, HttpError> {
    let body = serde_json::to_vec(&request).map_err(|error| HttpError::Internal(error.to_string()))?;
    let sent_on = asker.clone();
    let question = Question::order("/v1/cluster/recover", &body, &sent_on);
    match find_leader(&app, question, origin).await? {
        Answerer::Here(view) => Ok(Json(of_leader(&app, &view, asker, &request).await?).into_response()),
        Answerer::There(response) => Ok(response),
    }
}

async fn of_leader(
    app: &App,
    view: &AppliedView,
    asker: Asker,
    request: &RecoverRequest,
) -> Result<Done, HttpError> {
    let RecoverRequest { shard, accept_loss } = *request;
    let observation = what_nodes_said(app, &view.state);
    let remains = by_operator(&view.state, &observation, &Bars::default(), shard, unix_ms())?;
    if !accept_loss {
        return Err(HttpError::refused(NOT_ACCEPTED, what_would_be(&remains)));
    }
    let done = format!("shard {shard} goes on with {}", kept(&remains.recover));
    commit(app, &view.state, asker.asks(Command::Recover(remains.recover))).await?.outcome?;
    Ok(Done { done })
}

fn what_would_be(Remains { recover, not_heard }: &Remains) -> String {
    let Recover { shard, given_up, lost_bytes_min, .. } = recover;
    let mut text = format!("shard {shard} would go on with {}", kept(recover));
    text.push_str("; whatever was acknowledged beyond that is lost");
    if *lost_bytes_min > 0 {
        text.push_str(&format!(", at least {lost_bytes_min} bytes of its stream"));
    }
    let names = |nodes: &mut dyn Iterator<Item = NodeId>| {
        nodes.map(|node| format!("node {node}")).collect::<Vec<_>>().join(", ")
    };
    if !given_up.is_empty() {
        let names = names(&mut given_up.iter().map(|member| member.node));
        text.push_str(&format!("; given up, although in sync: {names}"));
    }
    if !not_heard.is_empty() {
        let names = names(&mut not_heard.iter().copied());
        text.push_str(&format!("; may hold more, and has not said so: {names}"));
    }
    text.push_str(&format!(". `ironcache cluster recover --shard {shard} --accept-loss` does it"));
    text
}

fn kept(recover: &Recover) -> String {
    let Recover { to, at, at_ms, as_of_ms, .. } = recover;
    let age = as_of_ms.map(|as_of_ms| at_ms.saturating_sub(as_of_ms) / 1000);
    let age = age.map_or_else(String::new, |age_s| format!(", as it was {age_s} s ago"));
    match *at {
        Offset(0) => format!("nothing: node {} begins anew, as no node that answers holds anything", to.node),
        at => format!("what node {} holds, everything up to offset {at}{age}", to.node),
    }
}

impl From<CannotRecover> for HttpError {
    fn from(why: CannotRecover) -> Self {
        HttpError::refused(why.code(), why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironcache_control::RecoveredBy;
    use ironcache_types::{Epoch, Incarnation, Member, ShardId};
    use std::collections::BTreeSet;

    fn remains(at: u64, lost_bytes_min: u64) -> Remains {
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        let recover = Recover {
            shard: ShardId(3),
            shard_epoch: Epoch(7),
            isr_epoch: Epoch(8),
            to: member(1),
            at: Offset(at),
            lost_bytes_min,
            given_up: if at > 0 { BTreeSet::from([member(2)]) } else { BTreeSet::new() },
            term: 0,
            by: RecoveredBy::Operator,
            at_ms: 9_500,
            as_of_ms: (at > 0).then_some(2_000),
        };
        Remains { recover, not_heard: if at > 0 { vec![NodeId(2)] } else { vec![] } }
    }

    #[test]
    fn what_would_be_lost_is_said_before_anything_is_done() {
        expect_test::expect![[r"
            shard 3 would go on with what node 0000000000000001 holds, everything up to offset 40, as it was 7 s ago; whatever was acknowledged beyond that is lost, at least 50 bytes of its stream; given up, although in sync: node 0000000000000002; may hold more, and has not said so: node 0000000000000002. `ironcache cluster recover --shard 3 --accept-loss` does it
            shard 3 would go on with nothing: node 0000000000000001 begins anew, as no node that answers holds anything; whatever was acknowledged beyond that is lost. `ironcache cluster recover --shard 3 --accept-loss` does it"]]
        .assert_eq(&[what_would_be(&remains(40, 50)), what_would_be(&remains(0, 0))].join("\n"));
    }
}
