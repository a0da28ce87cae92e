//! Breaks what guards safety, one guard at a time, and demands that a test notices.
//!
//! ```text
//!  a row of the table ──> the guard is gone from the file ──> tests compile? ──> tests fail? ──> file as it was
//!                                                                  │ no: the row is out of date    │ no: nothing guards it
//! ```
//!
//! *Invariant:* a file with changes that are not committed is left alone; any other is put back, whatever happens in
//! between.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One guard, and how to take it away.
struct Mutation {
    name: &'static str,
    /// What the code then does.
    breaks: &'static str,
    file: &'static str,
    /// Stands in the file exactly once.
    guard: &'static str,
    instead: &'static str,
    /// What follows `cargo test`: the tests of which one has to fail. After [`TURMOIL`] what follows `ironcache-turmoil`: the
    /// seeds of which one has to be violated.
    tests: &'static [&'static str],
}

/// The simulated world, which is another build (docs/adr/0030).
const TURMOIL: &str = "turmoil";

/// A guard that only a whole cluster in trouble misses.
const SIMULATED: &[&str] = &["-p", "ironcache-sim", "--test", "seeds"];

/// The same with two versions at a time: the new release of a run knows one level more.
const SIMULATED_NEXT: &[&str] = &["-p", "ironcache-sim", "--features", "next", "--test", "seeds"];

