#!/usr/bin/env python3
"""Kills each part of a cluster at each committed step of a roll, and looks at what became of it: docs/kill-matrix.md.

    sudo tests/compat/kill_matrix.py target/release/ironcache --next target/release/ironcache-next [--runs 3]
    … --only machine,leader,promote          cells that have all of these words
    … --way back                             the steps of the rollback, and not those of the way forward
    … --way failed                           likewise, after the last step of the shard failed
    … --write                                the table of every run so far goes into docs/kill-matrix.md

Each run is a cluster of its own, each node a machine of its own (machines.py), in mode `in-sync`, under a load that
knows what every key may hold (ledger.py). A roll to the second binary begins; when the step is seen committed, the
fault comes. Then the roll has to end by itself: final, rolled back, or held with a reason that names who is gone; after
that machine's return it ends. Everything acknowledged is read back.

Runs are noted in `--results` (one JSON line each, by the digests of both binaries), so that a matrix can be made in
pieces. A failed cell prints where its logs are. Needs root, `ip` and Python 3.8 alone.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import statistics
import sys
import time
from collections import defaultdict

import ledger
from machines import Cluster, Pauses, Stuck, folder_for, inside, primary_of, run

# In the order in which they are committed. What is seen is the first state at or past the step: a handover lasts some
# milliseconds.
STEPS = {
    "begin-rolling": "`BeginRolling`",
    "upgrade-replica": "`UpgradeSelf` of the replica",
    "confirm": "its `Confirm`",
    "confirmed": "its `Confirmed`",
    "begin-handover": "`BeginHandover`",
    "promote": "`Promote`",
    "upgrade-primary": "`UpgradeSelf` of the old primary",
    "soaking": "soaking",
    "finalize": "`Finalize`",
}
VICTIMS = {
    "leader": "leader",
    "old-primary": "old primary",
    "candidate": "candidate",
    "in-upgrade": "node in upgrade",
    "keeper": "keeper",
    "follower": "random follower",
}
FAULTS = {
    "process": "`kill -9` of the daemon",
    "machine": "machine gone, back after 3 s",
    "machine-lost": "machine gone",
    "stop": "SIGSTOP of the daemon for 3 s",
    "partition": "cut off from its peers for 3 s",
}
LAYOUTS = {"1+1": dict(shards=2, replicas=1, witnesses=1), "1+2": dict(shards=1, replicas=2, witnesses=0)}
WAYS = {
    "forward": "on the way to the next release",
    "back": "on the way back from it, by command",
    "failed": "on the way back from it, after the last step failed",
}
AWAY_S = 3
# A plan is held after this; a node that returns needs far less.
STEP_TIMEOUT_S = 5
# A trial that nobody accepts is over after this.
CONFIRM_TIMEOUT_S = 15
# From the end of the fault to the end of the roll, each step included.
END_S = 60
# A shard that takes no write for this long, with a majority and a member left, is down.
SERVED_S = 20
# The computer itself stood still for longer than a lease: such a run that fails says nothing, and is made again.
PAUSE_S = 0.9
SHARD = "0"
HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "..", "docs", "kill-matrix.md")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


def phase_of(plan):
    phase = plan["phase"]
    return phase if isinstance(phase, str) else next(iter(phase))


def is_for_exposure(plan):
    """Held because one process alone knew what a shard acknowledged: it goes on by itself once that is over."""
    return "exposed" in json.dumps(plan["phase"])


def reached(control, plan_id, version, old):
    """The last step that this state has reached; None before the first."""
    shard = control["shards"][SHARD]
    plan = control["plan"]
    if plan is None or plan["id"] != plan_id:
        return "finalize"
    phase = phase_of(plan)
    if phase == "soaking":
        return "soaking"
    if phase not in ("rolling", "held", "paused"):
        return None
    nodes = control["nodes"]
    if nodes[old]["out"] or nodes[old]["release"]["version"] == version:
        return "upgrade-primary"
    if shard["handover"]:
        return "begin-handover"
    if primary_of(shard) != old:
        return "promote"
    furthest = "begin-rolling"
    for node in shard["nodes"]:
        out = nodes[node]["out"]
        if node == old:
            continue
        if out:
            furthest = later(furthest, "upgrade-replica" if out["phase"] == "told" else "confirm")
        elif nodes[node]["release"]["version"] == version:
            furthest = later(furthest, "confirmed")
    return furthest


def later(one, other):
    order = list(STEPS)
    return max(one, other, key=order.index)


def way_of(plan, target):
    """The version that the nodes are taken to."""
    return plan["target"]["version"] if plan else target


class Run:
    """One cell, once."""

    def __init__(self, args, layout, step, victim, fault, seed):
        self.args, self.layout, self.step, self.victim, self.fault = args, layout, step, victim, fault
        self.seed, self.dice = seed, random.Random(seed)
        self.folder = folder_for("kill-matrix")
        self.cluster = self.load = self.hit = self.node = None
        self.was_late = False
        self.notes = []

    def go(self):
        result = {
            "layout": self.layout, "way": self.args.way, "step": self.step, "victim": self.victim, "fault": self.fault,
            "seed": self.seed, "binary": self.args.digests,
        }
        began, pauses = time.monotonic(), Pauses()
        try:
            settings = ["finalize-after-s=never", f"step-timeout-s={STEP_TIMEOUT_S}"]
            self.cluster = Cluster(
                self.args.binary, self.folder, settings=settings, timers=self.args.timers, data_dirs=self.disks(),
                flags=["--confirm-timeout-ms", str(CONFIRM_TIMEOUT_S * 1000)], **LAYOUTS[self.layout],
            )
            if self.dice.random() < 0.5:
                # The first primary founds the cluster and leads; somebody else is to, half of the time.
                leader = self.cluster.patiently("somebody leads", self.cluster.leader)[0]
                leader.signal_daemon(signal.SIGKILL)
                self.cluster.patiently("everybody is in sync again", self.cluster.whole)
            self.load = ledger.Load(self.cluster, writers=2, keys=200, rate=self.args.rate)
            result.update(self.play())
            if result["outcome"] != "n/a":
                self.cluster.patiently("every node is back in sync", self.cluster.whole)
                result.update(self.read_back())
        except Stuck as stuck:
            result.update({"outcome": "stuck", "why": self.why(str(stuck)), "late": self.was_late})
            if self.load and self.load.process.is_alive():
                result.update(self.read_back())
        except (KeyError, TypeError, ValueError) as mistake:
            result.update({"outcome": "stuck", "why": f"{type(mistake).__name__}: {mistake}"})
            if self.args.debug:
                raise
        finally:
            if self.load:
                self.load.end()
            if self.cluster:
                self.cluster.end()
        result["took_s"] = round(time.monotonic() - began, 1)
        result["paused_s"] = pauses.end()
        result["notes"] = self.notes
        result["ok"] = is_ok(result)
        kept = self.args.keep or not result["ok"]
        self.put_disks_away(kept)
        if not kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            result["logs"] = self.folder
        return result

    def disks(self):
        """In memory, unless asked otherwise: a shared disk that stands still for seconds is no fault of this script's."""
        if self.args.disk:
            return None
        disk = f"{self.folder}/disk"
        os.makedirs(disk)
        run("mount", "-t", "tmpfs", "tmpfs", disk)
        return {index: f"{disk}/{index}" for index in range(1, 10)}

    def put_disks_away(self, kept):
        """What the nodes had on them, without their binaries."""
        if self.args.disk:
            return
        disk = f"{self.folder}/disk"
        if kept:
            shutil.copytree(disk, f"{self.folder}/data", ignore=shutil.ignore_patterns("slots"), dirs_exist_ok=True)
        run("umount", "-l", disk)

    def why(self, what):
        """With what the leader sees at that moment."""
        control = self.cluster.control() if self.cluster else None
        if not control:
            return f"{what}; nobody leads"
        plan = control["plan"]
        waits = self.waiting_on()
        return f"{what}; plan {json.dumps(plan and plan['phase'])}; waits: {json.dumps(waits)[:600]}"

    # --- the roll -----------------------------------------------------------------------------------------------

    def play(self):
        cluster, args = self.cluster, self.args
        staged = cluster.ask("release", "stage", args.next)
        if staged.returncode != 0:
            raise Stuck(f"the release is not staged: {staged.stderr}")
        control = cluster.patiently("the cluster is whole", cluster.whole)
        started = cluster.ask("cluster", "set-target-version", args.next_version)
        if started.returncode != 0:
            raise Stuck(f"the plan does not start: {started.stderr}")
        self.plan_id = control["last_plan"] + 1
        target = args.next_version
        old = primary_of(control["shards"][SHARD])
        if args.way == "back":
            self.until_phase("soaking")
            control = cluster.patiently("the cluster is whole", cluster.whole)
            old = primary_of(control["shards"][SHARD])
            done = cluster.ask("cluster", "upgrade", "rollback", "--reason", "the matrix goes back")
            if done.returncode != 0:
                raise Stuck(f"the rollback is refused: {done.stderr}")
            target = args.version
        elif args.way == "failed":
            self.fail(old)
            control = cluster.patiently("somebody leads", cluster.control)
            old = primary_of(control["shards"][SHARD]) or old
            target = args.version
        if not self.strike_at(target, old):
            return {"outcome": "n/a"}
        self.fault_at = time.monotonic()
        outcome = self.after_the_fault(target)
        return {"outcome": outcome, "hit": self.hit, "node": self.node.name, "served_s": self.served_s()}

    def fail(self, last):
        """The step of the plan-start primary fails: its new binary dies in each attempt, until the plan turns round."""
        give_up = time.monotonic() + END_S
        node = self.cluster.by_id[last]
        while time.monotonic() < give_up:
            status = node.status(timeout=0.3)
            if status and status["release"]["version"] == self.args.next_version:
                node.signal_daemon(signal.SIGKILL)
                time.sleep(0.02)
            control = self.cluster.control()
            plan = control and control["plan"]
            if plan and plan["direction"] != "forward" or control and plan is None:
                return
            if plan and phase_of(plan) == "soaking":
                # On a busy computer the trial may be over before its process is found: no step failed.
                self.was_late = True
                raise Stuck("the step was confirmed before its process could be killed")
        raise Stuck("the plan does not turn round although a step failed")

    def until_phase(self, phase):
        def there():
            control = self.cluster.control()
            plan = control and control["plan"]
            return plan and phase_of(plan) == phase
        self.cluster.patiently(f"the plan is {phase}", there)

    def strike_at(self, target, old):
        """Waits for the step, finds the victim, and strikes. False if there is no such victim then."""
        order = list(STEPS)
        give_up = time.monotonic() + 60
        finalized = False
        leader = self.cluster.leader()
        while time.monotonic() < give_up:
            status = leader and leader[0].status(timeout=0.3)
            if not status or not status["raft"]["is_leader"] or not status.get("control"):
                leader = self.cluster.leader()
                continue
            seen = reached(status["control"], self.plan_id, target, old)
            if seen and order.index(seen) >= order.index(self.step):
                self.hit = seen
                self.node = self.choose(status, leader[0], old)
                if self.node is None:
                    return False
                self.strike()
                return True
            if seen == "soaking" and self.step == "finalize" and not finalized:
                # It is seen when it is committed; whoever asked may get no answer.
                finalized = True
                self.cluster.ask("cluster", "upgrade", "finalize")
        raise Stuck(f"the step {self.step} is not reached")

    def choose(self, status, leader, old):
        control, by_id = status["control"], self.cluster.by_id
        shard = control["shards"][SHARD]
        others = [node for node in shard["nodes"] if node != old]
        if self.victim == "leader":
            return leader
        if self.victim == "old-primary":
            return by_id[old]
        if self.victim == "candidate":
            if shard["handover"]:
                return by_id[member_node(shard["handover"]["to"])]
            if primary_of(shard) in others:
                return by_id[primary_of(shard)]
            at_work = [node for node in others if control["nodes"][node]["out"]]
            return by_id[(at_work or others)[0]]
        if self.victim == "in-upgrade":
            out = [node for node in shard["nodes"] if control["nodes"][node]["out"]]
            return by_id[out[0]] if out else None
        if self.victim == "keeper":
            keeper = shard.get("keeper")
            return by_id[member_node(keeper["member"])] if keeper else None
        if self.victim == "follower":
            return self.dice.choice([node for node in self.cluster.nodes if node is not leader])
        raise AssertionError(self.victim)

    def strike(self):
        if self.fault == "process":
            if self.node.signal_daemon(signal.SIGKILL) is None:
                self.notes.append("no daemon ran at that moment")
        elif self.fault in ("machine", "machine-lost"):
            self.node.power_off()
        elif self.fault == "stop":
            self.stopped = self.node.signal_daemon(signal.SIGSTOP)
        elif self.fault == "partition":
            self.node.cut()

    def undo(self):
        if self.fault in ("machine", "machine-lost") and not self.node.connected:
            self.node.power_on()
        elif self.fault == "stop" and self.stopped is not None:
            try:
                os.kill(self.stopped, signal.SIGCONT)
            except ProcessLookupError:
                pass
        elif self.fault == "partition":
            self.node.mend()

    # --- after it -----------------------------------------------------------------------------------------------

    def after_the_fault(self, target):
        if self.fault in ("machine", "stop", "partition"):
            time.sleep(AWAY_S)
            self.undo()
        if self.fault != "machine-lost":
            return self.ended()
        # The cluster goes on without it, and the plan ends, or says for whom it waits.
        self.every_shard_is_served()
        without = self.rests()
        self.every_shard_is_served()
        self.undo()
        with_it = self.ended()
        return with_it if without == with_it else f"{without}, then {with_it}"

    def every_shard_is_served(self):
        def served():
            return all(shard["silent_s"] < 0.5 for shard in self.load.pulse().values())
        self.cluster.patiently("every shard takes writes, with one machine gone", served, SERVED_S)

    def rests(self):
        """How the plan stands without the lost machine: ended, or at rest with a reason that names it."""
        give_up = time.monotonic() + END_S
        last = None
        while time.monotonic() < give_up:
            outcome, plan = self.where()
            if outcome in ("final", "rolled back", "aborted"):
                return outcome
            if outcome == "soaks":
                return self.finalize()
            if outcome == "held" and not is_for_exposure(plan):
                self.names_it(plan["phase"])
                return "held"
            waits = self.waiting_on() if plan else []
            if any(self.node.id in json.dumps(each) for each in waits):
                # It waits and says for whom. Does it stay so?
                last = last or time.monotonic()
                if time.monotonic() > last + STEP_TIMEOUT_S + 2:
                    return "waits"
            else:
                last = None
            time.sleep(0.1)
        raise Stuck("the roll neither ends nor says that it waits for the machine that is gone")

    def names_it(self, phase):
        if self.node.id not in json.dumps(phase) and len(self.notes) < 5:
            self.notes.append(f"held, and not for the node of the fault: {json.dumps(phase)}")

    def ended(self):
        """How the plan ends, with everybody there again."""
        give_up = time.monotonic() + END_S
        resumed = 0
        while time.monotonic() < give_up:
            outcome, plan = self.where()
            if outcome in ("final", "rolled back", "aborted"):
                return f"held, resumed, {outcome}" if resumed else outcome
            if outcome == "soaks":
                self.finalize()
            if outcome == "held" and not is_for_exposure(plan):
                self.names_it(plan["phase"])
                # What an operator does as soon as the machine is back.
                time.sleep(1)
                done = self.cluster.ask("cluster", "upgrade", "resume")
                resumed += done.returncode == 0
            time.sleep(0.05)
        raise Stuck("the roll does not end")

    def where(self):
        control = self.cluster.control()
        if not control:
            return "nobody leads", None
        plan = control["plan"]
        if plan is None:
            last = control["history"][-1]
            return {"finalized": "final", "rolled-back": "rolled back"}.get(last["outcome"], last["outcome"]), None
        phase = phase_of(plan)
        return {"soaking": "soaks"}.get(phase, phase), plan

    def waiting_on(self):
        found = self.cluster.leader()
        answer = found and found[0].get("/v1/upgrade", timeout=2)
        return (answer or {}).get("waiting_on", [])

    def finalize(self):
        self.cluster.ask("cluster", "upgrade", "finalize")
        return "final"

    def served_s(self):
        """The longest that any shard took no write from the fault on."""
        gaps = [gap for each in self.load.report()["gaps"].values() for gap in each]
        since = [length for at, length in gaps if at + length > self.fault_at]
        return round(max(since, default=0.0), 2)

    def read_back(self):
        report = self.load.finish()
        return {key: report[key] for key in ("acknowledged", "lost", "wrong", "unread", "errors", "examples")}


