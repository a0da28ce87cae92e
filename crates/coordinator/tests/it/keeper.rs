//! Who keeps a shard's tail, what waits for it, and how a shard whose primary is lost meanwhile goes on.

use crate::cluster::{
    Layout, add_all, apply, ask, keep, keep_as_wanted, new, old, restart, rolling, see, short, text,
    three_by_two,
};
use expect_test::expect;
use ironcache_control::{Command, ControlState, Outcome, PlanOptions, Reason};
use ironcache_coordinator::{
    CannotKeep, Duty, Holding, LeaseObservation, NodeObservation, Observation, Rehearsal, preview, rehearse,
};
use ironcache_types::{MachineId, NodeId, Offset, ShardId};

const S0: ShardId = ShardId(0);

/// Primary 1, replica 2, witnesses from 3 on; rolling, and node 3 keeps.
fn pair(witnesses: u16) -> ControlState {
    rolling(Layout { shards: 1, nodes_per_shard: 2, witnesses, voters: 3 }.build())
}

fn take_out(state: &mut ControlState, id: u64) {
    let plan = state.plan.clone().unwrap();
    let member = state.nodes[&NodeId(id)].member();
    apply(state, &Command::UpgradeSelf { plan: plan.id, plan_epoch: plan.epoch, member, at_ms: 0 });
}

fn node(seen: &mut Observation, id: u64) -> &mut NodeObservation {
    seen.nodes.get_mut(&NodeId(id)).unwrap()
}

/// Applies what is decided while it begins with one of these words, as everybody sees it who is in order.
fn go_on(state: &mut ControlState, seen: impl Fn(&ControlState) -> Observation, words: &[&str]) -> String {
    loop {
        let decision = ask(state, &seen(state));
        let said = text(&decision);
        match decision {
            ironcache_coordinator::Decision::Propose(command)
                if words.iter().any(|word| said.starts_with(word)) =>
            {
                apply(state, &command);
            }
            _ => return said,
        }
    }
}