const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a-vote-is-not-synced",
        breaks: "a voter that loses its power right after it granted its vote grants another one in the same term",
        file: "crates/raft/src/wal/mod.rs",
        guard: "        self.lock().write(&[Record::Vote(vote.into())], Some(done), |index| {",
        instead: "        done(Ok(()));\n        self.lock().write(&[Record::Vote(vote.into())], None, |index| {",
        tests: &[TURMOIL, "raft", "--seeds", "60"],
    },
    Mutation {
        name: "the-log-is-not-synced",
        breaks: "entries that a quorum acknowledged are gone after a power cut",
        file: "crates/raft/src/wal/file.rs",
        guard: "        self.file()?.sync_data()",
        instead: "        self.file().map(drop)",
        tests: &[TURMOIL, "raft", "--seeds", "30"],
    },
    Mutation {
        name: "the-launchers-state-is-not-synced",
        breaks: "after a power cut a node runs another release than the log was told",
        file: "crates/spine/src/state_file.rs",
        guard: "        replace_durably(&self.path(), encode(state).as_bytes())",
        instead: "        disk::write(self.path(), encode(state)).map_err(at(\"write\", &self.path()))",
        tests: &[TURMOIL, "roll", "--seeds", "10"],
    },
    Mutation {
        name: "a-tail-that-no-leaver-can-continue",
        breaks: "a keeper is recorded from an offset that a member has not applied, and what lies between is in one process",
        file: "crates/shard/src/keeping.rs",
        guard: "        if self.gate.acknowledged() < tail.from {",
        instead: "        if self.gate.acknowledged() > self.gate.end() {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keeper-speaks-for-the-primary",
        breaks: "a node that is out waits for ever for a primary that is gone to apply an entry",
        file: "crates/shard/src/follower.rs",
        guard: "                follows.then_some(replica.primary_applied)",
        instead: "                (follows || replica.link_up).then_some(replica.primary_applied)",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "an-order-leaves-no-record",
        breaks: "nobody learns who had the cluster do it",
        file: "crates/control/src/apply/mod.rs",
        guard: "        if applied != Applied::Unchanged {",
        instead: "        if applied == Applied::Unchanged {",
        tests: &["-p", "ironcache-control", "--test", "it", "audit"],
    },
    Mutation {
        name: "a-record-is-chained-to-nothing",
        breaks: "records are taken out, and the chain is whole",
        file: "crates/control/src/audit.rs",
        guard: "            previous: self.audit.head.hash,",
        instead: "            previous: AuditLink::NONE.hash,",
        tests: &["-p", "ironcache-control", "--test", "it", "audit"],
    },
    Mutation {
        name: "the-anchor-forgets-its-hash",
        breaks: "once records were dropped, nothing proves the rest",
        file: "crates/control/src/audit.rs",
        guard: "            self.anchor = dropped.link();",
        instead: "            self.anchor.seq = dropped.seq;",
        tests: &["-p", "ironcache-control", "--test", "it", "audit"],
    },
    Mutation {
        name: "what-was-done-is-not-hashed",
        breaks: "a record says another thing, and the chain is whole",
        file: "crates/types/src/audit.rs",
        guard: "        to.map(details);",
        instead: "        to.number(details.len() as u64);",
        tests: &["-p", "ironcache-types", "audit"],
    },
    Mutation {
        name: "a-chain-is-not-looked-at-link-by-link",
        breaks: "a record is changed, and the chain is whole",
        file: "crates/types/src/audit.rs",
        guard: "        if record.previous != last.hash {",
        instead: "        if record.previous == Digest([0xff; 32]) {",
        tests: &["-p", "ironcache-types", "audit"],
    },
    Mutation {
        name: "a-kept-hash-is-not-compared",
        breaks: "a chain that was written anew passes for the one that somebody noted",
        file: "crates/types/src/audit.rs",
        guard: "    match hash == found {",
        instead: "    match hash.0.len() == found.0.len() {",
        tests: &["-p", "ironcache-types", "audit"],
    },
    Mutation {
        name: "who-asked-is-not-in-the-entry",
        breaks: "the audit chain says of every order that nobody asked for it",
        file: "crates/raft/src/node.rs",
        guard: "        entry::seal_proposal(proposal, id, level).map_err(|error| {",
        instead: "        entry::seal(&proposal.command, id, level).map_err(|error| {",
        tests: &["-p", "ironcache-node", "--lib", "http::tests::audit"],
    },
    Mutation {
        name: "refused-attempts-are-not-counted",
        breaks: "somebody tries every door of the cluster, and nobody is told",
        file: "crates/node/src/http/refused.rs",
        guard: "    if is_refusal(&method, answer.status()) {",
        instead: "    if method == Method::TRACE && is_refusal(&method, answer.status()) {",
        tests: &["-p", "ironcache-node", "--lib", "http::tests::audit"],
    },
    Mutation {
        name: "the-last-admin-is-revoked",
        breaks: "nobody can change who operates the cluster any more",
        file: "crates/control/src/apply/security.rs",
        guard: "        if operator.role == OperatorRole::Admin && keys.admins() == 1 {",
        instead: "        if operator.role == OperatorRole::Admin && keys.admins() == 0 {",
        tests: &["-p", "ironcache-control", "--test", "it", "security"],
    },
    Mutation {
        name: "a-join-code-is-used-twice",
        breaks: "whoever kept a used code brings another node in",
        file: "crates/control/src/apply/security.rs",
        guard: "                match keys.codes.contains(code) {",
        instead: "                match keys.codes.is_empty() && keys.codes.contains(code) {",
        tests: &["-p", "ironcache-control", "--test", "it", "security"],
    },
    Mutation {
        name: "any-node-answers-for-the-pinned-one",
        breaks: "a stranger with a key of its own is taken for a member",
        file: "crates/identity/src/tls.rs",
        guard: "            Expect::Key(expected) => *expected == key,",
        instead: "            Expect::Key(expected) => *expected == key || key != *expected,",
        tests: &["-p", "ironcache-identity", "--test", "links"],
    },
    Mutation {
        name: "a-proof-of-the-code-is-carried-to-another-connection",
        breaks: "somebody in the middle is taken for whoever holds the join code",
        file: "crates/identity/src/join_code.rs",
        guard: "    [side, exported, called, &caller].concat()",
        instead: "    [side, &exported[..0], called, &caller].concat()",
        tests: &["-p", "ironcache-identity"],
    },
    Mutation {
        name: "a-rebound-name-is-a-host-of-ours",
        breaks: "a page whose name was made to resolve to a node orders it about",
        file: "crates/node/src/strangers.rs",
        guard: "        if !is_literal(host) && !is_ours(host) {",
        instead: "        if host.is_empty() && !is_ours(host) {",
        tests: &["-p", "ironcache-node", "--lib", "strangers"],
    },
    Mutation {
        name: "the-peer-port-takes-a-browser-for-a-peer",
        breaks: "a foreign page talks to the peer port",
        file: "crates/node/src/peer.rs",
        guard: "        .layer(from_fn_with_state(Arc::clone(app), strangers::refuse))",
        instead: "",
        tests: &["-p", "ironcache-node", "--lib", "strangers"],
    },
    Mutation {
        name: "a-keeper-is-not-required",
        breaks: "what only the primary holds is acknowledged while a keeper is recorded that lacks it",
        file: "crates/shard/src/keeping.rs",
        guard: "    shard.in_sync.iter().copied().filter(|member| *member != me).chain(keeper).collect()",
        instead: "    shard.in_sync.iter().copied().filter(|member| *member != me && Some(*member) != keeper).collect()",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keeper-appends-behind-its-fence",
        breaks: "a keeper acknowledges to the old primary after a recovery through it has begun",
        file: "crates/shard/src/keeper/mod.rs",
        guard: "        self.state = State::Fenced { handover };",
        instead: "        if !matches!(self.state, State::Keeping { .. }) { self.state = State::Fenced { handover } };",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keeper-that-lost-its-tail-is-attached",
        breaks: "the log says of a tail that it begins earlier than what is in the file",
        file: "crates/shard/src/keeper/attach.rs",
        guard: "        (Some(recorded), _) if recorded.member == member => {",
        instead: "        (Some(recorded), _) if recorded.member == member && resumes_at.is_some() => {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keepers-file-goes-too-early",
        breaks: "a keeper's file is removed while a proposal that records it may still be accepted",
        file: "crates/shard/src/keeper/mod.rs",
        guard: "            let settled = shard.isr_epoch > file.isr_epoch;",
        instead: "            let settled = shard.isr_epoch >= file.isr_epoch;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keeper-takes-another-epochs-frames",
        breaks: "frames of an earlier primary lie in the tail of a later one",
        file: "crates/replication/src/tail.rs",
        guard: "        if epoch != expected {",
        instead: "        if epoch > expected {",
        tests: &["-p", "ironcache-replication", "--test", "tail"],
    },
    Mutation {
        name: "a-barred-release-is-forgotten-too-early",
        breaks: "a release that failed or was declined is forgotten while a policy could start it once it is staged again",
        file: "crates/control/src/apply/releases.rs",
        guard: "                || (self.declined.contains_key(&release.digest) && !is_behind(&release.version))",
        instead: "                || (self.declined.is_empty() && !is_behind(&release.version))",
        tests: &["-p", "ironcache-control", "--test", "it", "releases"],
    },
    Mutation {
        name: "strangers-keep-others-out",
        breaks: "a full door turns away whoever came last, so that silent strangers keep peers and operators out",
        file: "crates/node/src/doorkeeper.rs",
        guard: "entries.iter().min_by_key(|(_, entry)| entry.rank(now, self.limits.patience))",
        instead: "entries.iter().max_by_key(|(_, entry)| entry.rank(now, self.limits.patience))",
        tests: &["-p", "ironcache-node", "--lib", "doorkeeper"],
    },
    Mutation {
        name: "half-a-command-of-a-tail-is-acknowledged",
        breaks: "a keeper acknowledges, and hands on, parts of a command that is not complete",
        file: "crates/replication/src/tail.rs",
        guard: "            self.open = Some((level, epoch, scope));",
        instead: "            self.open = Some((level, epoch, scope)); self.whole = self.end;",
        tests: &["-p", "ironcache-replication", "--test", "tail"],
    },
    Mutation {
        name: "a-lease-counts-before-its-index",
        breaks: "a primary answers clients by a lease that was granted after an entry deposed it",
        file: "crates/shard/src/lease.rs",
        guard: "        if grant.index <= applied {",
        instead: "        if grant.index <= applied.max(grant.index) {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "an-owner-is-deposed-while-its-lease-runs",
        breaks: "a leader does not wait for the end of the lease that it granted",
        file: "crates/shard/src/grantor.rs",
        guard: "        let due = self.unanswered_ms(shard, owner, now_ms) >= depose_after_ms(timers);",
        instead: "        let due = self.unanswered_ms(shard, owner, now_ms) >= depose_after_ms(timers) / 2;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-grant-forgets-what-its-leader-settled",
        breaks: "a grant whose round read an older index counts for a life that an entry has deposed since",
        file: "crates/shard/src/grantor.rs",
        guard: "        Ok(round.index.max(self.settled_at))",
        instead: "        Ok(round.index)",
        tests: &["-p", "ironcache-model", "--test", "lease", "two_lives"],
    },
    Mutation {
        name: "a-lease-while-a-deposing-entry-is-under-way",
        breaks: "a life is granted a lease after the entry that deposes it was appended",
        file: "crates/shard/src/grantor.rs",
        guard: "        if self.deposing.contains(&member) {",
        instead: "        if self.deposing.contains(&member) && silence_ms > 0 {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-deposing-entry-of-another-term",
        breaks: "what one leader waited for deposes a life to which a later leader granted a lease",
        file: "crates/control/src/apply/ownership.rs",
        guard: "            Some(_) if term == at.term => Ok(()),",
        instead: "            Some(_) if term <= at.term => Ok(()),",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-step-leaves-one-process",
        breaks: "a node goes out of a shard of two, and nobody keeps what is acknowledged meanwhile",
        file: "crates/control/src/apply/keeper.rs",
        guard: "        let keeper = shard.keeper_that_counts().ok_or(Rejection::NoKeeper { shard: id })?;\n        let keeps",
        instead: "        let Some(keeper) = shard.keeper_that_counts() else { return Ok(()) };\n        let keeps",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-keeper-is-taken-out",
        breaks: "who keeps the tail of a shard goes out for a step of its own",
        file: "crates/control/src/apply/step.rs",
        guard: "        self.check_keeps_nothing(member.node)?;",
        instead: "        let _ = Self::check_keeps_nothing;",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-tail-that-continues-nothing",
        breaks: "a later keeper begins behind what the node that is out took along",
        file: "crates/control/src/apply/keeper.rs",
        guard: "                Some(base_from) if from <= base_from => Ok(()),",
        instead: "                Some(base_from) if from <= base_from || base_from > Offset(0) => Ok(()),",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-dropped-keeper-exposes-nothing",
        breaks: "one process alone knows what is acknowledged, and the plan goes on",
        file: "crates/control/src/apply/keeper.rs",
        guard: "            None => (None, shard.in_sync.len() < shard.members_min()),",
        instead: "            None => (None, false),",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-lost-member-exposes-nothing",
        breaks: "a shard of three with one out loses another member, and the plan goes on",
        file: "crates/control/src/apply/keeper.rs",
        guard: "            } else if has_node_out && !was {",
        instead: "            } else if false && has_node_out && !was {",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-handover-with-a-keeper-on-record",
        breaks: "a plan hands a shard over while its old stream is still kept",
        file: "crates/control/src/apply/handover.rs",
        guard: "if active.id == plan && shard.keeper.is_some() => {",
        instead: "if active.id == plan && shard.keeper.is_some() && shard.in_sync.is_empty() => {",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-recovery-past-a-member",
        breaks: "the keeper hands its tail over although a member of the set holds everything",
        file: "crates/control/src/apply/keeper.rs",
        guard: "        if let Some(member) = shard.in_sync.iter().find(|member| Some(**member) != gone) {",
        instead: "        if let Some(member) = shard.in_sync.iter().find(|member| Some(**member) != gone && gone == Some(to)) {",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-promotion-below-the-tail",
        breaks: "a node takes over with a tail that does not continue what it holds",
        file: "crates/control/src/apply/handover.rs",
        guard: "        if offset < keeper.from {",
        instead: "        if offset < keeper.from && keeper.from < self.last_start() {",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-tail-is-given-up-by-the-policy",
        breaks: "a shard goes on with less by itself while a keeper has the rest",
        file: "crates/control/src/apply/recover.rs",
        guard: "            Some(keeper) => Err(Rejection::KeepsTail { shard: shard.id, member: keeper.member }),",
        instead: "            Some(keeper) if keeper.from > at => Err(Rejection::KeepsTail { shard: shard.id, member: keeper.member }),\n            Some(_) => Ok(()),",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "a-life-from-elsewhere-ends-a-lease",
        breaks: "a process that registers from another machine counts as the end of the one before",
        file: "crates/control/src/apply/membership.rs",
        guard: "            false => LastLease::MayRun,",
        instead: "            false => LastLease::Ended,",
        tests: &["-p", "ironcache-control", "--test", "it", "keeper::"],
    },
    Mutation {
        name: "keepers-that-wait-for-each-other",
        breaks: "two nodes keep each other's tails, and neither goes",
        file: "crates/coordinator/src/keeper.rs",
        guard: "could_keep(view, shard, node) && !waits_for_itself(view, shard, node.id);",
        instead: "could_keep(view, shard, node) && (!waits_for_itself(view, shard, node.id) || true);",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "the-wish-ends-before-the-set-is-two",
        breaks: "a keeper is let go when its leaver is confirmed, and not yet in the set",
        file: "crates/coordinator/src/keeper.rs",
        guard: "        if was_wanted || view.state.has_node_out(shard) {",
        instead: "        if view.state.has_node_out(shard) {",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "a-promotion-is-no-first-lease",
        breaks: "an owner is deposed while the lease runs that came with its promotion",
        file: "crates/shard/src/grantor.rs",
        guard: "                *seen = (shard.epoch, now_ms);",
        instead: "                seen.0 = shard.epoch;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "executes-without-a-lease",
        breaks: "a primary that no leader answers any more goes on serving clients",
        file: "crates/shard/src/serving.rs",
        guard: "serves && !self.sealed && self.leased",
        instead: "serves && !self.sealed",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-reply-that-waited-leaves-without-a-lease",
        breaks: "a primary that was deposed while it was cut off acknowledges writes that its successor lacks",
        file: "crates/shard/src/replies.rs",
        guard: "        if !self.leased || !self.has_enough_in_sync() {",
        instead: "        if !self.has_enough_in_sync() {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-proposed-tail-is-forgotten",
        breaks: "a keeper that the log may still record throws away what it acknowledged, and begins its file anew",
        file: "crates/shard/src/keeping.rs",
        guard: "    let proposed = asked.and_then(SetAsked::may_record)",
        instead: "    let proposed = asked.filter(|_| false).and_then(SetAsked::may_record)",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-tail-under-an-earlier-lifes-name",
        breaks: "the log records that a keeper's tail begins where that of its earlier life began, and what lies between is lost",
        file: "crates/shard/src/keeper/mod.rs",
        guard: "            (None, Some(_)) => Err(OtherTail { shard: id }),",
        instead: "            (None, Some(_)) => Ok(None),",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-keeper-is-forgotten-for-the-next",
        breaks: "a keeper that is attached and wished for is never recorded, because another one was attached after it",
        file: "crates/shard/src/keeping.rs",
        guard: "        primary.keeping.attached.insert(member.node, Recorded { member, from });",
        instead: "        primary.keeping.attached = BTreeMap::from([(member.node, Recorded { member, from })]);",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "an-earlier-primary-speaks-for-the-next",
        breaks: "a node stops for its step before the primary that waits for it has applied that",
        file: "crates/shard/src/follower.rs",
        guard: "        replica.primary_applied = 0;",
        instead: "        replica.primary_applied += 0;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "the-policy-starts-what-was-declined",
        breaks: "a release that was rolled back is started again by itself",
        file: "crates/control/src/apply/start.rs",
        guard: "        if let Some(declined) = self.declined.get(digest) {",
        instead: "        if let Some(declined) = self.declined.get(digest).filter(|_| false) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "the-policy-starts-twice",
        breaks: "the policy's second proposal takes the place of the plan that its first one started",
        file: "crates/control/src/apply/start.rs",
        guard: "            (Phase::Staging | Phase::Paused, StartedBy::Policy, StartedBy::Operator)",
        instead: "            (Phase::Staging | Phase::Paused, StartedBy::Policy, _)",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "a-rollback-takes-the-primary-first",
        breaks: "on the way back those go last who were primaries on the way forward",
        file: "crates/control/src/apply/rollback.rs",
        guard: "        plan.start_primaries = start_primaries;",
        instead: "        drop(start_primaries);",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "turned-round-with-a-node-out",
        breaks: "a step to the one release is under way while the plan goes to the other",
        file: "crates/control/src/apply/rollback.rs",
        guard: "        if let Some(node) = self.nodes.values().find(|n| n.out.is_some()) {",
        instead: "        if let Some(node) = self.nodes.values().find(|_| false) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "final-before-all-confirm",
        breaks: "a plan soaks, and becomes final, while a node is still on trial",
        file: "crates/control/src/apply/plan.rs",
        guard: "        match self.nodes.values().find(|n| n.out.is_some()) {\n            Some(node) => Err(Rejection::NodeOut { node: node.id }),",
        instead: "        match self.nodes.values().find(|_| false) {\n            Some(node) => Err(Rejection::NodeOut { node: node.id }),",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "a-preflight-of-the-way-forward-counts-on-the-way-back",
        breaks: "a node steps back to a binary that was never asked about today's configuration",
        file: "crates/control/src/apply/releases.rs",
        guard: "        if plan.turn != turn {",
        instead: "        if false {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "the-level-rises-above-what-a-node-admits",
        breaks: "a finalize raises the cluster to a level that a node cannot read",
        file: "crates/control/src/apply/plan.rs",
        guard: "        match self.nodes.values().find(|n| !n.levels.admits(level)) {",
        instead: "        match self.nodes.values().find(|_| false) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "ranges-of-the-stager",
        breaks: "a release is recorded with the levels of the node that staged it, not with its own",
        file: "crates/node/src/http/releases.rs",
        guard: "    let Manifest { version: _, levels, launcher_protocol, min_from, critical: _ } = manifest;",
        instead: "    let Manifest { version: _, levels: _, launcher_protocol, min_from, critical: _ } = manifest;\n    let levels = ironcache_types::LEVELS;",
        tests: &["-p", "ironcache-node", "--lib", "http::"],
    },
    Mutation {
        name: "final-before-its-time",
        breaks: "a plan becomes final although its soak is not over",
        file: "crates/coordinator/src/soaking.rs",
        guard: "    if remaining_ms != Some(0) {",
        instead: "    if remaining_ms.is_none() {",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "a-member-in-sync-is-removed",
        breaks: "a node leaves the cluster while its primary still counts on its copy",
        file: "crates/control/src/apply/members.rs",
        guard: "        if let Some(shard) = self.shards.values().find(in_a_set) {",
        instead: "        if let Some(shard) = self.shards.values().find(in_a_set).filter(|_| false) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "a-step-begins-while-the-nodes-change",
        breaks: "a node is taken out for its step while another one joins or leaves: two voters of three are away",
        file: "crates/control/src/apply/step.rs",
        guard: "        self.check_no_change()?;",
        instead: "",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "a-node-that-left-joins-again",
        breaks: "a node whose votes nobody knows any more is a member again under its old id",
        file: "crates/control/src/apply/members.rs",
        guard: "        if self.removed.contains(&node) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "the-nodes-change-during-a-plan",
        breaks: "a node is removed in the middle of a roll that counts on it",
        file: "crates/control/src/apply/members.rs",
        guard: "            Some(_) => Err(Rejection::DuringPlan { what: \"a change of the cluster's nodes\".to_owned() }),",
        instead: "            Some(_) => Ok(()),",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "half-a-change-of-the-voters-counts-as-done",
        breaks: "the log takes a group of raft for settled of which two sets of voters have to agree for good",
        file: "crates/coordinator/src/members.rs",
        guard: "    if !is_joint && *present == wanted",
        instead: "    if (!is_joint || true) && *present == wanted",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "a-node-that-left-is-not-told",
        breaks: "a process of a node that was removed while it was away waits for the log for ever",
        file: "crates/raft/src/network/server.rs",
        guard: "    if node.has_let_go(from) {",
        instead: "    if false && node.has_let_go(from) {",
        tests: &["-p", "ironcache-raft", "--test", "raft"],
    },
    Mutation {
        name: "wal-is-not-synced",
        breaks: "a vote or an entry is acknowledged before it is on the disk",
        file: "crates/raft/src/wal/writer.rs",
        guard: "        self.file.sync()?;\n        self.sequence += 1;",
        instead: "        self.sequence += 1;",
        tests: &["-p", "ironcache-raft", "--lib", "wal::"],
    },
    Mutation {
        name: "what-was-read-is-not-synced",
        breaks: "a vote that a killed process left unsynced is relied on, and cast again after a power cut",
        file: "crates/raft/src/wal/mod.rs",
        guard: "        match cut.and_then(|()| file.settle()) {",
        instead: "        match cut {",
        tests: &["-p", "ironcache-raft", "--lib", "wal::"],
    },
    Mutation {
        name: "a-log-whose-sync-failed-is-used-again",
        breaks: "what the kernel dropped after a failed fsync is taken for durable",
        file: "crates/raft/src/wal/mod.rs",
        guard: "    if !file.is_distrusted()? {",
        instead: "    if true {",
        tests: &["-p", "ironcache-raft", "--lib", "wal::"],
    },
    Mutation {
        name: "a-log-that-was-cut-is-used",
        breaks: "a node whose log lost its end goes on as if it had promised nothing",
        file: "crates/raft/src/wal/mod.rs",
        guard: "file.noted().filter(|synced| *synced > sequence)",
        instead: "file.noted().filter(|_| false)",
        tests: &["-p", "ironcache-raft", "--lib", "wal::"],
    },
    Mutation {
        name: "lives-are-not-compared",
        breaks: "a node that came back with an older copy of its directory votes and acknowledges",
        file: "crates/raft/src/lives.rs",
        guard: "        Some(registered) if registered > remembered && registered != present => {",
        instead: "        Some(registered) if false && registered > remembered && registered != present => {",
        tests: &["-p", "ironcache-raft", "--test", "raft", "cluster::a_node_whose_log_went_back"],
    },
    Mutation {
        name: "a-restarted-voter-votes-at-once",
        breaks: "a node votes before anybody has compared its log",
        file: "crates/raft/src/identity.rs",
        guard: "            Admission::Comparing => Err(IdentityError::NotAdmitted),",
        instead: "            Admission::Comparing => Ok(()),",
        tests: &["-p", "ironcache-raft", "--test", "raft", "cluster::a_restarted_voter"],
    },
    Mutation {
        name: "all-is-well-without-a-leader",
        breaks: "a node without a majority is ready, and says cluster_state:ok",
        file: "crates/node/src/data/trouble.rs",
        guard: "        if let Err(none) = self.contact.check() {",
        instead: "        if let Some(none) = self.contact.check().err().filter(|_| false) {",
        tests: &["-p", "ironcache-node", "--lib", "data::tests::trouble"],
    },
    Mutation {
        name: "a-task-ends-unseen",
        breaks: "a part of the daemon is gone, and the rest goes on as if it were there",
        file: "crates/node/src/tasks.rs",
        guard: "            match (ends, &how) {\n                (Ends::Done, How::Returned) => {}",
        instead: "            match (ends, &how) {\n                (Ends::Done | Ends::Never, How::Returned) => {}",
        tests: &["-p", "ironcache-node", "--lib", "tasks::"],
    },
    Mutation {
        name: "fence-of-the-shard-epoch-is-dropped",
        breaks: "a handover begins for a proposer that saw an older owner",
        file: "crates/control/src/apply/handover.rs",
        guard: "        if shard.epoch != shard_epoch {",
        instead: "        if false && shard.epoch != shard_epoch {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "fence-of-the-handover-is-dropped",
        breaks: "a promotion that belongs to an aborted handover takes effect in the next one",
        file: "crates/control/src/apply/handover.rs",
        guard: "            .filter(|h| h.epoch == handover)",
        instead: "            .filter(|h| h.epoch >= handover)",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "fence-of-the-step-is-dropped",
        breaks: "a report about an older step of a node ends its present one",
        file: "crates/control/src/apply/step.rs",
        guard: "        if node.out.as_ref().is_none_or(|o| o.epoch != step) {",
        instead: "        if node.out.as_ref().is_none_or(|o| o.epoch < step) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "fence-in-the-stream-is-met-early",
        breaks: "a candidate asks for its promotion before it has applied everything below the fence",
        file: "crates/replication/src/replica_cursor.rs",
        guard: "        if held.applied != offset {",
        instead: "        if held.applied > offset {",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "promoted-without-being-in-sync",
        breaks: "whoever asks during a handover is promoted",
        file: "crates/control/src/apply/handover.rs",
        guard: "        if flight.to != to {",
        instead: "        if false {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "handed-over-without-being-in-sync",
        breaks: "a handover begins to a replica that lacks acknowledged writes",
        file: "crates/control/src/apply/handover.rs",
        guard: "        if !shard.in_sync.contains(&to) {",
        instead: "        if false && !shard.in_sync.contains(&to) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "failover-without-being-in-sync",
        breaks: "a replica that lacks acknowledged writes takes over from a dead primary",
        file: "crates/control/src/apply/ownership.rs",
        guard: "        if !shard.in_sync.contains(&to) {",
        instead: "        if false && !shard.in_sync.contains(&to) {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "lagging-replica-is-handed-the-shard",
        breaks: "a handover begins to a replica that is far behind",
        file: "crates/coordinator/src/handover.rs",
        guard: "    if lag_bytes > max_bytes {",
        instead: "    if false && lag_bytes > max_bytes {",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "received-counts-as-applied",
        breaks: "a replica acknowledges what was shipped to it, and not what it has applied",
        file: "crates/replication/src/replica_cursor.rs",
        guard: "Some(Ack { source: *source, applied: held.applied }),",
        instead: "Some(Ack { source: *source, applied: held.received }),",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "shipped-counts-as-acknowledged",
        breaks: "a write is acknowledged to its client as soon as it was sent to the replicas",
        file: "crates/replication/src/ack_gate.rs",
        guard: "        self.end = end;\n        if self.followers.is_empty() {",
        instead: "        self.end = end;\n        self.followers.values_mut().for_each(|f| f.applied = Some(end));\n        \
                  if self.followers.is_empty() {",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "a-member-leaves-by-size",
        breaks: "one large write takes every replica out of the in-sync set",
        file: "crates/replication/src/ack_gate.rs",
        guard: "        if for_ms >= timeout_ms {\n            return Some(Silence::Unheard { for_ms });",
        instead: "        if for_ms >= timeout_ms || self.trails(member, self.end) {\n            \
                  return Some(Silence::Unheard { for_ms });",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "receiving-is-no-progress",
        breaks: "a replica that receives or applies a large write is taken for one that stands still",
        file: "crates/replication/src/ack_gate.rs",
        guard: "        if follower.progress.replace(progress) != Some(progress) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "a-trailing-member-is-not-waited-for",
        breaks: "in mode `primary` a failure loses more than the mode's lag",
        file: "crates/replication/src/ack_gate.rs",
        guard: "                        behind_bytes > max_lag_bytes || self.lacks_ops(follower, end, max_lag_ops)",
        instead: "                        false && (behind_bytes > max_lag_bytes || self.lacks_ops(follower, end, max_lag_ops))",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "the-primarys-own-pause-counts",
        breaks: "a primary that was frozen finds all its members silent",
        file: "crates/replication/src/running_clock.rs",
        guard: "        self.ran_ms += since_last_ms.min(STEP_MS_MAX);",
        instead: "        self.ran_ms += since_last_ms;",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "outages-teach-patience",
        breaks: "a replica that freezes twice holds writes back for as long as it is frozen",
        file: "crates/replication/src/patience.rs",
        guard: "        if pause_ms <= PAUSE_PATIENCES_MAX.saturating_mul(self.ms(isr_timeout_ms)) {",
        instead: "        if pause_ms <= u64::MAX {",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "the-backlog-drops-what-is-asked-for",
        breaks: "one write above `backlog-bytes` costs every replica its place",
        file: "crates/replication/src/backlog.rs",
        guard: "        let free = self.held_from.map_or(u64::MAX, |from| from.0.saturating_sub(self.start().0));",
        instead: "        let free = u64::MAX;",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "writes-never-wait-for-replicas",
        breaks: "what is kept for replicas grows without a bound",
        file: "crates/node/src/data/dispatch.rs",
        guard: "    if writes && plane.is_backed_up() {\n        return Turn::Hold;",
        instead: "    if false {\n        return Turn::Hold;",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "half-of-a-command-is-applied",
        breaks: "a dataset holds part of a command that was cut into frames",
        file: "crates/replication/src/replica_cursor.rs",
        guard: "        self.receive(from, part).map(drop)",
        instead: "        let end = self.receive(from, part)?;\n        self.in_flight += 1;\n        self.applied(Admitted { end })",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "changed-while-it-was-sent",
        breaks: "a key that is renamed while its slot is half sent is missing on the replica",
        file: "crates/keyspace/src/slot_dump.rs",
        guard: "if let Effect::Rename { key: _, to } = effect { Some(to) } else { None };",
        instead: "if let Effect::Rename { key: _, to } = effect { Some(to).filter(|_| false) } else { None };",
        tests: &["-p", "ironcache-keyspace", "--lib"],
    },
    Mutation {
        name: "a-slot-is-sent-upwards",
        breaks: "a key that moves while its slot is half sent is missing on the replica",
        file: "crates/keyspace/src/slot_dump.rs",
        guard: "            self.below = at;\n            return Some((keyspace.slot_entries(self.slot)[at].key().into(), 0));",
        instead: "            self.below = at;\n            let upwards = keyspace.slot_len(self.slot) - 1 - at;\n            \
                  return Some((keyspace.slot_entries(self.slot)[upwards].key().into(), 0));",
        tests: &["-p", "ironcache-keyspace", "--lib"],
    },
    Mutation {
        name: "a-command-meets-half-a-dataset",
        breaks: "a replica in a full sync applies what was executed on keys that it lacks, and begins again",
        file: "crates/node/src/data/walk.rs",
        guard: "            if effect.key().is_none_or(|key| self.slots.duty(key_slot(key)) == Duty::Forward) {",
        instead: "            if true {",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "reads-do-not-wait",
        breaks: "a read shows a write that a later primary may lack",
        file: "crates/shard/src/replies.rs",
        guard: "            AckMode::InSync => write.max(read),",
        instead: "            AckMode::InSync => write,",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-lost-proposal-is-a-rejected-one",
        breaks: "a member that the log has taken is not waited for, because nobody told what became of its proposal",
        file: "crates/shard/src/set.rs",
        guard: "            let open = change.isr_epoch == at.shard.isr_epoch && at.is_registered(*member);",
        instead: "            let open = false;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-rejection-is-answered-at-once",
        breaks: "every entry is answered with a proposal that the log rejects, which is an entry",
        file: "crates/shard/src/asked.rs",
        guard: "            Heard::No => REJECTED_AGAIN_MS,",
        instead: "            Heard::No => 0,",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "fenced-before-the-replies-left",
        breaks: "the old primary acknowledges writes behind its own fence",
        file: "crates/shard/src/handover.rs",
        guard: "            held.stage = Stage::RepliesLeaving;",
        instead: "            held.stage = Stage::Ready;",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-fence-without-what-is-before-it",
        breaks: "a candidate is promoted that lacks what the old primary acknowledged",
        file: "crates/shard/src/link.rs",
        guard: "        flow.fence.take_if(|fence| caught_up && fence.offset == cursor)",
        instead: "        flow.fence.take_if(|_| caught_up || is_streaming)",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "serves-from-another-offset",
        breaks: "a node serves that does not hold what the log says its ownership begins with",
        file: "crates/shard/src/ownership.rs",
        guard: "        if let Some(committed) = committed.filter(|committed| *committed != start) {",
        instead: "        if let Some(committed) = committed.filter(|_| false) {",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-link-that-was-replaced-acknowledges",
        breaks: "what an older link of a replica said counts for the newer one",
        file: "crates/shard/src/link.rs",
        guard: "        self.links.get_mut(&member).filter(|attachment| attachment.serial == serial)",
        instead: "        self.links.get_mut(&member).filter(|_| serial > 0)",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "old-primary-serves-behind-the-fence",
        breaks: "the old primary executes commands while its shard is handed over",
        file: "crates/shard/src/serving.rs",
        guard: "matches!(&self.role, Role::Primary(p) if p.begun && p.handover.is_none())",
        instead: "matches!(&self.role, Role::Primary(p) if p.begun)",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "answer-from-before-counts",
        breaks: "'ready' as a replica passes for 'serving' as the primary that the node has become since",
        file: "crates/coordinator/src/view.rs",
        guard: "if data.is_some_and(|data| data.duty == duty) {",
        instead: "if data.is_some() || duty == Duty::Neither {",
        tests: SIMULATED,
    },
    Mutation {
        name: "compared-by-what-they-held-before",
        breaks: "a failover and a handover rest on what was said before the set's last change",
        file: "crates/coordinator/src/view.rs",
        guard: "data.shard == shard.id && data.isr_epoch == shard.isr_epoch",
        instead: "data.shard == shard.id",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "no-sibling-gate",
        breaks: "a node is taken out while another one of its shard is not back in the set",
        file: "crates/coordinator/src/take_out.rs",
        guard: "} else if !shard.in_sync.contains(&other.member()) {",
        instead: "} else if false && !shard.in_sync.contains(&other.member()) {",
        tests: SIMULATED,
    },
    Mutation {
        name: "a-late-step-leaves-one-copy",
        breaks: "of three copies of a shard one stays in the set",
        file: "crates/control/src/apply/step.rs",
        guard: "            && kept < COPIES_MIN",
        instead: "            && kept < COPIES_MIN - 1",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "no-gate-of-voters",
        breaks: "the coordinator asks for a step that would leave no quorum",
        file: "crates/coordinator/src/take_out.rs",
        guard: "    if left < majority {",
        instead: "    if false && left < majority {",
        tests: SIMULATED,
    },
    Mutation {
        name: "two-coordinators-take-the-quorum",
        breaks: "two leaders that do not know of each other take out one voter too many",
        file: "crates/control/src/apply/step.rs",
        guard: "            if left < majority {",
        instead: "            if false && left < majority {",
        tests: SIMULATED,
    },
    Mutation {
        name: "promote-keeps-the-whole-set",
        breaks: "who was not attached at the fence is in the new primary's set",
        file: "crates/control/src/apply/handover.rs",
        guard: ".filter(|m| *m == to || in_sync.contains(m)).collect();",
        instead: ".filter(|m| *m == to || in_sync.contains(m) || true).collect();",
        tests: SIMULATED,
    },
    Mutation {
        name: "a-shard-is-recovered-while-its-primary-may-answer",
        breaks: "a primary whose lease may run is given up for a node that holds less",
        file: "crates/control/src/apply/recover.rs",
        guard: "        shard.check_deposable(entry, *term)?;",
        instead: "        let (_, _) = (entry, term);",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "somebody-else-is-given-up",
        breaks: "a recovery that was decided without a member gives that member up",
        file: "crates/control/src/apply/recover.rs",
        guard: "        if who_could_take_over(shard) != *given_up {",
        instead: "        if false && who_could_take_over(shard) != *given_up {",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "a-promotion-below-the-last-start",
        breaks: "a primary begins below where the last one did, and what lies in between is gone",
        file: "crates/control/src/apply/handover.rs",
        guard: "        shard.check_start(offset)?;",
        instead: "        let _ = offset;",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "the-least-complete-claim-is-chosen",
        breaks: "a shard that lost its set goes on with the node that holds least",
        file: "crates/coordinator/src/recover.rs",
        guard: ".max_by_key(|claim| rank(claim))",
        instead: ".min_by_key(|claim| rank(claim))",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "a-longer-claim-of-a-branch-that-was-cut-off",
        breaks: "what a later primary never had comes back, and what it acknowledged goes",
        file: "crates/coordinator/src/recover.rs",
        guard: "(claim.worth, claim.epoch, claim.offset, on_target,",
        instead: "(claim.offset, claim.worth, claim.epoch, on_target,",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "a-member-that-answers-is-given-up",
        breaks: "a shard goes on with less although a member of its set is about to take over",
        file: "crates/coordinator/src/recover.rs",
        guard: "        node.is_some_and(|node| view.answer(node).is_ok())",
        instead: "        node.is_some_and(|node| view.answer(node).is_err())",
        tests: &["-p", "ironcache-coordinator"],
    },
    Mutation {
        name: "failover-keeps-the-whole-set",
        breaks: "who may hold less than the new primary is in its set",
        file: "crates/control/src/apply/ownership.rs",
        guard: "each holds of the old epoch is not known here.\n        shard.in_sync = BTreeSet::from([to]);",
        instead: "each holds of the old epoch is not known here.\n        shard.in_sync.insert(to);",
        tests: SIMULATED,
    },
    Mutation {
        name: "any-handover-promotes",
        breaks: "a promotion of an earlier attempt takes effect in the middle of the next one",
        file: "crates/control/src/apply/handover.rs",
        guard: "            .filter(|h| h.epoch == handover)",
        instead: "            .filter(|h| h.epoch != Epoch(0))",
        tests: SIMULATED,
    },
    Mutation {
        name: "fence-of-the-set-is-dropped",
        breaks: "a member enters the set by a proposal that its primary has forgotten",
        file: "crates/control/src/apply/in_sync.rs",
        guard: "        if shard.isr_epoch != isr_epoch {",
        instead: "        if false && shard.isr_epoch != isr_epoch {",
        tests: SIMULATED,
    },
    Mutation {
        name: "a-step-keeps-its-role",
        breaks: "a node is taken out and stays in the set",
        file: "crates/control/src/apply/step.rs",
        guard: "            && shard.in_sync.remove(&member)",
        instead: "            && shard.in_sync.contains(&member)",
        tests: SIMULATED,
    },
    Mutation {
        name: "agent-does-not-wait-for-its-primary",
        breaks: "a node stops while its primary holds every write back for it",
        file: "crates/agent/src/step.rs",
        guard: "Some(applied) if applied < out.log_index => {",
        instead: "Some(applied) if false && applied < out.log_index => {",
        tests: SIMULATED,
    },
    Mutation {
        name: "inconclusive-blames-the-release",
        breaks: "a cut link quarantines a good release",
        file: "crates/agent/src/step.rs",
        guard: "Some(StepResult::Inconclusive { reason }) => failed(facts, out, reason.clone(), Fault::NotTheRelease)",
        instead: "Some(StepResult::Inconclusive { reason }) => failed(facts, out, reason.clone(), Fault::TheRelease)",
        tests: SIMULATED,
    },
    Mutation {
        name: "a-node-applies-something-else",
        breaks: "the states of two nodes differ, and their hashes are not compared",
        file: "crates/sim/src/node.rs",
        guard: "entry.apply(log_index, Arc::make_mut(&mut self.view), &self.release)?;",
        instead: "entry.apply(log_index + self.me.node.0 % 2, Arc::make_mut(&mut self.view), &self.release)?;",
        tests: SIMULATED,
    },
    Mutation {
        name: "files-of-the-level-before-are-kept",
        breaks: "a node says that it holds nothing of the level before, and holds it: no release may drop that level",
        file: "crates/agent/src/level.rs",
        guard: "    if facts.oldest < level {",
        instead: "    if false {",
        tests: SIMULATED_NEXT,
    },
    Mutation {
        name: "the-level-rises-in-the-middle-of-a-plan",
        breaks: "an entry of a level that an old release does not know stands in the log while a node runs that release",
        file: "crates/control/src/apply/plan.rs",
        guard: "        self.check_all_on_target(active)?;\n        self.check_level(level, outcome)?;",
        instead: "        self.check_level(level, outcome)?;",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "quarantine-is-forgotten",
        breaks: "a binary that failed on a node is run again",
        file: "crates/control/src/apply/step.rs",
        guard: "        self.refuse_quarantined(target.digest)?;\n        if !node.staged",
        instead: "        if !node.staged",
        tests: &["-p", "ironcache-control"],
    },
    Mutation {
        name: "frames-ignore-the-applied-level",
        breaks: "a primary goes on writing at the level of before a raise",
        file: "crates/node/src/data/perform.rs",
        guard: "            self.effects.restart_at(self.level());",
        instead: "            self.effects.clear();",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "frames-above-the-release-are-applied",
        breaks: "a replica applies effects of a level that its release does not admit",
        file: "crates/node/src/data/follower.rs",
        guard: "        if !self.levels.admits(level) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "frames-above-the-applied-level-are-applied",
        breaks: "a replica holds, and would seal into its checkpoint, what the log does not allow yet",
        file: "crates/node/src/data/follower.rs",
        guard: "        Ok(if level <= self.level() { Reached::Yes } else { Reached::NotYet })",
        instead: "        Ok(if level <= Level(u16::MAX) { Reached::Yes } else { Reached::NotYet })",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-replica-that-cannot-read-is-accepted",
        breaks: "a replica is fed what its release does not admit",
        file: "crates/shard/src/hello.rs",
        guard: "        if !hello.levels.admits(level) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-checkpoint-of-another-release-is-set-aside",
        breaks: "a checkpoint that only another release can read loses its name",
        file: "crates/node/src/data/checkpoint/mod.rs",
        guard: "| Self::NoRoom { .. } | Self::Version { .. } | Self::Level { .. } => {\n                Fate::Stays\n            }",
        instead: "| Self::NoRoom { .. } => Fate::Stays,\n            Self::Version { .. } | Self::Level { .. } => Fate::Damaged,",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "the-checkpoint-of-a-set-of-one-is-removed",
        breaks: "the only copy of a shard on any disk is removed",
        file: "crates/shard/src/copies.rs",
        guard: "shard.in_sync.len() >= 2",
        instead: "!shard.in_sync.is_empty()",
        tests: &["-p", "ironcache-shard"],
    },
    Mutation {
        name: "a-checkpoint-is-deleted-on-read",
        breaks: "a process that is killed right after its start takes the only copy of its dataset with it",
        file: "crates/node/src/data/checkpoint/mod.rs",
        guard: "                let Held { offset, taken_ms, .. } = checkpoint.begun.held;",
        instead: "                let _ = disk::remove_file(copy.path(data_dir));\n                let Held { offset, taken_ms, .. } = checkpoint.begun.held;",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "the-only-copy-is-given-up-on-a-full-disk",
        breaks: "a node without room for its checkpoint ends all the same",
        file: "crates/node/src/data/leaving.rs",
        guard: "            serve_on(node);\n            Drained::Stays { why }",
        instead: "            let _ = (serve_on, why);\n            Drained::Settled",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "room-is-not-looked-for",
        breaks: "clients are sent away for a checkpoint that the disk cannot take",
        file: "crates/node/src/data/leaving.rs",
        guard: "    if is_needed(node, keep)\n        && keep",
        instead: "    if false\n        && keep",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-stop-that-advances-is-cut-off",
        breaks: "a checkpoint that takes longer than the stop timeout is cut, and the dataset lost",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "            *kill_at = kill_at.map(|_| now + timeout + LAST_WORDS);",
        instead: "            let _ = (kill_at, LAST_WORDS);",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-trial-that-loads-is-cut-off",
        breaks: "a good release is blamed for the size of the dataset that it reads",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "        watch.advanced = now;",
        instead: "        let _ = now;",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-hang-is-silence",
        breaks: "a daemon that heartbeats and does nothing keeps its clients for ever",
        file: "crates/spine/src/launcher/watch.rs",
        guard: "        if watch.ticks.replace(ticks) != Some(ticks) {",
        instead: "        if watch.ticks.replace(ticks) != Some(u64::MAX) {",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-long-command-ticks-no-more",
        breaks: "a daemon is killed, or loses its lease, for a command that takes long",
        file: "crates/keyspace/src/progress.rs",
        guard: "        if walked.is_multiple_of(EVERY) {",
        instead: "        if walked == 0 {",
        tests: &["-p", "ironcache-keyspace"],
    },
    Mutation {
        name: "a-hang-is-judged-by-time-alone",
        breaks: "a daemon is killed in the middle of a transaction of many commands",
        file: "crates/command/src/call.rs",
        guard: "    progress::tick();\n    let start = out.len();",
        instead: "    let start = out.len();",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-lost-dataset-is-exit-0",
        breaks: "whoever manages services takes a lost dataset for a clean stop",
        file: "crates/spine/src/launcher/supervisor.rs",
        guard: "                if exit != DaemonExit::Done {\n                    return Err",
        instead: "                if false {\n                    return Err",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "a-node-that-cannot-start-keeps-its-clients",
        breaks: "clients and peers hang at a node whose daemon never starts",
        file: "crates/spine/src/launcher/supervisor.rs",
        guard: "        if self.config.limits.refuses_in(pause) {",
        instead: "        if false {",
        tests: &["-p", "ironcache-spine", "--test", "processes"],
    },
    Mutation {
        name: "an-old-checkpoint-is-taken-for-the-whole",
        breaks: "an owner that wrote more and was killed claims its shard with what it held before",
        file: "crates/shard/src/ownership.rs",
        guard: "(registered && by_the_last_owner && of_its_epoch).then_some(read.offset)",
        instead: "registered.then_some(read.offset)",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-snapshot-is-taken-for-the-whole",
        breaks: "what came after a snapshot is gone, and nobody says so",
        file: "crates/shard/src/ownership.rs",
        guard: "last.node == self.me.node && read.sealed_by == Some(last.incarnation)",
        instead: "last.node == self.me.node",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "a-snapshot-goes-on-with-another-dataset",
        breaks: "a snapshot is half of one dataset, and half of the one that replaced it",
        file: "crates/node/src/data/checkpoint/beside.rs",
        guard: "history(plane).filter(|_| plane.replaced == self.replaced)",
        instead: "history(plane)",
        tests: &["-p", "ironcache-node", "--lib", "data::"],
    },
    Mutation {
        name: "messages-before-the-handshake",
        breaks: "somebody who has not said hello has a gigabyte buffered",
        file: "crates/replication/src/frame.rs",
        guard: "    if since > version {\n        return Err(FrameError::AboveVersion",
        instead: "    if false {\n        return Err(FrameError::AboveVersion",
        tests: &["-p", "ironcache-replication"],
    },
    Mutation {
        name: "effects-above-their-level-are-read",
        breaks: "effects are read by rules that their level does not have",
        file: "crates/keyspace/src/effect.rs",
        guard: "        if since > level {\n            return Err(EffectError::OpcodeAboveLevel",
        instead: "        if false {\n            return Err(EffectError::OpcodeAboveLevel",
        tests: &["-p", "ironcache-keyspace"],
    },
    Mutation {
        name: "an-entry-above-the-level-is-decoded",
        breaks: "a command of a level to come takes effect on the releases that happen to know it",
        file: "crates/formats/src/entry/mod.rs",
        guard: "    if level > state {\n        return",
        instead: "    if false && level > state {\n        return",
        tests: &["-p", "ironcache-formats"],
    },
    Mutation {
        name: "the-entrys-level-does-not-pick-the-decoder",
        breaks: "an entry is decoded as another version than its level has",
        file: "crates/formats/src/entry/mod.rs",
        guard: "    if levels::version_at(Format::Entry(kind), level) != Some(version) {",
        instead: "    if levels::version_at(Format::Entry(kind), level).is_none() {",
        tests: &["-p", "ironcache-formats"],
    },
    Mutation {
        name: "an-entry-above-the-level-is-appended",
        breaks: "the leader puts into the log what every node will refuse",
        file: "crates/raft/src/leader.rs",
        guard: "        if level > mine {",
        instead: "        if false && level > mine {",
        tests: &["-p", "ironcache-raft", "--test", "raft"],
    },
    Mutation {
        name: "a-level-is-in-force-before-its-file",
        breaks: "a node seals at a level, and an older binary opens its directory",
        file: "crates/raft/src/machine.rs",
        guard: "                    level.make_durable(reached)?;",
        instead: "                    let _ = reached;",
        tests: &["-p", "ironcache-raft", "--lib", "machine::"],
    },
    Mutation {
        name: "a-level-above-the-range-is-applied",
        breaks: "a release goes on at a level whose formats it does not know",
        file: "crates/raft/src/level.rs",
        guard: "        if !self.admits.admits(level) {",
        instead: "        if false && !self.admits.admits(level) {",
        tests: &["-p", "ironcache-raft", "--lib", "machine::"],
    },
    Mutation {
        name: "a-snapshot-is-not-held-against-its-hash",
        breaks: "a node takes over another state than the others hold",
        file: "crates/formats/src/snapshot/mod.rs",
        guard: "    if found != hash {",
        instead: "    if false && found != hash {",
        tests: &["-p", "ironcache-formats"],
    },
    Mutation {
        name: "what-is-remembered-is-not-hashed",
        breaks: "two nodes answer a repeated request differently, and nobody sees it",
        file: "crates/formats/src/state/live/mod.rs",
        guard: "            answers: each(answers),",
        instead: "            answers: each(answers.into_iter().skip(usize::MAX)),",
        tests: &["-p", "ironcache-formats"],
    },
    Mutation {
        name: "the-hash-ignores-the-level",
        breaks: "nodes of two releases hash one state differently, so a mixed cluster holds its own plan",
        file: "crates/formats/src/state/mod.rs",
        guard: "    Ok(hash_of(&write(state, answers, level_of(state))?))",
        instead: "    Ok(hash_of(&write(state, answers, levels::RANGE.max)?))",
        tests: &["-p", "ironcache-formats", "--features", "next"],
    },
    Mutation {
        name: "a-writer-ignores-the-level",
        breaks: "a node seals entries at the newest level of its release, and the others refuse them",
        file: "crates/raft/src/node.rs",
        guard: "        let (id, level) = (self.inner.next_request_id(), self.inner.identity.level());",
        instead: "        let (id, level) = (self.inner.next_request_id(), self.inner.options.admits.max);",
        tests: &["-p", "ironcache-raft", "--features", "next", "--test", "raft", "a_follower_forwards"],
    },
    Mutation {
        name: "a-verb-of-a-later-level-is-answered",
        breaks: "a verb of a level to come is unknown to one node and done by another",
        file: "crates/node/src/http/level.rs",
        guard: "    if state >= level { Ok(()) } else { Err(Rejection::NotYet { level, state }.into()) }",
        instead: "    let _ = state;\n    Ok(())",
        tests: &["-p", "ironcache-node", "--lib", "a_verb_of_a_level_to_come"],
    },
];

