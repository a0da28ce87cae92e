#!/usr/bin/env python3
"""How long a shard is without writes when its primary is gone, and what that costs: docs/upgrade.md, Measured.

    sudo tests/compat/dead_primaries.py target/release/ironcache [--runs 20] [--mode in-sync] [--timers 50/150/300]
    … --peer redis [--node-timeout 1000]     the same client and the same faults against redis-server
    … --faults replica --busy 2              a frozen replica, with two processes that only compute
    … --write                                the table of every run so far goes into docs/upgrade.md

Three shards of a primary and a replica, each node a machine of its own (machines.py); ironcache has a witness besides,
which a majority of seven needs as little as Redis does with its three masters. One connection a shard writes unique
keys without a pause. The fault comes to the primary of one shard; what counts is when its replica takes a write, which
is asked of it every five milliseconds. Afterwards everything is mended, and every acknowledged key is looked for.

    process   kill -9 of the daemon; ironcache's launcher starts the next one; redis-server stays dead until it is replaced
    machine   packets are dropped first, then the processes are killed; who leads raft is elsewhere
    leader    the same, and the primary's node leads raft (ironcache alone)
    hang      SIGSTOP of the daemon
    cut       packets to and from the peers are dropped; clients still reach the primary
    replica   SIGSTOP of the replica's daemon for three seconds: how long are writes held? (ironcache alone)
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from ledger import command, names
from machines import PATIENCE_S, PORT, Cluster, Machine, Stuck, folder_for, inside, primary_of, run

SHARDS = 3
VALUE = "v" * 100
# Before the fault, and after the shard is served again.
AROUND_S = 0.7
FROZEN_S = 3
# A daemon that dies within 5 s of its start is started again later each time (`stable-ms` of the launcher): what is measured
# here is the end of one that ran well, and not a crash loop.
STABLE_S = 6
FAULTS = {
    "process": "`kill -9` of its daemon",
    "machine": "its machine is gone; another node leads",
    "leader": "its machine is gone, and it led",
    "hang": "SIGSTOP of its daemon",
    "cut": "cut off from its peers, and not from its clients",
    "replica": "SIGSTOP of its replica's daemon for 3 s",
}
HERE = os.path.dirname(os.path.abspath(__file__))
DOCUMENT = os.path.join(HERE, "..", "..", "docs", "upgrade.md")


class Connection:
    def __init__(self, node, timeout):
        self.socket = socket.create_connection((node.client, PORT), timeout=timeout)
        self.lines = self.socket.makefile("rb")

    def ask(self, *words):
        self.socket.sendall(command(*words))
        return self.lines.readline()

    def bulk(self, *words):
        """The text of an answer that has a length."""
        head = self.ask(*words)
        return self.lines.read(int(head[1:]) + 2).decode() if head[:1] == b"$" else ""

    def close(self):
        self.lines.close()
        self.socket.close()


def asks(node, *words, timeout=1.0):
    """One answer of the node; an empty one if it gives none in time."""
    try:
        connection = Connection(node, timeout)
        try:
            return connection.ask(*words)
        finally:
            connection.close()
    except OSError:
        return b""


class Ironcache:
    name = "ironcache"

    def __init__(self, args, folder):
        self.mode, self.timers, self.killed_at = args.mode, args.timers, {}
        # Nothing but the lease is to end a hang here.
        flags = ["--hang-timeout-ms", "60000"]
        self.cluster = Cluster(
            args.binary, folder, shards=SHARDS, witnesses=1, mode=args.mode, timers=args.timers, flags=flags
        )

    def settled(self):
        """[(primary, replica, slots)] once everybody is in sync."""
        control = self.cluster.patiently("everybody is in sync", self.cluster.whole)
        found = []
        for _, shard in sorted(control["shards"].items()):
            primary = primary_of(shard)
            replica = next(node for node in shard["nodes"] if node != primary)
            slots = [(each["start"], each["end"]) for each in shard["slots"]]
            found.append((self.cluster.by_id[primary], self.cluster.by_id[replica], slots))
        return found

    def target(self, fault):
        """The shards, the one that the fault comes to first."""
        give_up = time.monotonic() + 5 * PATIENCE_S
        while time.monotonic() < give_up:
            shards = self.settled()
            leader = self.cluster.patiently("somebody leads", self.cluster.leader)[0]
            led = [shard[0] is leader for shard in shards]
            wanted = fault == "leader"
            if wanted in led:
                shards.insert(0, shards.pop(led.index(wanted)))
                return shards
            # Another election, until a primary leads.
            leader.signal_daemon(signal.SIGKILL)
            time.sleep(0.5)
        raise Stuck("no primary comes to lead")

    def rest(self, primary):
        """Until the primary's daemon has run for a while."""
        time.sleep(max(0, self.killed_at.get(primary, 0) + STABLE_S - time.monotonic()))

    def strike(self, fault, primary, replica):
        if fault == "process":
            self.killed_at[primary] = time.monotonic()
            primary.signal_daemon(signal.SIGKILL)
        elif fault in ("machine", "leader"):
            primary.power_off()
        elif fault == "hang":
            self.halted = primary.signal_daemon(signal.SIGSTOP)
        elif fault == "replica":
            self.halted = replica.signal_daemon(signal.SIGSTOP)
        elif fault == "cut":
            primary.cut()

    def undo(self, fault, primary):
        if fault in ("machine", "leader"):
            primary.power_on()
        elif fault in ("hang", "replica"):
            os.kill(self.halted, signal.SIGCONT)
        elif fault == "cut":
            primary.mend()

    def members(self):
        """Who is in the in-sync set of each shard; None while nobody leads."""
        control = self.cluster.control()
        if not control:
            return None
        return {
            name: tuple(sorted(each["incarnation"] for each in shard["in_sync"]))
            for name, shard in control["shards"].items()
        }

    def end(self):
        self.cluster.end()