def member_node(member):
    return member["node"] if isinstance(member, dict) else member.partition("/")[0]


def is_ok(result):
    if result["outcome"] == "n/a":
        return True
    if result["outcome"] == "stuck" or result.get("lost", 1) or result.get("wrong", 1) or result.get("unread", 1):
        return False
    return not any("not for the node" in note for note in result["notes"])


# --- the table ------------------------------------------------------------------------------------------------------


def table(results):
    text = []
    for layout in LAYOUTS:
        for way in WAYS:
            here = [each for each in results if each["layout"] == layout and each["way"] == way]
            if here:
                text += section(layout, way, here)
    return "\n".join(text)


def section(layout, way, results):
    what = {
        "1+1": "Two shards of a primary and a replica, and a witness",
        "1+2": "One shard of a primary and two replicas",
    }[layout]
    played = [each for each in results if each["outcome"] != "n/a"]
    lost = sum(each.get("lost", 0) for each in played)
    acknowledged = sum(each.get("acknowledged", 0) for each in played)
    late = sum(each.get("hit", each["step"]) != each["step"] for each in played)
    text = [
        f"### {what}, {WAYS[way]}",
        "",
        f"{len(played)} runs, {sum(each['ok'] for each in played)} of them as promised; "
        f"{acknowledged:,} acknowledged writes, {lost} lost. In {late} runs a later step was committed before the fault came.",
        "",
        "| fault | who | " + " | ".join(STEPS[step] for step in STEPS) + " |",
        "| --- | --- |" + " --- |" * len(STEPS),
    ]
    cells = defaultdict(list)
    for each in results:
        cells[each["fault"], each["victim"], each["step"]].append(each)
    for fault in FAULTS:
        for victim in VICTIMS:
            row = [cells[fault, victim, step] for step in STEPS]
            if any(each["outcome"] != "n/a" for cell in row for each in cell):
                text.append(f"| {FAULTS[fault]} | {VICTIMS[victim]} | " + " | ".join(map(cell_text, row)) + " |")
    text.append("")
    return text


