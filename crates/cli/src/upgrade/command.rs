//! `ironcache cluster upgrade …`.

use super::follow::follow;
use super::lines;
use super::view::View;
use crate::cluster::Seeds;
use crate::exit::{Failure, Format};
use crate::output;
use crate::text;
use ironcache_api::{RollbackRequest, UpgradeStatus, WaitingOn};

#[derive(Clone, Debug, clap::Subcommand)]
pub enum UpgradeCommand {
    /// Where the roll is, node by node
    Status(StatusArgs),
    /// Take no further node out
    Pause(ActArgs),
    /// Go on after a pause or a hold
    Resume(ActArgs),
    /// End the plan where it stands
    Abort(ActArgs),
    /// Take every node back to what it ran before the plan; possible until finalize
    Rollback(RollbackArgs),
    /// Make the upgrade final now: the level rises, and nothing goes back any more
    Finalize(ActArgs),
    /// Plans that ended
    History(ActArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    seeds: Seeds,
    /// Go on showing until the plan has ended, soaks or is held
    #[arg(long)]
    watch: bool,
    /// Answer in JSON; with --watch one value for each change
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RollbackArgs {
    /// Why, for the history
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ActArgs {
    #[command(flatten)]
    seeds: Seeds,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

impl UpgradeCommand {
    pub fn json(&self) -> bool {
        match self {
            UpgradeCommand::Status(args) => args.json,
            UpgradeCommand::Pause(args)
            | UpgradeCommand::Resume(args)
            | UpgradeCommand::Abort(args)
            | UpgradeCommand::Finalize(args)
            | UpgradeCommand::History(args) => args.json,
            UpgradeCommand::Rollback(args) => args.json,
        }
    }

    pub async fn run(self) -> Result<(), Failure> {
        match self {
            UpgradeCommand::Status(args) => status(&args).await,
            UpgradeCommand::Pause(args) => act(&args, "/v1/upgrade/pause").await,
            UpgradeCommand::Resume(args) => act(&args, "/v1/upgrade/resume").await,
            UpgradeCommand::Abort(args) => act(&args, "/v1/upgrade/abort").await,
            UpgradeCommand::Rollback(args) => rollback(&args).await,
            UpgradeCommand::Finalize(args) => act(&args, "/v1/upgrade/finalize").await,
            UpgradeCommand::History(args) => history(&args).await,
        }
    }
}

async fn status(args: &StatusArgs) -> Result<(), Failure> {
    let client = args.seeds.client().await?;
    let format = Format::of(args.json);
    // The cluster's own view names the other nodes: the one that was asked first will be away, once.
    client.cluster().await?;
    let status = client.upgrade().await?;
    let active = status.plan.as_ref().map(|plan| plan.id);
    match (args.watch, active) {
        (true, Some(plan)) => {
            let mut view = match format {
                Format::Text => View::for_stdout(),
                Format::Json => View::json(),
            };
            let ending = follow(&client, plan, &mut view, None).await?;
            // JSON has come line by line: there is no last object.
            if format == Format::Text {
                ending.tell(format, &view)?;
            }
            ending.into_result()
        }
        (true, None) | (false, _) => match format {
            Format::Json => output::json(&status),
            Format::Text => output::line(&shown(&status).join("\n")),
        },
    }
}

/// `upgrade status` for people.
fn shown(status: &UpgradeStatus) -> Vec<String> {
    let mut shown = match (&status.plan, status.history.last()) {
        (Some(plan), _) => vec![text::phase_line(plan)],
        (None, Some(last)) => {
            vec!["no plan is active; the last one:".to_owned(), text::ended_line(last)]
        }
        (None, None) => vec!["no plan is active, and none has been yet".to_owned()],
    };
    if let (Some(plan), Some(soaking)) = (&status.plan, &status.soaking) {
        shown.extend(text::soaking_lines(plan, soaking, status.now_ms.unwrap_or(soaking.since_ms)));
    }
    shown.extend(status.nodes.iter().map(lines::node_line));
    // That it soaks has been said, with more.
    let is_news = |wait: &&WaitingOn| !matches!(wait, WaitingOn::Soaking { .. }) || status.soaking.is_none();
    let waits = status.waiting_on.iter().filter(is_news);
    shown.extend(waits.map(|wait| format!("waiting: {}", text::waiting_on(wait))));
    let names = text::Names::of_upgrade(status);
    shown.iter().map(|line| names.named(line)).collect()
}

async fn act(args: &ActArgs, path: &'static str) -> Result<(), Failure> {
    let done = args.seeds.client().await?.act(path).await?;
    output::done(&done, Format::of(args.json))
}

async fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let request = RollbackRequest { reason: args.reason.clone() };
    let done = args.seeds.client().await?.rollback(&request).await?;
    output::done(&done, Format::of(args.json))
}

async fn history(args: &ActArgs) -> Result<(), Failure> {
    let history = args.seeds.client().await?.upgrade().await?.history;
    if args.json {
        return output::json(&history);
    }
    if history.is_empty() {
        return output::line("no plan has ended yet");
    }
    for entry in &history {
        output::line(&text::ended_line(entry))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::samples::{plan, reason, release, status};
    use expect_test::expect;
    use ironcache_api::{
        Direction, HistoryEntry, NodeStep, Outcome, Phase, Problem, RollbackBlocker, Soaking, Unknown,
    };
    use ironcache_types::{Level, NodeId, PlanId};

    fn soaking(blockers: Vec<RollbackBlocker>) -> UpgradeStatus {
        let plan = plan(Phase::Soaking { since_ms: 4_000 });
        let mut status = status(Some(plan), &[NodeStep::Confirmed, NodeStep::Confirmed]);
        status.nodes.iter_mut().for_each(|node| node.release = release(2));
        status.soaking = Some(Soaking {
            since_ms: 4_000,
            soaked_ms: 6_000,
            finalize_after_s: Some(86_400),
            level: Level(1),
            finalizes_to: Level(2),
            can_roll_back: blockers.is_empty(),
            blockers,
        });
        status.waiting_on = vec![WaitingOn::Soaking { plan: PlanId(1), remaining_ms: Some(86_394_000) }];
        status
    }

    fn text(status: &UpgradeStatus) -> String {
        shown(status).join("\n")
    }

    #[test]
    fn a_soaking_plan_says_when_it_is_final_and_that_it_can_go_back() {
        expect![[r#"
            plan 1: 0.1.0 to 0.2.0: soaking
            upgraded 6 s ago, and not final; finalizes by itself in 23 h 59 min
            finalize raises the level from 1 to 2: after that no rollback, and no release that does not read level 2
            until then `ironcache cluster upgrade rollback` goes back to 0.1.0
            127.0.0.1:1 (replica of shard 0): confirmed, version 0.2.0
            127.0.0.1:2 (replica of shard 0): confirmed, version 0.2.0"#]].assert_eq(&text(&soaking(Vec::new())));
    }

    #[test]
    fn a_soaking_plan_that_cannot_go_back_says_what_blocks_it() {
        let problem = Problem {
            code: "unknown_key".to_owned(),
            key: Some("zone".to_owned()),
            text: "is not a key of this release".to_owned(),
        };
        let blocker = RollbackBlocker::Preflight { node: NodeId(2), problem };
        expect![[r#"
            plan 1: 0.1.0 to 0.2.0: soaking
            upgraded 6 s ago, and not final; finalizes by itself in 23 h 59 min
            finalize raises the level from 1 to 2: after that no rollback, and no release that does not read level 2
            rollback to 0.1.0 is blocked:
              node 0000000000000002 (127.0.0.1:2): 0.1.0 would not start there: key `zone`: is not a key of this release (unknown_key)
            127.0.0.1:1 (replica of shard 0): confirmed, version 0.2.0
            127.0.0.1:2 (replica of shard 0): confirmed, version 0.2.0"#]].assert_eq(&text(&soaking(vec![blocker])));
    }

    #[test]
    fn a_plan_on_its_way_back_says_why_and_what_it_waits_for() {
        let mut back = plan(Phase::Rolling);
        std::mem::swap(&mut back.from, &mut back.target.version);
        back.direction = Direction::Back { reason: reason("node 0000000000000002 exited with code 3") };
        let mut status = status(Some(back), &[NodeStep::Confirmed, NodeStep::Out]);
        status.waiting_on = vec![
            WaitingOn::Parallel { out: 1, max: 1 },
            WaitingOn::Unknown(Unknown(serde_json::json!({"moon": {"phase": "full"}}))),
        ];
        expect![[r#"
            plan 1: 0.2.0 back to 0.1.0: rolling back: node 0000000000000002 (127.0.0.1:2) exited with code 3
            127.0.0.1:1 (replica of shard 0): confirmed, version 0.1.0
            127.0.0.1:2 (replica of shard 0): out, version 0.1.0
            waiting: 1 nodes are out; at most 1 may be at a time
            waiting: moon {"phase":"full"}"#]]
        .assert_eq(&text(&status));
    }

    #[test]
    fn between_plans_the_last_one_is_told() {
        let mut status = status(None, &[NodeStep::Idle]);
        expect![[r#"
            no plan is active, and none has been yet
            127.0.0.1:1 (replica of shard 0): idle, version 0.1.0"#]]
        .assert_eq(&text(&status));
        let outcome = Outcome::Unknown("superseded".to_owned());
        status.history = vec![HistoryEntry { plan: plan(Phase::Rolling), outcome, ended_at_ms: 3_500 }];
        expect![[r#"
            no plan is active; the last one:
            plan 1: 0.1.0 to 0.2.0: superseded after 2.50 s
            127.0.0.1:1 (replica of shard 0): idle, version 0.1.0"#]]
        .assert_eq(&text(&status));
    }
}
