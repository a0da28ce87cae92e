//! What a demo shows, and how its plan is started and followed.
//!
//! ```text
//!   roll       stage ─► set target ─► finalized
//!   auto       policy: minor ─ stage ─► (a plan begins by itself) ─► finalized
//!   rollback   stage ─► set target ─► soaks ─► rollback ─► everybody is back
//! ```

use super::Demo;
use super::report::Back;
use crate::cluster::{PlanOrder, set_target};
use crate::exit::Failure;
use crate::text;
use crate::upgrade::{self, Ending};
use ironcache_api::{
    Direction, HistoryEntry, HoldReason, Outcome, Plan, Refused, RollbackRequest, StageHold, UpgradeStatus,
};
use ironcache_client::Client;
use ironcache_types::PlanId;
use std::path::Path;
use std::time::{Duration, Instant};

/// A roll of six nodes takes seconds; a plan that waits for this long waits for ever.
const ROLL_TIMEOUT: Duration = Duration::from_secs(180);
/// Every node fetches what was staged before the policy starts a plan to it: a second, on a busy machine some.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long everybody runs the new release before the operator takes it back.
const SOAK: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Scene {
    /// An operator names a version, and every node goes to it.
    #[default]
    Roll,
    /// Nobody names anything: the policy starts the plan.
    Auto,
    /// Every node goes there, and back by command.
    Rollback,
}

impl Scene {
    /// Settings of the cluster, as `KEY=VALUE`.
    pub(super) fn settings(self) -> Vec<String> {
        let set: &[&str] = match self {
            Scene::Roll => &[],
            Scene::Auto => &["auto-rollout=minor"],
            Scene::Rollback => &["finalize-after-s=never"],
        };
        set.iter().map(|pair| (*pair).to_owned()).collect()
    }

    fn hold(self) -> StageHold {
        match self {
            Scene::Auto => StageHold::Free,
            Scene::Roll | Scene::Rollback => StageHold::Held,
        }
    }
}

/// Stages the release and follows its plan to the scene's end. One that is held or was aborted is a failure of the demo.
pub(super) async fn play(demo: &mut Demo, client: &Client, next: &Path) -> Result<(), Failure> {
    let scene = demo.evidence.scene;
    demo.view.say(&format!("staging {}", demo.report.to))?;
    let staged = client.stage(next, scene.hold()).await?;
    demo.evidence.to = Some(staged.release);
    let plan = match scene {
        Scene::Roll | Scene::Rollback => by_command(demo, client).await?,
        Scene::Auto => by_itself(demo, client).await?,
    };
    let ending = upgrade::follow(client, plan, &mut demo.view, Some(ROLL_TIMEOUT)).await?;
    match (scene, ending) {
        (Scene::Roll | Scene::Auto, Ending::Ended(entry)) => {
            let ended_at_ms = (entry.outcome == Outcome::Finalized).then_some(entry.ended_at_ms);
            enter(demo, &entry.plan, ended_at_ms);
            Ok(())
        }
        (Scene::Rollback, Ending::Soaks { plan, soaking, now_ms: _ }) => {
            enter(demo, &plan, Some(soaking.since_ms));
            tokio::time::sleep(SOAK).await;
            take_back(demo, client, &plan).await
        }
        (Scene::Roll | Scene::Auto, Ending::Soaks { plan, .. }) => {
            enter(demo, &plan, None);
            Err(Failure::failed(format!("plan {} soaks: it was to finalize at once", plan.id)))
        }
        (Scene::Rollback, Ending::Ended(entry)) => {
            enter(demo, &entry.plan, None);
            let HistoryEntry { plan, outcome, .. } = *entry;
            Err(Failure::failed(format!("plan {} was {outcome} before it could be taken back", plan.id)))
        }
        (Scene::Roll | Scene::Auto | Scene::Rollback, Ending::Held { plan, reason }) => {
            enter(demo, &plan, None);
            Err(held(demo, &plan, &reason))
        }
    }
}

async fn by_command(demo: &mut Demo, client: &Client) -> Result<PlanId, Failure> {
    let order = PlanOrder { target: demo.report.to.clone(), digest: None, max_parallel: None };
    let answer = set_target(client, &order).await?;
    answer.plan.ok_or_else(|| Failure::failed("the cluster accepted the plan without naming it"))
}

/// Waits for the plan that nobody asked for.
async fn by_itself(demo: &mut Demo, client: &Client) -> Result<PlanId, Failure> {
    demo.view.say("the policy admits minor releases: nobody says anything more")?;
    let give_up = Instant::now() + START_TIMEOUT;
    loop {
        let UpgradeStatus { plan, history, .. } = client.upgrade().await?;
        let plan = plan.or_else(|| history.into_iter().next_back().map(|entry| entry.plan));
        if let Some(plan) = plan {
            return Ok(plan.id);
        }
        if Instant::now() >= give_up {
            let waited = START_TIMEOUT.as_secs();
            return Err(Failure::failed(format!("no plan began by itself within {waited} s")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// As an operator who has seen enough: `went` is the plan, all of whose nodes run the target.
async fn take_back(demo: &mut Demo, client: &Client, went: &Plan) -> Result<(), Failure> {
    demo.view.say(&format!("every node runs {}; taking it back", demo.report.to))?;
    let began_ms = client.upgrade().await?.now_ms;
    let request = RollbackRequest { reason: Some("the demo shows the way back".to_owned()) };
    client.rollback(&request).await?;
    match upgrade::follow(client, went.id, &mut demo.view, Some(ROLL_TIMEOUT)).await? {
        Ending::Ended(entry) => {
            let HistoryEntry { plan, outcome, ended_at_ms } = *entry;
            if !matches!((&outcome, &plan.direction), (Outcome::RolledBack, Direction::Back { .. })) {
                return Err(Failure::failed(format!("plan {} was {outcome}, not rolled back", plan.id)));
            }
            let ms = began_ms.map(|began_ms| ended_at_ms.saturating_sub(began_ms));
            demo.report.rollback = Some(Back::of(&plan, went, ms));
            demo.evidence.primaries_before_rollback = plan.start_primaries;
            Ok(())
        }
        Ending::Soaks { plan, .. } => {
            Err(Failure::failed(format!("plan {} soaks on: it was to go back", plan.id)))
        }
        Ending::Held { plan, reason } => Err(held(demo, &plan, &reason)),
    }
}

fn enter(demo: &mut Demo, plan: &Plan, ended_at_ms: Option<u64>) {
    demo.report.enter_plan(plan, ended_at_ms);
    if demo.evidence.scene == Scene::Auto {
        demo.report.started_by = Some(plan.started_by.clone());
    }
    demo.evidence.start_primaries = plan.start_primaries.clone();
}

fn held(demo: &mut Demo, plan: &Plan, reason: &HoldReason) -> Failure {
    let detail = text::hold_reason(reason);
    demo.report.refused = Some(Refused { code: "plan_held".to_owned(), detail: detail.clone() });
    Failure::failed(format!("plan {} is held: {detail}", plan.id))
}