def cell_text(results):
    played = [each for each in results if each["outcome"] != "n/a"]
    if not played:
        return "·" if results else ""
    by_outcome = defaultdict(list)
    for each in played:
        by_outcome[failure_of(each) or each["outcome"]].append(each)
    told = []
    for outcome, runs in sorted(by_outcome.items()):
        served = [run["served_s"] for run in runs if "served_s" in run]
        gap = f", {statistics.median(served):.1f} s" if served else ""
        told.append(f"{outcome} {len(runs)}×{gap}")
    return "; ".join(told)


def failure_of(result):
    if result.get("lost"):
        return f"**lost {result['lost']}**"
    if result.get("wrong"):
        return f"**wrong {result['wrong']}**"
    if not result["ok"]:
        return "**does not end**" if result["outcome"] == "stuck" else "**held for another reason**"
    return None


def write_document(results):
    begin, end = "<!-- kill-matrix: begin -->", "<!-- kill-matrix: end -->"
    with open(DOCUMENT) as file:
        text = file.read()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{begin}\n{table(results)}\n{end}{after}")


def read_results(path, digests):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        results = [json.loads(line) for line in file]
    return [each for each in results if each["binary"] == digests]


def cells(args):
    only = args.only.split(",") if args.only else []
    for layout in args.layouts.split(","):
        for step in args.steps.split(","):
            if args.way != "forward" and step in ("soaking", "finalize"):
                continue
            if args.way == "failed" and step in ("begin-rolling", "upgrade-replica", "confirm"):
                # The node whose step failed is on the old release already.
                continue
            for victim in VICTIMS:
                if victim == "keeper" and layout == "1+2":
                    continue
                for fault in args.faults.split(","):
                    cell = (layout, step, victim, fault)
                    if all(word in cell for word in only):
                        yield cell