/// Tries every mutation, or the named one.
///
/// # Errors
/// When a mutation survives its tests, or does not fit the code any more; the others are tried all the same.
pub(crate) fn run(root: &Path, only: Option<&str>) -> Result<()> {
    let chosen: Vec<&Mutation> =
        MUTATIONS.iter().filter(|m| only.is_none_or(|name| name == m.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = MUTATIONS.iter().map(|m| m.name).collect();
        bail!("there is no mutation {:?}; there are {}", only.unwrap_or_default(), names.join(", "));
    }
    try_each(root, &chosen)
}

/// Tries `count` rows, evenly spread, and beginning at one that the present commit chooses.
pub(crate) fn run_sample(root: &Path, count: usize) -> Result<()> {
    let head = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output();
    let head = head.context("git cannot be asked for the present commit")?;
    let id = String::from_utf8_lossy(&head.stdout);
    let begin = id.get(..8).and_then(|hex| usize::from_str_radix(hex, 16).ok()).unwrap_or(0);
    let (count, all) = (count.clamp(1, MUTATIONS.len()), MUTATIONS.len());
    let chosen: Vec<&Mutation> = (0..count).map(|at| &MUTATIONS[(begin + at * all / count) % all]).collect();
    println!("mutations: a sample of {count} of {all}; `make mutations` tries all");
    try_each(root, &chosen)
}

fn try_each(root: &Path, chosen: &[&Mutation]) -> Result<()> {
    let mut problems = Vec::new();
    for mutation in chosen {
        match try_one(root, mutation) {
            Ok(test) => println!("caught: {} ({}), by {test}", mutation.name, mutation.breaks),
            Err(error) => {
                println!("NOT CAUGHT: {} ({}): {error:#}", mutation.name, mutation.breaks);
                problems.push(mutation.name);
            }
        }
    }
    if !problems.is_empty() {
        bail!("{} of {} mutations were not caught: {}", problems.len(), chosen.len(), problems.join(", "));
    }
    println!("mutations: {} of {} are caught", chosen.len(), chosen.len());
    Ok(())
}

/// Answers the name of a test that failed.
fn try_one(root: &Path, mutation: &Mutation) -> Result<String> {
    let path = root.join(mutation.file);
    let file = Restored::open(root, &path)?;
    let places = file.original.matches(mutation.guard).count();
    if places != 1 {
        bail!("the guard stands in {} {places} times; correct the row in the table", mutation.file);
    }
    std::fs::write(&path, file.original.replacen(mutation.guard, mutation.instead, 1))
        .with_context(|| format!("cannot write {}", mutation.file))?;
    if let [TURMOIL, play @ ..] = mutation.tests {
        return turmoil(root, play);
    }
    if !cargo_test(root, mutation, &["--no-run"])?.status.success() {
        bail!("the tests do not compile with it: correct the row in the table");
    }
    let tests = cargo_test(root, mutation, &["--no-fail-fast"])?;
    if tests.status.success() {
        bail!("`cargo test {}` passes all the same", mutation.tests.join(" "));
    }
    let said = String::from_utf8_lossy(&tests.stdout).into_owned();
    let failed = said.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"));
    failed.map(str::to_owned).context("the tests ended badly, and none of them failed")
}

/// Answers the first seed that was violated.
fn turmoil(root: &Path, play: &[&str]) -> Result<String> {
    // As in the Makefile: what is built for `make turmoil` is built.
    let cargo = |verb: &str, more: &[&str]| {
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args([verb, "--target-dir", "target/turmoil", "-p", "ironcache-turmoil"])
            .args(more)
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", "--cfg tokio_unstable --cfg turmoil")
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run cargo {verb}"))
    };
    if !cargo("build", &[])?.status.success() {
        bail!("the simulated world does not compile with it: correct the row in the table");
    }
    let seeds = cargo("run", &[&["--"], play].concat())?;
    if seeds.status.success() {
        bail!("`ironcache-turmoil {}` passes all the same", play.join(" "));
    }
    let said = String::from_utf8_lossy(&seeds.stdout).into_owned();
    let failed = said.lines().find_map(|line| line.strip_prefix("FAILED")?.trim().split(':').next());
    let failed = failed.context("the seeds ended badly, and none of them failed")?;
    Ok(format!("{} {failed}", play.first().unwrap_or(&TURMOIL)))
}

fn cargo_test(root: &Path, mutation: &Mutation, more: &[&str]) -> Result<std::process::Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (before, filter) = match mutation.tests {
        [options @ .., filter] if !filter.starts_with('-') && options.contains(&"--lib") => {
            (options, Some(filter))
        }
        options => (options, None),
    };
    Command::new(cargo)
        .arg("test")
        .args(before)
        .args(more)
        .args(filter)
        .current_dir(root)
        .stdin(Stdio::null())
        .output()
        .context("cannot run cargo test")
}

