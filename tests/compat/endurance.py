#!/usr/bin/env python3
"""Random faults for as long as asked, while a cluster rolls to the next release and back without an end.

    sudo tests/compat/endurance.py target/release/ironcache --next target/release/ironcache-next --minutes 30

Every node is a machine of its own (machines.py), its data directory a small tmpfs. A load that knows what every key may
hold runs all the time (ledger.py), in mode `in-sync`. One fault at a time, to a random node, beside what the roll itself
has out: the next one comes when everybody who is not out for a step is in sync again.

    process    kill -9 of the daemon                machine    off with its packets first, and on again
    stop       SIGSTOP of the daemon                partition  cut off from its peers, not from its clients
    disk       its file system is full

Every ten seconds memory, descriptors, log and disk of every node go into a CSV file. Exit 0 means: nothing acknowledged
was lost, nothing was wrong, every fault and every roll came to its end, and the second half was flat: the median of the
last quarter exceeds that of the quarter before by at most a tenth and a slack (`FLAT`); logs grow by less than
`LOG_BYTES_PER_MINUTE` a node.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter

import ledger
from kill_matrix import LAYOUTS, phase_of, stamp_of
from machines import Cluster, Pauses, Stuck, folder_for, inside, primary_of, run

FAULTS = ("process", "machine", "stop", "partition", "disk")
SAMPLE_S = 10
# Three binaries of 17 MB, a log, two checkpoints of what the load writes, and no more.
DISK_BYTES = 160 << 20
# A tenth, and what one checkpoint, one log that is rewritten, or one burst of connections makes.
FLAT = {"rss_bytes": 16 << 20, "descriptors": 40, "disk_bytes": 24 << 20}
FLAT_RATIO = 1.1
# What rolls and faults are worth telling, at more than ten of both a minute.
LOG_BYTES_PER_MINUTE = 200_000
# From the end of a fault until everybody who is not out for a step is in sync again; and the same for a roll.
MEND_S = 60
ROLL_S = 240
SILENT_S = 45


class Endurance:
    def __init__(self, args, folder, dice):
        self.args, self.dice, self.folder = args, dice, folder
        self.faults, self.rolls, self.failures = Counter(), Counter(), []
        self.samples = []
        directories = {}
        layout = LAYOUTS[args.layout]
        for index in range(1, layout["shards"] * (1 + layout["replicas"]) + layout["witnesses"] + 1):
            disk = f"{folder}/disk-{index}"
            os.makedirs(disk)
            run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", disk)
            directories[index] = f"{disk}/data"
        settings = ["finalize-after-s=never", "step-timeout-s=15"]
        self.cluster = Cluster(
            args.binary, folder, settings=settings, timers=args.timers, data_dirs=directories, **layout
        )
        self.load = ledger.Load(self.cluster, writers=2, keys=500, rate=args.rate)
        self.next_binary, self.next_version, self.stamped = args.next, stamp_of(args.next), 0
        self.stage()
        # The fault of now, and when it began or is to begin.
        self.fault, self.victim, self.halted = None, None, None
        self.until = time.monotonic() + 2
        self.mending_since = None
        # The roll of now.
        self.plan, self.plan_since, self.asked_at, self.resumed = None, time.monotonic(), 0.0, 0

    def stage(self):
        staged = self.cluster.ask("release", "stage", self.next_binary)
        if staged.returncode != 0:
            self.failures.append(f"not staged: {staged.stderr.strip()}")

    # --- one turn -----------------------------------------------------------------------------------------------

    def play(self, seconds):
        end, sampled = time.monotonic() + seconds, 0.0
        while time.monotonic() < end and not self.failures:
            now = time.monotonic()
            if now - sampled >= SAMPLE_S:
                sampled = now
                self.sample()
                self.look_at_the_load()
            control = self.cluster.control()
            self.turn_fault(control)
            if control:
                self.turn_roll(control)
            time.sleep(0.03)
        if self.fault:
            self.end_fault()
        self.wind_down()

    def wind_down(self):
        """The last roll ends, and everybody is there."""
        give_up = time.monotonic() + ROLL_S
        while time.monotonic() < give_up:
            control = self.cluster.control()
            if control and control["plan"] is None and self.cluster.whole():
                return
            if control and control["plan"] is not None:
                self.turn_roll(control)
            time.sleep(0.1)
        self.failures.append(f"the last roll does not end: {self.story()}")

    def look_at_the_load(self):
        for shard, pulse in self.load.pulse().items():
            if pulse["silent_s"] > SILENT_S:
                self.failures.append(f"{shard} took no write for {pulse['silent_s']:.0f} s: {self.story()}")
        report = self.load.report()
        if report["lost"] or report["wrong"]:
            self.failures.append(f"the ledger does not hold: {report['examples'][:3]}")

    def story(self):
        control = self.cluster.control()
        if not control:
            return f"nobody leads; last fault {self.fault} on {self.victim and self.victim.name}"
        found = self.cluster.leader()
        waits = (found and found[0].get("/v1/upgrade", timeout=2) or {}).get("waiting_on")
        plan = control["plan"] and control["plan"]["phase"]
        sets = {name: [member["node"] for member in shard["in_sync"]] for name, shard in control["shards"].items()}
        victim = self.victim and f"{self.victim.name} ({self.victim.id})"
        return f"fault {self.fault} on {victim}, plan {json.dumps(plan)}, in sync {sets}, waits {json.dumps(waits)[:600]}"

    # --- faults -------------------------------------------------------------------------------------------------

    def turn_fault(self, control):
        now = time.monotonic()
        if self.fault is not None:
            if now >= self.until:
                self.end_fault()
                self.mending_since = now
            return
        if self.mending_since is not None:
            if control and self.mended(control):
                self.mending_since, self.until = None, now + self.dice.uniform(0.1, 3.0)
            elif now - self.mending_since > MEND_S:
                self.failures.append(f"not mended within {MEND_S} s: {self.story()}")
            return
        if now >= self.until:
            self.begin_fault()

    def mended(self, control):
        for shard in control["shards"].values():
            if primary_of(shard) is None:
                return False
            members = {member["incarnation"] for member in shard["in_sync"]}
            for name in shard["nodes"]:
                node = control["nodes"][name]
                if not node["out"] and node["incarnation"] not in members:
                    return False
        return all((node.status(timeout=0.3) or {}).get("raft", {}).get("leader") for node in self.cluster.nodes)

    def begin_fault(self):
        self.fault = self.dice.choice(self.args.faults.split(","))
        self.victim = self.dice.choice(self.cluster.nodes)
        self.until = time.monotonic() + self.dice.uniform(0.5, 4.0)
        self.faults[self.fault] += 1
        if self.fault == "process":
            self.victim.signal_daemon(signal.SIGKILL)
        elif self.fault == "machine":
            self.victim.power_off()
        elif self.fault == "stop":
            self.halted = self.victim.signal_daemon(signal.SIGSTOP)
        elif self.fault == "partition":
            self.victim.cut()
        elif self.fault == "disk":
            self.fill(os.path.dirname(self.victim.data_dir))
        self.note(f"{self.fault} on {self.victim.name}")

    def fill(self, disk):
        free = os.statvfs(disk)
        with open(f"{disk}/filler", "wb") as filler:
            try:
                os.posix_fallocate(filler.fileno(), 0, free.f_bavail * free.f_frsize)
            except OSError:
                # The node took some of it meanwhile.
                pass

    def end_fault(self):
        if self.fault == "machine":
            self.victim.power_on()
        elif self.fault == "stop" and self.halted is not None:
            try:
                os.kill(self.halted, signal.SIGCONT)
            except ProcessLookupError:
                pass
        elif self.fault == "partition":
            self.victim.mend()
        elif self.fault == "disk":
            os.remove(f"{os.path.dirname(self.victim.data_dir)}/filler")
        self.fault = None

    # --- rolls --------------------------------------------------------------------------------------------------

    def turn_roll(self, control):
        now, plan = time.monotonic(), control["plan"]
        if plan is None:
            if self.plan is not None:
                self.rolls[control["history"][-1]["outcome"]] += 1
                self.note(f"plan {self.plan}: {control['history'][-1]['outcome']}")
                self.plan, self.plan_since, self.resumed = None, now, 0
            if now - self.asked_at > 1 and not self.over():
                self.asked_at = now
                self.start()
            return
        if self.plan is None:
            self.plan, self.plan_since, self.phase = plan["id"], now, None
        phase = phase_of(plan)
        if (phase, plan["epoch"]) != self.phase:
            self.phase, self.phase_since = (phase, plan["epoch"]), now
        if now - self.plan_since > ROLL_S and not self.failures:
            self.failures.append(f"plan {self.plan} does not end: {self.story()}")
        if phase == "soaking" and now - self.phase_since > self.dwell():
            self.say("rollback", "--reason", "endurance goes back")
        if phase == "held" and now - self.phase_since > 2:
            self.rolls["held"] += 1
            self.resumed += 1
            # What an operator does: on, and after three times back.
            self.say("rollback") if self.resumed % 3 == 0 else self.say("resume")

    def over(self):
        return bool(self.failures)

    def dwell(self):
        return 1.0 + (self.plan or 0) % 3

    def start(self):
        done = self.cluster.ask("cluster", "set-target-version", self.next_version, timeout=8)
        if done.returncode != 0 and "quarantined" in done.stderr:
            # A step failed with a full disk, say: what an operator does is to stage it again under a new version.
            self.stamped += 1
            self.next_version = f"{stamp_of(self.args.next)[:-1]}{self.stamped}"
            self.next_binary = f"{self.folder}/next-{self.next_version}"
            words = ["release", "stamp", "--version", self.next_version, "--out", self.next_binary, self.args.next]
            self.cluster.ask(*words)
            self.stage_later()
        elif done.returncode != 0:
            self.note(f"no start: {done.stderr.strip()[:160]}")

    def stage_later(self):
        done = self.cluster.ask("release", "stage", self.next_binary, timeout=20)
        self.rolls["staged anew"] += 1
        if done.returncode != 0:
            self.note(f"not staged: {done.stderr.strip()[:160]}")

    def say(self, *words):
        now = time.monotonic()
        if now - self.asked_at < 1:
            return
        self.asked_at = now
        done = self.cluster.ask("cluster", "upgrade", *words, timeout=8)
        if done.returncode != 0:
            self.note(f"{words[0]}: {done.stderr.strip()[:160]}")

    def note(self, what):
        if self.args.verbose:
            print(f"  {time.strftime('%H:%M:%S')} {what}", flush=True)

    # --- samples ------------------------------------------------------------------------------------------------

    def sample(self):
        for node in self.cluster.nodes:
            daemon = node.daemon()
            pids = [pid for pid in (node.process.pid, daemon) if pid is not None]
            disk = os.path.dirname(node.data_dir)
            filler = f"{disk}/filler"
            used = os.statvfs(disk)
            disk_bytes = (used.f_blocks - used.f_bfree) * used.f_frsize
            if os.path.exists(filler):
                disk_bytes -= os.stat(filler).st_blocks * 512
            self.samples.append({
                "at_s": round(time.monotonic() - self.args.began), "node": node.index,
                "rss_bytes": sum(rss(pid) for pid in pids), "descriptors": sum(descriptors(pid) for pid in pids),
                "log_bytes": os.path.getsize(node.log), "disk_bytes": disk_bytes,
            })

    def write_samples(self):
        if not self.samples:
            return
        with open(self.args.csv, "w") as file:
            out = csv.DictWriter(file, list(self.samples[0]))
            out.writeheader()
            out.writerows(self.samples)

    def judge(self):
        """The second half is flat."""
        times = sorted({each["at_s"] for each in self.samples})
        told = {}
        if len(times) < 8:
            return told
        third, fourth = times[len(times) // 2 : len(times) * 3 // 4], times[len(times) * 3 // 4 :]
        for key, slack in FLAT.items():
            before, after = (self.median(key, span) for span in (third, fourth))
            told[key] = [before, after]
            if after > before * FLAT_RATIO + slack:
                self.failures.append(f"{key} grows: {before:.0f} in the third quarter, {after:.0f} in the last")
        minutes = (times[-1] - times[len(times) // 2]) / 60
        for node in self.cluster.nodes:
            sizes = [each["log_bytes"] for each in self.samples if each["node"] == node.index]
            rate = (sizes[-1] - sizes[len(sizes) // 2]) / minutes
            told[f"log_bytes_per_minute_{node.index}"] = round(rate)
            if rate > LOG_BYTES_PER_MINUTE:
                self.failures.append(f"the log of {node.name} grows by {rate:.0f} bytes a minute")
        return told

    def median(self, key, span):
        """Over time, of the sum over all nodes."""
        sums = Counter()
        for each in self.samples:
            if each["at_s"] in span:
                sums[each["at_s"]] += each[key]
        return statistics.median(sums.values())


def rss(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--next", required=True, help="the release that the cluster rolls to: make endurance builds it")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--layout", choices=list(LAYOUTS), default="1+1")
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--timers", default="50/150/300", help="raft's heartbeat and election timeouts, in ms")
    parser.add_argument("--rate", type=int, default=250, help="writes a second of each of the two writers a shard")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--csv", default="target/endurance.csv")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    args.binary, args.next = os.path.abspath(args.binary), os.path.abspath(args.next)
    seed = args.seed if args.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"endurance: seed {seed}", flush=True)
    inside()
    os.makedirs(os.path.dirname(os.path.abspath(args.csv)), exist_ok=True)
    folder = folder_for("endurance")
    args.began = time.monotonic()
    pauses = Pauses()
    endurance = Endurance(args, folder, random.Random(seed))
    try:
        endurance.play(args.minutes * 60)
        report = endurance.load.finish()
        flat = endurance.judge()
        endurance.write_samples()
    except Stuck as stuck:
        raise SystemExit(f"endurance: {stuck}; logs are in {folder}")
    finally:
        endurance.load.end()
        endurance.cluster.end()
    if report["lost"] or report["wrong"] or report["unread"]:
        endurance.failures.append(f"the ledger does not hold: {report['examples'][:5]}")
    gaps = [length for shard in report["gaps"].values() for _, length in shard]
    print(json.dumps({
        "seed": seed, "minutes": args.minutes, "layout": args.layout,
        "faults": dict(endurance.faults), "rolls": dict(endurance.rolls),
        "acknowledged": report["acknowledged"], "lost": report["lost"], "wrong": report["wrong"],
        "longest_gap_s": round(max(gaps, default=0.0), 2), "client_errors": report["errors"],
        "computer_paused_s": pauses.end(), "flat": flat, "failures": endurance.failures,
    }))
    if endurance.failures:
        print(f"endurance: logs are in {folder}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