def stamp_of(binary):
    """What the binary says of itself."""
    import subprocess

    said = subprocess.run([binary, "--version"], capture_output=True, text=True).stdout.split()
    return said[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--next", required=True, help="the release that the cluster rolls to: make kill-matrix builds it")
    parser.add_argument("--runs", type=int, default=1, help="of each cell")
    parser.add_argument("--only", default="", help="words of a cell: machine,leader,promote,1+1")
    parser.add_argument("--layouts", default=",".join(LAYOUTS))
    parser.add_argument("--steps", default=",".join(STEPS))
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--way", choices=list(WAYS), default="forward", help="back: after `rollback`; failed: after a step that failed")
    parser.add_argument("--timers", default="50/150/300", help="raft's heartbeat and election timeouts, in ms")
    parser.add_argument("--rate", type=int, default=250, help="writes a second of each of the two writers a shard")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--results", default="target/kill-matrix.jsonl")
    parser.add_argument("--write", action="store_true", help="the table of all results goes into docs/kill-matrix.md")
    parser.add_argument("--table", action="store_true", help="no run: only print the table of all results")
    parser.add_argument("--again", action="store_true", help="also cells that have as many runs already")
    parser.add_argument("--disk", action="store_true", help="data directories on the disk of TMPDIR, not in memory")
    parser.add_argument("--keep", action="store_true", help="the logs of what went well, too")
    parser.add_argument("--debug", action="store_true")
    args = parser.parse_args()
    args.binary, args.next = os.path.abspath(args.binary), os.path.abspath(args.next)
    args.digests = f"{digest(args.binary)}-{digest(args.next)}"
    args.version, args.next_version = stamp_of(args.binary), stamp_of(args.next)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    if args.table or args.write and not args.runs:
        results = read_results(args.results, args.digests)
        write_document(results) if args.write else print(table(results))
        return
    print(f"kill_matrix: seed {seed}, {args.version} to {args.next_version}", flush=True)
    inside()
    os.makedirs(os.path.dirname(os.path.abspath(args.results)), exist_ok=True)
    dice, failed, count = random.Random(seed), 0, 0
    for number in range(args.runs):
        for layout, step, victim, fault in cells(args):
            mine = dice.randrange(1 << 32)
            have = sum(
                (each["layout"], each["way"], each["step"], each["victim"], each["fault"])
                == (layout, args.way, step, victim, fault)
                for each in read_results(args.results, args.digests)
            )
            if have > number and not args.again:
                continue
            for _ in range(3):
                result = Run(args, layout, step, victim, fault, mine).go()
                if result["ok"] or result["paused_s"] < PAUSE_S and not result.get("late"):
                    break
                why = result["why"] if result.get("late") else f"this computer stood still for {result['paused_s']} s"
                print(f"     {layout} {step} {victim} {fault}: {why}; again")
            with open(args.results, "a") as file:
                file.write(json.dumps(result) + "\n")
            if result["outcome"] == "n/a":
                continue
            count, failed = count + 1, failed + (not result["ok"])
            shown = {key: result[key] for key in ("hit", "served_s", "lost", "wrong", "took_s", "paused_s", "notes") if result.get(key)}
            mark = "ok  " if result["ok"] else "RED "
            print(f"{mark} {layout} {step} {victim} {fault}: {result['outcome']} {json.dumps(shown)}", flush=True)
            if not result["ok"]:
                print(f"     why {result.get('why')}\n     examples {result.get('examples', [])[:3]}\n"
                      f"     logs {result['logs']}", flush=True)
    print(f"kill_matrix: {count} runs, {failed} not as promised; seed {seed}")
    if args.write:
        write_document(read_results(args.results, args.digests))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