#[test]
fn a_pair_with_a_witness_led_by_the_primary() {
    let state = Layout { shards: 1, nodes_per_shard: 2, witnesses: 1, voters: 3 }.build();
    let rehearsal = rehearse(&state, NodeId(1), &new().version, PlanOptions::default()).unwrap();
    let acts: Vec<String> = rehearsal.acts.iter().map(text).collect();
    expect![[r#"
        begin the steps of plan 1
        let n3 keep the tail of shard 0
        upgrade n2
        confirm n2
        let nobody keep the tail of shard 0
        upgrade n3
        hand shard 0 over from n1 to n2
        confirm n3
        transfer raft's leadership to n3
        let n3 keep the tail of shard 0
        upgrade n1
        confirm n1
        let plan 1 soak
        finalize plan 1"#]]
    .assert_eq(&acts.join("\n"));
}

/// Two that keep each other's tails would wait for each other; the leader goes last.
#[test]
fn a_roll_ends_whoever_leads_and_whoever_keeps() {
    for (shards, nodes_per_shard, witnesses) in
        [(1, 2, 1), (1, 2, 2), (2, 2, 0), (2, 2, 1), (3, 2, 0), (3, 2, 2), (2, 3, 0)]
    {
        let voters = usize::from(shards * nodes_per_shard + witnesses).min(5);
        let layout = Layout { shards, nodes_per_shard, witnesses, voters };
        for leader in 1..=u64::from(shards * nodes_per_shard + witnesses) {
            for max_parallel in [1, 3] {
                let options = PlanOptions { max_parallel, ..PlanOptions::default() };
                let rehearsal = rehearse(&layout.build(), NodeId(leader), &new().version, options).unwrap();
                let ended = rehearsal.state.history.back().map(|ended| ended.outcome);
                let last = rehearsal.acts.last().map(text);
                assert_eq!(
                    ended,
                    Some(Outcome::Finalized),
                    "{shards} × {nodes_per_shard}, {leader}: {last:?}"
                );
            }
        }
    }
}

#[test]
fn a_step_that_fails_in_a_pair_is_rolled_back_with_a_keeper() {
    let mut state = pair(1);
    take_out(&mut state, 2);
    restart(&mut state, NodeId(2), old());
    let out = state.nodes[&NodeId(2)].out.clone().unwrap();
    let member = state.nodes[&NodeId(2)].member();
    let (plan, step, reason) = (out.plan, out.epoch, Reason::new("exit", "exit status 7"));
    apply(&mut state, &Command::StepFailed { plan, step, member, reason, quarantine: true, at_ms: 0 });
    let mut rehearsal = Rehearsal::begin(&state, NodeId(1), &new().version, PlanOptions::default()).unwrap();
    rehearsal.run().unwrap();
    assert_eq!(rehearsal.state.history.back().map(|h| h.outcome), Some(Outcome::RolledBack));
    assert!(rehearsal.state.all_on(old().digest) && !rehearsal.state.shards[&S0].exposed);
}

#[test]
fn another_machine_comes_before_a_witness_and_a_dry_run_says_what_is_covered() {
    let mut state = Layout { shards: 2, nodes_per_shard: 2, witnesses: 1, voters: 5 }.build();
    let steps = |state: &ControlState| {
        let steps = preview(state, NodeId(4), &new().version, PlanOptions::default()).unwrap();
        steps.iter().map(|step| short(step)).find(|step| step.contains("keeps what shard 0")).unwrap()
    };
    assert_eq!(steps(&state), "n5 keeps what shard 0 acknowledges until two members hold it");
    let machine = state.nodes[&NodeId(1)].machine;
    state.nodes.get_mut(&NodeId(5)).unwrap().machine = machine;
    assert_eq!(steps(&state), "n2 keeps what shard 0 acknowledges until two members hold it");
    for node in state.nodes.values_mut() {
        node.machine = machine;
    }
    expect!["n5 keeps what shard 0 acknowledges until two members hold it; it is on the machine of n1, so that only the loss of a process is covered"]
        .assert_eq(&steps(&state));
}

/// Two machines, with the primaries on one: each replica would be the other shard's best keeper, and both are next to go.
#[test]
fn nobody_keeps_who_would_wait_for_itself() {
    let mut state = Layout { shards: 2, nodes_per_shard: 2, witnesses: 0, voters: 3 }.build();
    for node in state.nodes.values_mut() {
        node.machine = MachineId(if node.id.0 <= 2 { 1 } else { 2 });
    }
    let state = rolling(state);
    let kept = |shard: u16| state.shards[&ShardId(shard)].keeper.map(|keeper| keeper.member.node.0);
    assert_eq!((kept(0), kept(1)), (Some(4), Some(1)));
    let said = text(&ask(&state, &see(&state, 1)));
    assert!(said.starts_with("upgrade n"), "{said}");
}

/// Each replica keeps the tail of the other's shard: chosen by two leaders, or when another led and one of them was not next.
fn who_keep_for_each_other() -> ControlState {
    let mut state = rolling(Layout { shards: 2, nodes_per_shard: 2, witnesses: 1, voters: 3 }.build());
    for (shard, keeper) in [(S0, 4), (ShardId(1), 3)] {
        let (shard_epoch, node) = (state.shards[&shard].epoch, Some(NodeId(keeper)));
        apply(&mut state, &Command::WantKeeper { shard, shard_epoch, node });
        keep(&mut state, shard);
    }
    state
}

#[test]
fn keepers_that_have_come_to_wait_for_each_other_are_exchanged_and_the_roll_ends() {
    let state = who_keep_for_each_other();
    let said = text(&ask(&state, &see(&state, 5)));
    assert_eq!(said, "let n2 keep the tail of shard 0");
    let mut rehearsal = Rehearsal::begin(&state, NodeId(5), &new().version, PlanOptions::default()).unwrap();
    rehearsal.run().unwrap();
    assert_eq!(rehearsal.state.history.back().map(|h| h.outcome), Some(Outcome::Finalized));
}

#[test]
fn if_nobody_else_could_keep_one_of_two_that_wait_for_each_other_is_let_go() {
    let mut state = who_keep_for_each_other();
    let seen = |state: &ControlState| {
        let mut seen = see(state, 5);
        for id in [1, 2, 5] {
            node(&mut seen, id).cannot_keep = Some(CannotKeep::Full { free_bytes: 0, reserve_bytes: 1 });
        }
        seen
    };
    let said = text(&ask(&state, &seen(&state)));
    assert_eq!(said, "let nobody keep the tail of shard 0");
    let wish = Command::WantKeeper { shard: S0, shard_epoch: state.shards[&S0].epoch, node: None };
    apply(&mut state, &wish);
    keep(&mut state, S0);
    let said = text(&ask(&state, &seen(&state)));
    assert_eq!(said, "upgrade n4");
}

#[test]
fn a_step_waits_for_the_record_and_a_keeper_for_its_end() {
    let mut state = rolling(three_by_two());
    let kept = state.shards[&S0].keeper;
    let (isr_epoch, primary) = (state.shards[&S0].isr_epoch, state.shards[&S0].primary().unwrap());
    let reason = Reason::new("wanted", "");
    apply(&mut state, &Command::SetKeeper { shard: S0, isr_epoch, primary, keeper: None, reason });
    state.nodes.values_mut().for_each(|node| node.staged.clear());
    let said = text(&ask(&state, &see(&state, 1)));
    let waits = "the next step leaves shard 0 with one member in sync, and n2, which is to keep the tail of its stream, is not on record yet";
    assert!(kept.is_some() && said.contains(waits), "{said}");
}

/// The machine of a replica that is lost between its confirmation and its return to the set: nothing goes on without it, and
/// the reasons do not end at the keeper.
#[test]
fn who_waits_for_a_keeper_to_go_says_for_whom_it_stays() {
    let mut state = pair(1);
    take_out(&mut state, 2);
    restart(&mut state, NodeId(2), new());
    let out = state.nodes[&NodeId(2)].out.clone().unwrap();
    let (member, digest) = (state.nodes[&NodeId(2)].member(), new().digest);
    apply(&mut state, &Command::Confirm { plan: out.plan, step: out.epoch, member, digest });
    apply(&mut state, &Command::Confirmed { plan: out.plan, step: out.epoch, member, digest, at_ms: 0 });
    let mut seen = see(&state, 1);
    let said = text(&ask(&state, &seen));
    assert!(said.contains("n2 is not in the in-sync set of shard 0"), "{said}");
    node(&mut seen, 2).seen_ms_ago = 3_001;
    let said = text(&ask(&state, &seen));
    assert!(said.contains("n2 has not answered for 3.0 s"), "{said}");
}

/// With nobody else to keep it is the wanted one that is waited for.
#[test]
fn a_keeper_that_answers_no_more_is_replaced_by_one_that_does() {
    let mut state = pair(2);
    assert_eq!(state.shards[&S0].keeper.map(|keeper| keeper.member.node), Some(NodeId(3)));
    take_out(&mut state, 2);
    let mut seen = see(&state, 1);
    node(&mut seen, 3).seen_ms_ago = 3_001;
    assert_eq!(text(&ask(&state, &seen)), "let n4 keep the tail of shard 0");
    node(&mut seen, 4).seen_ms_ago = 3_001;
    assert!(text(&ask(&state, &seen)).starts_with("wait: "), "nobody else could");
    // Its primary drops it meanwhile: the plan stands until another one is on record, and goes on by itself then.
    let (isr_epoch, primary) = (state.shards[&S0].isr_epoch, state.shards[&S0].primary().unwrap());
    let reason = Reason::new("silent", "silent");
    apply(&mut state, &Command::SetKeeper { shard: S0, isr_epoch, primary, keeper: None, reason });
    let said = text(&ask(&state, &seen));
    assert!(said.contains("plan 1 is held: what shard 0 acknowledges is in one process only"), "{said}");
    node(&mut seen, 4).seen_ms_ago = 0;
    keep_as_wanted(&mut state, &seen);
    assert_eq!(text(&ask(&state, &seen)), "resume plan 1");
}

/// One that says beforehand that its disk is full is never asked; one that says so later is exchanged.
#[test]
fn a_node_whose_disk_is_full_is_passed_over_and_named_when_nobody_else_could() {
    let full = || Some(CannotKeep::Full { free_bytes: 50_000_000, reserve_bytes: 67_108_864 });
    let mut state = pair(2);
    let mut seen = see(&state, 1);
    node(&mut seen, 3).cannot_keep = full();
    assert_eq!(text(&ask(&state, &seen)), "let n4 keep the tail of shard 0");
    // Both: who is wanted stays so, and the step waits for the disk by name.
    node(&mut seen, 4).cannot_keep = full();
    let (isr_epoch, primary) = (state.shards[&S0].isr_epoch, state.shards[&S0].primary().unwrap());
    let reason = Reason::new("cannot_keep", "its disk is full");
    apply(&mut state, &Command::SetKeeper { shard: S0, isr_epoch, primary, keeper: None, reason });
    let why = "n3 cannot keep the tail of shard 0's stream, and no other node that answers could: its disk has 50000000 \
               bytes free, and 67108864 are left to the node itself";
    state.nodes.values_mut().for_each(|node| node.staged.clear());
    let said = text(&ask(&state, &seen));
    assert!(said.contains(why), "{said}");
    // In a step it is the plan that is held for it.
    let mut state = pair(2);
    take_out(&mut state, 2);
    let (isr_epoch, primary) = (state.shards[&S0].isr_epoch, state.shards[&S0].primary().unwrap());
    let reason = Reason::new("cannot_keep", "its disk is full");
    apply(&mut state, &Command::SetKeeper { shard: S0, isr_epoch, primary, keeper: None, reason });
    let said = text(&ask(&state, &seen));
    assert!(said.contains("plan 1 is held") && said.contains(why), "{said}");
    node(&mut seen, 4).cannot_keep = None;
    assert_eq!(text(&ask(&state, &seen)), "let n4 keep the tail of shard 0");
    node(&mut seen, 4).cannot_keep = Some(CannotKeep::Other { said: "moonlight".to_owned() });
    assert!(text(&ask(&state, &seen)).starts_with("wait: "), "an unknown word is no room");
}

/// Two tell of it: its primary, which dropped it, and its silence.
#[test]
fn a_keeper_that_its_primary_dropped_and_that_is_silent_is_replaced_before_a_dead_one_would_be() {
    let mut state = pair(2);
    take_out(&mut state, 2);
    let mut seen = see(&state, 1);
    node(&mut seen, 3).seen_ms_ago = 601;
    assert!(text(&ask(&state, &seen)).starts_with("wait: "), "its primary still requires it");
    let (isr_epoch, primary) = (state.shards[&S0].isr_epoch, state.shards[&S0].primary().unwrap());
    let reason = Reason::new("silent", "silent");
    apply(&mut state, &Command::SetKeeper { shard: S0, isr_epoch, primary, keeper: None, reason });
    assert_eq!(text(&ask(&state, &seen)), "let n4 keep the tail of shard 0");
    node(&mut seen, 3).seen_ms_ago = 600;
    let said = text(&ask(&state, &seen));
    assert!(said.starts_with("wait: "), "it answers: {said}");
}

/// The replica is back on trial; its primary is lost, with its process or with its machine. It follows the keeper, is
/// confirmed, and takes the tail over; the roll goes on to its end.
#[test]
fn a_primary_that_is_lost_while_its_replica_is_out_costs_nothing() {
    for machine_is_gone in [false, true] {
        let mut state = pair(1);
        take_out(&mut state, 2);
        restart(&mut state, NodeId(2), new());
        if !machine_is_gone {
            restart(&mut state, NodeId(1), old());
        }
        let seen = move |state: &ControlState| {
            let mut seen = see(state, 3);
            // Its next process has nothing.
            let data = node(&mut seen, 1).data.as_mut().unwrap();
            (data.duty, data.holds) = (Duty::Neither, Some(Holding::Nothing));
            if machine_is_gone {
                node(&mut seen, 1).seen_ms_ago = 60_000;
                let lease = LeaseObservation { unanswered_ms: 60_000, over_after_ms: 929 };
                seen.leases.insert(S0, lease);
            }
            seen
        };
        assert_eq!(text(&ask(&state, &seen(&state))), "confirm n2");
        let said = go_on(&mut state, seen, &["confirm"]);
        assert!(said.contains("the trial is accepted, and the node makes it final"), "{said}");
        let out = state.nodes[&NodeId(2)].out.clone().unwrap();
        let (member, digest) = (state.nodes[&NodeId(2)].member(), new().digest);
        apply(&mut state, &Command::Confirmed { plan: out.plan, step: out.epoch, member, digest, at_ms: 0 });
        assert_eq!(text(&ask(&state, &seen(&state))), "let the keeper of shard 0 hand its tail over to n2");
        let said = go_on(&mut state, seen, &["let the keeper"]);
        assert!(said.contains("shard 0 is being handed over to n2"), "{said}");
        let flight = state.shards[&S0].handover.unwrap();
        // One that hangs is ended, and waits before it is tried again.
        let mut late = seen(&state);
        late.timers.handover_age_ms.insert(S0, 101);
        assert!(text(&ask(&state, &late)).starts_with("abort handover"));
        let in_sync = [flight.to].into();
        let (handover, to, offset) = (flight.epoch, flight.to, state.shards[&S0].last_start());
        apply(&mut state, &Command::Promote { shard: S0, handover, to, offset, in_sync });
        assert_eq!(state.shards[&S0].losses.recoveries, 0);
        if machine_is_gone {
            restart(&mut state, NodeId(1), old());
        }
        let mut rehearsal =
            Rehearsal::begin(&state, NodeId(3), &new().version, PlanOptions::default()).unwrap();
        rehearsal.run().unwrap();
        assert_eq!(rehearsal.state.history.back().map(|h| h.outcome), Some(Outcome::Finalized));
    }
}

/// What a node holds that has not attached to the keeper yet is not all there is.
#[test]
fn a_tail_that_continues_what_somebody_holds_is_waited_for_and_one_that_nobody_reaches_is_not() {
    let mut state = pair(1);
    let keeper = state.shards.get_mut(&S0).unwrap().keeper.as_mut().unwrap();
    keeper.from = Offset(50);
    for id in [1, 2] {
        restart(&mut state, NodeId(id), old());
    }
    let holds = |holds: [Option<Holding>; 2], keeper_is_silent: bool| {
        let mut seen = see(&state, 3);
        for (id, holds) in [1, 2].into_iter().zip(holds) {
            let data = node(&mut seen, id).data.as_mut().unwrap();
            (data.duty, data.holds) = (Duty::Neither, holds);
        }
        if keeper_is_silent {
            node(&mut seen, 3).seen_ms_ago = 60_000;
        }
        text(&ask(&state, &seen))
    };
    let up_to = |offset| {
        Some(Holding::UpTo { epoch: state.shards[&S0].epoch, offset: Offset(offset), as_of_ms: None })
    };
    let nothing = Some(Holding::Nothing);
    for silent in [false, true] {
        let said = holds([nothing, up_to(60)], silent);
        assert!(said.contains("n3 keeps the tail that continues what n2 holds"), "{said}");
    }
    assert_eq!(
        holds([nothing, up_to(40)], false),
        "go on in shard 0 with what n2 holds, up to offset 40",
        "ten bytes lie in between"
    );
}

#[test]
fn without_a_plan_nobody_is_wanted() {
    let mut state = pair(2);
    let plan = state.plan.as_ref().unwrap().id;
    apply(&mut state, &Command::Pause { plan });
    apply(&mut state, &Command::Abort { plan, at_ms: 0 });
    assert_eq!(text(&ask(&state, &see(&state, 1))), "let nobody keep the tail of shard 0");
    let seen = see(&state, 1);
    keep_as_wanted(&mut state, &seen);
    assert_eq!(state.shards[&S0].keeper, None);
    assert_eq!(text(&ask(&state, &seen)), "nothing to do");
}

/// Nothing proves that the life before has ended: its lease is waited out.
#[test]
fn a_last_owner_that_registers_from_another_machine_may_still_answer() {
    let mut state = Layout { shards: 1, nodes_per_shard: 2, witnesses: 1, voters: 3 }.build();
    add_all(&mut state, S0);
    let before = state.nodes[&NodeId(1)].clone();
    let member = ironcache_types::Member {
        node: NodeId(1),
        incarnation: ironcache_types::Incarnation(before.incarnation.0 + 1),
    };
    let machine = ironcache_types::MachineId(77);
    apply(
        &mut state,
        &Command::RegisterNode {
            member,
            client_addr: before.client_addr,
            peer_addr: before.peer_addr,
            http_addr: before.http_addr,
            tls_port: before.tls_port,
            release: before.release,
            levels: before.levels,
            launcher_protocol: before.launcher_protocol,
            machine,
        },
    );
    let look = |unanswered_ms| {
        let mut seen = see(&state, 3);
        seen.leases.insert(S0, LeaseObservation { unanswered_ms, over_after_ms: 929 });
        text(&ask(&state, &seen))
    };
    let said = look(129);
    assert!(
        said.contains(
            "registered from another machine, and the process before may answer clients for another 0.8 s"
        ),
        "{said}"
    );
    assert_eq!(look(929), "promote n2 in shard 0");
}