class RedisNode(Machine):
    def __init__(self, index, folder, node_timeout):
        super().__init__(index, folder)
        self.dir = f"{folder}/{index}"
        os.makedirs(self.dir)
        self.words = ["redis-server", "--port", str(PORT), "--bind", "0.0.0.0", "--protected-mode", "no"]
        self.words += ["--dir", self.dir, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]
        self.words += ["--cluster-enabled", "yes", "--cluster-announce-ip", self.peer]
        if node_timeout:
            self.words += ["--cluster-node-timeout", str(node_timeout)]
        self.start()

    def start(self):
        self.spawn(self.words, f"{self.folder}/{self.index}.log")


class Redis:
    name = "redis-server 7"

    def __init__(self, args, folder):
        self.mode = "asynchronous"
        self.timers = f"cluster-node-timeout {args.node_timeout}" if args.node_timeout else "defaults"
        self.nodes = []
        try:
            self.nodes = [RedisNode(index, folder, args.node_timeout) for index in range(1, 2 * SHARDS + 1)]
            self.patiently("every node answers", lambda: all(asks(node, "PING") == b"+PONG\r\n" for node in self.nodes))
            addrs = [f"{node.peer}:{PORT}" for node in self.nodes]
            run("redis-cli", "--cluster", "create", *addrs, "--cluster-replicas", "1", "--cluster-yes")
        except BaseException:
            self.end()
            raise

    def patiently(self, what, condition):
        give_up = time.monotonic() + 2 * PATIENCE_S
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > give_up:
                raise Stuck(f"not within {2 * PATIENCE_S} s: {what}")
            time.sleep(0.05)

    def look(self):
        """What `settled` gives; None as long as anybody sees anything else."""
        seen = set()
        for node in self.nodes:
            try:
                connection = Connection(node, 1.0)
                state = connection.bulk("CLUSTER", "INFO")
                lines = connection.bulk("CLUSTER", "NODES").split("\n")[:-1]
                lines = [line for line in lines if line.strip()]
                role = connection.bulk("INFO", "replication")
                connection.close()
            except (OSError, ValueError):
                return None
            if "cluster_state:ok" not in state or "fail" in " ".join(line.split()[2] for line in lines):
                return None
            if "role:slave" in role and ("master_link_status:up" not in role or "sync_in_progress:1" in role):
                return None
            if "role:master" in role and "connected_slaves:1" not in role:
                return None
            seen.add(tuple(sorted(self.layout(lines))))
        if len(seen) != 1:
            return None
        (layout,) = seen
        if len(layout) != SHARDS:
            return None
        by_host = {node.peer: node for node in self.nodes}
        return [(by_host[primary], by_host[replica], list(slots)) for slots, primary, replica in layout]

    @staticmethod
    def layout(lines):
        words = [line.split() for line in lines]
        for each in words:
            if "master" not in each[2]:
                continue
            ranges = tuple(tuple(int(end) for end in (text.split("-") * 2)[:2]) for text in each[8:] if "[" not in text)
            for replica in words:
                if replica[3] == each[0]:
                    yield ranges, each[1].split(":")[0], replica[1].split(":")[0]

    def settled(self):
        return self.patiently("every master has its replica, and everybody knows", self.look)

    def target(self, _fault):
        return self.settled()

    def rest(self, primary):
        """It has no launcher."""

    def strike(self, fault, primary, _replica):
        if fault == "process":
            primary.end()
        elif fault == "machine":
            primary.vanish()
            primary.end()
        elif fault == "hang":
            os.kill(primary.process.pid, signal.SIGSTOP)
        elif fault == "cut":
            primary.cut()

    def undo(self, fault, primary):
        if fault in ("process", "machine"):
            primary.mend()
            primary.start()
        elif fault == "hang":
            os.kill(primary.process.pid, signal.SIGCONT)
        elif fault == "cut":
            primary.mend()

    def end(self):
        for node in self.nodes:
            node.remove()