/// A file that is written back as it was when this is dropped.
struct Restored {
    path: PathBuf,
    original: String,
}

impl Restored {
    fn open(root: &Path, path: &Path) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["diff", "--quiet", "HEAD", "--"]).arg(path).current_dir(root);
        // 1 says that it differs; anything else, that this is no repository, where nothing else keeps the file either.
        if git.stderr(Stdio::null()).status().is_ok_and(|status| status.code() == Some(1)) {
            bail!("{} has changes that are not committed; a mutation would endanger them", path.display());
        }
        let original =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path: path.to_owned(), original })
    }
}

impl Drop for Restored {
    fn drop(&mut self) {
        if let Err(error) = std::fs::write(&self.path, &self.original) {
            eprintln!("xtask: {} stays broken: {error}; run git checkout on it", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A row that is out of date guards nothing, and only a long run would tell.
    #[test]
    fn every_guard_stands_in_its_file_once() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut wrong = Vec::new();
        for mutation in MUTATIONS {
            let text = std::fs::read_to_string(root.join(mutation.file)).unwrap_or_default();
            let places = text.matches(mutation.guard).count();
            if places != 1 {
                wrong.push(format!("{}: {places} places in {}", mutation.name, mutation.file));
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        let names: BTreeSet<&str> = MUTATIONS.iter().map(|m| m.name).collect();
        assert_eq!(names.len(), MUTATIONS.len(), "a name is given twice");
    }
}
