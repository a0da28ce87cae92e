//! The operator who rolls: from the first release to the second, back to the first, and so on, while things go wrong.
//!
//! It does what docs/upgrade.md tells people to do: stages, starts a plan, resumes one that is held, and rolls back what
//! cannot be resumed. What it is told may be lost, and whom it asks may be dead: it asks the next node then.
//!
//! *Invariant:* once nothing is wrong any more, the plan that is under way ends, and all nodes run one release.

use super::host::http_url;
use super::release::{self, Built};
use super::world::World;
use ironcache_api::{HoldReason, Phase, PlanRequest, RollbackRequest, StagedRelease, UpgradeStatus};
use ironcache_host::http::{Client, Error, Plain, Response, Waits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::sleep;

/// Longer than an election; whoever has not answered by then may be dead.
const PATIENCE: Duration = Duration::from_millis(2_000);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Rolls until the world is calm again, and tells it when the last plan has ended.
pub(crate) async fn back_and_forth(world: Rc<World>) -> Result<(), Error> {
    let waits = Waits { call: Some(PATIENCE), ..Waits::default() };
    let client = Client::new(std::sync::Arc::new(Plain), waits);
    let mut operator = Operator { client, world: Rc::clone(&world), turn: 0 };
    let (first, second) = (release::first(), release::second());
    operator.stage(&second).await;
    let mut targets = [&second, &first].into_iter().cycle();
    while world.works() && !world.is_calm() {
        let Some(target) = targets.next() else { break };
        operator.roll(target).await;
    }
    world.note_rolled();
    Ok(())
}

struct Operator {
    client: Client,
    world: Rc<World>,
    turn: u64,
}

impl Operator {
    async fn stage(&mut self, built: &Built) {
        loop {
            let url = self.url("/v1/releases");
            match self.client.post(url).body(built.bytes.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => self.is_refused("staging", answer).await,
                Err(error) => self.goes_on(&error).await,
            }
        }
    }

    /// Until every node runs `target`, or it is certain that none will.
    async fn roll(&mut self, target: &Built) {
        loop {
            let status: UpgradeStatus = self.get("/v1/upgrade").await;
            let goes_to = status.plan.as_ref().map(|plan| (&plan.target, &plan.phase));
            match goes_to {
                Some((_, Phase::Held { reason: reason @ HoldReason::StateMismatch { .. } })) => {
                    self.world.violate(format!("a plan is held: {reason:?}"));
                    return std::future::pending().await;
                }
                Some((_, Phase::Held { reason })) => {
                    tracing::info!(?reason, "a plan is held");
                    if !self.order("/v1/upgrade/resume", &()).await {
                        let why = RollbackRequest { reason: Some("it cannot be resumed".to_owned()) };
                        self.order("/v1/upgrade/rollback", &why).await;
                    }
                }
                Some((_, Phase::Soaking { .. })) => drop(self.order("/v1/upgrade/finalize", &()).await),
                Some(_) => {}
                None if status.nodes.iter().all(|node| node.release == target.release) => {
                    self.world.note_roll();
                    return;
                }
                None if self.is_quarantined(target).await => return,
                None if self.world.is_calm() => return self.settle(&status).await,
                None => {
                    let request = PlanRequest {
                        target: target.release.version.clone(),
                        digest: Some(target.release.digest),
                        dry_run: false,
                        max_parallel: None,
                        settle_ms: None,
                    };
                    self.order("/v1/upgrade/plan", &request).await;
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// No plan runs: either all nodes run one release, or the last plan was given up in the middle, which nobody did.
    async fn settle(&self, status: &UpgradeStatus) {
        let mut releases = status.nodes.iter().map(|node| &node.release);
        let first = releases.next();
        if releases.any(|release| Some(release) != first) {
            self.world.violate(format!("no plan runs, and nodes run several releases: {:?}", status.nodes));
        }
    }

    async fn is_quarantined(&mut self, built: &Built) -> bool {
        let known: Vec<StagedRelease> = self.get("/v1/releases").await;
        let staged = known.iter().find(|staged| staged.release == built.release);
        let is_quarantined = staged.is_some_and(|staged| staged.quarantined.is_some());
        if is_quarantined {
            self.world.note_quarantine();
        }
        is_quarantined
    }

    /// Did it take effect?
    async fn order(&mut self, path: &str, order: &impl Serialize) -> bool {
        let url = self.url(path);
        match self.client.post(url).json(order).send().await {
            Ok(answer) if answer.status().is_success() => true,
            Ok(answer) => {
                self.is_refused(path, answer).await;
                false
            }
            // It may have: whoever asks again sees it.
            Err(error) => {
                self.goes_on(&error).await;
                true
            }
        }
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> T {
        loop {
            match self.client.get(self.url(path)).send().await {
                Ok(answer) if answer.status().is_success() => match answer.json().await {
                    Ok(answer) => return answer,
                    Err(error) => self.goes_on(&error).await,
                },
                Ok(answer) => self.is_refused(path, answer).await,
                Err(error) => self.goes_on(&error).await,
            }
        }
    }

    fn url(&self, path: &str) -> String {
        http_url(self.turn % self.world.nodes() + 1, path)
    }

    async fn is_refused(&mut self, what: &str, answer: Response) {
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        tracing::info!(what, %status, text, "the operator is refused");
        self.turn += 1;
        sleep(LOOK_AGAIN).await;
    }

    async fn goes_on(&mut self, error: &Error) {
        tracing::info!(%error, "the operator asks the next node");
        self.turn += 1;
        sleep(LOOK_AGAIN).await;
    }
}