class Writer:
    """Writes unique keys to one node without a pause, for as long as it takes them."""

    def __init__(self, node, prefix, slots, keeps_on):
        self.node, self.keeps_on = node, keeps_on
        self.tag = "{" + names(prefix, slots, 1)[0] + "}"
        self.stop, self.acknowledged = threading.Event(), []
        self.thread = threading.Thread(target=self.write, daemon=True)
        self.thread.start()

    def write(self):
        number = 0
        try:
            connection = Connection(self.node, PATIENCE_S)
            while not self.stop.is_set():
                key = f"{self.tag}:{number}"
                number += 1
                if connection.ask("SET", key, VALUE) == b"+OK\r\n":
                    self.acknowledged.append((time.monotonic(), key))
                elif not self.keeps_on:
                    return
                if self.keeps_on:
                    time.sleep(0.001)
        except OSError:
            pass

    def longest_gap(self, since, until):
        """Between two acknowledged writes; what has not ended counts until `until`."""
        times = [since, *(at for at, _ in self.acknowledged if since < at < until), until]
        return max(after - before for before, after in zip(times, times[1:]))


def one(system, fault, number):
    shards = system.target(fault)
    (primary, replica, slots), others = shards[0], shards[1:]
    system.rest(primary)
    prefix = f"{fault}.{number}.{time.monotonic_ns()}"
    writer = Writer(primary, prefix, slots, keeps_on=fault == "replica")
    beside = [Writer(node, prefix, where, keeps_on=True) for node, _, where in others]
    time.sleep(AROUND_S)
    before = len(writer.acknowledged)
    began = time.monotonic()
    system.strike(fault, primary, replica)
    result = held(system, writer, began) if fault == "replica" else served(replica, slots, writer, began)
    ended = time.monotonic()
    for each in (writer, *beside):
        each.stop.set()
    if fault != "replica":
        system.undo(fault, primary)
    result["others_gap_s"] = round(max(each.longest_gap(began, ended) for each in beside), 3)
    result.update({"acknowledged": len(writer.acknowledged), "after_the_fault": len(writer.acknowledged) - before})
    result["lost"] = lost(system, slots, writer)
    return result


def served(replica, slots, writer, began):
    """Waits until the replica takes a write."""
    probe = names("probe", slots, 1)[0]
    at = None
    while at is None and time.monotonic() < began + PATIENCE_S:
        if asks(replica, "SET", probe, "2", timeout=0.3) == b"+OK\r\n":
            at = time.monotonic()
        else:
            time.sleep(0.005)
    time.sleep(AROUND_S)
    # What the old primary acknowledges from here on would be acknowledged by two.
    late = sum(1 for when, _ in writer.acknowledged if at is not None and when > at)
    return {"away_s": None if at is None else round(at - began, 3), "after_the_heir_served": late}


def held(system, writer, began):
    """A frozen replica: how long writes were held, and how often anybody left or joined a set."""
    changes, last, thawed = 0, system.members(), False
    while time.monotonic() < began + FROZEN_S + 3:
        if not thawed and time.monotonic() > began + FROZEN_S:
            system.undo("replica", None)
            thawed = True
        members = system.members()
        if members is not None and members != last:
            changes, last = changes + 1, members
        time.sleep(0.02)
    return {"away_s": round(writer.longest_gap(began, began + FROZEN_S), 3), "changes": changes}


def lost(system, slots, writer):
    primary = next(primary for primary, _, where in system.settled() if where == slots)
    connection = Connection(primary, PATIENCE_S)
    gone = sum(connection.ask("EXISTS", key) != b":1\r\n" for _, key in list(writer.acknowledged))
    connection.close()
    return gone


# --- the table ------------------------------------------------------------------------------------------------------


def rows(results):
    text = [
        "| what happens to a primary | | acknowledgement | runs | s until its replica takes writes (median, max) "
        "| writes lost (all runs; most in one) | other shards: longest gap, s |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    groups = {}
    for each in results:
        groups.setdefault((each["fault"], each["system"], each["timers"], each["mode"], each["busy"]), []).append(each)
    for fault in FAULTS:
        for (which, system, timers, mode, busy), runs in groups.items():
            if which != fault:
                continue
            away = [each["away_s"] for each in runs if each["away_s"] is not None]
            never = len(runs) - len(away)
            shown = f"{statistics.median(away):.2f}, {max(away):.2f}" if away else "–"
            shown += f"; never in {never}" if never else ""
            shown = f"writes held: {shown}" if fault == "replica" else shown
            losses, written = [each["lost"] for each in runs], sum(each["acknowledged"] for each in runs)
            machine = f", {busy} busy processes beside" if busy else ""
            changes = f"; {max(each['changes'] for each in runs)} changes of a set at most" if fault == "replica" else ""
            text.append(
                f"| {FAULTS[fault]} | {system}, {timers}{machine} | {mode} | {len(runs)} | {shown}{changes} "
                f"| {sum(losses):,} of {written:,}; {max(losses):,} | {max(each['others_gap_s'] for each in runs):.2f} |"
            )
    return "\n".join(text)


def write_document(results):
    begin, end = "<!-- dead-primaries: begin -->", "<!-- dead-primaries: end -->"
    with open(DOCUMENT) as file:
        before, rest = file.read().split(begin)
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{begin}\n{rows(results)}\n{end}{rest.split(end)[1]}")


def read_results(path, digest):
    """Of this binary, and of redis-server."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        results = [json.loads(line) for line in file]
    return [each for each in results if each["digest"] in (digest, None)]


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


def compute():
    while True:
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--peer", choices=["redis"], help="redis-server instead of the binary")
    parser.add_argument("--node-timeout", type=int, help="of redis-server, in ms; its default is 15000")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mode", choices=["primary", "in-sync"], default="in-sync")
    parser.add_argument("--timers", default="50/150/300", help="raft's heartbeat and election timeouts, in ms")
    parser.add_argument("--faults", default="process,machine,leader,hang,cut")
    parser.add_argument("--busy", type=int, default=0, help="processes that only compute, beside all this")
    parser.add_argument("--results", default="target/dead-primaries.jsonl", help="where runs are noted, one a line")
    parser.add_argument("--write", action="store_true", help="the table of all results goes into docs/upgrade.md")
    parser.add_argument("--table", action="store_true", help="no run: only print the table of all results")
    args = parser.parse_args()
    mine = digest_of(args.binary)
    if args.table or args.write and not args.runs:
        results = read_results(args.results, mine)
        write_document(results) if args.write else print(rows(results))
        return
    inside()
    folder = folder_for("dead-primaries")
    os.makedirs(os.path.dirname(os.path.abspath(args.results)), exist_ok=True)
    for _ in range(args.busy):
        multiprocessing.Process(target=compute, daemon=True).start()
    system = (Redis if args.peer else Ironcache)(args, folder)
    failed = 0
    try:
        for fault in args.faults.split(","):
            if args.peer and fault in ("leader", "replica"):
                continue
            for number in range(args.runs):
                result = {
                    "fault": fault, "system": system.name, "timers": system.timers, "mode": system.mode,
                    "busy": args.busy, "digest": None if args.peer else mine, **one(system, fault, number),
                }
                print(json.dumps(result), flush=True)
                with open(args.results, "a") as file:
                    file.write(json.dumps(result) + "\n")
                failed += result["away_s"] is None or (not args.peer and args.mode == "in-sync" and result["lost"] > 0)
    except Stuck as stuck:
        print(f"dead_primaries: {stuck}; logs are in {folder}", file=sys.stderr)
        failed += 1
    finally:
        system.end()
    if not failed:
        subprocess.run(["rm", "-rf", folder])
    if args.write:
        write_document(read_results(args.results, mine))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
