#!/usr/bin/env python3
"""How long a shard is without writes when its primary is gone, and what that costs: docs/upgrade.md, Measured.

    sudo tests/compat/dead_primaries.py target/release/ironcache --runs 5 [--mode in-sync] [--timers 50/150/300]

A shard of a primary and a replica, and a witness, each in a network namespace of its own, joined by a bridge in another
one; the client has a second way to the primary that no fault touches. One connection writes unique keys without a pause,
and turns to the replica when the primary answers no more. The faults, each `--runs` times:

    process   kill -9 of the daemon; the launcher starts the next one
    machine   packets to and from the peers are dropped first, then launcher and daemon are killed
    hang      SIGSTOP of the daemon
    cut       packets to and from the peers are dropped; clients still reach the primary

Needs root, `ip` (iproute2) and Python 3 alone. Ends what it starts, by pid; the namespaces end with it.
"""

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from loss_window import PATIENCE_S, command

PORT = 7000
VALUE = "v" * 100


def ip(*words):
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"dead_primaries: ip {' '.join(words)}: {done.stderr.strip()}")


class Node:
    """One node in its namespace: peers at 10.66.0.N, its clients' own way at 10.66.N.2."""

    def __init__(self, index, binary, folder, timers):
        self.index, self.folder = index, folder
        self.name = f"ic{os.getpid() % 10000}n{index}"
        self.peer, self.client = f"10.66.0.{index}", f"10.66.{index}.2"
        ip("netns", "add", self.name)
        for outer, inner, address in [("p", "peers", f"{self.peer}/24"), ("c", "clients", f"{self.client}/30")]:
            ip("link", "add", f"{outer}{index}", "type", "veth", "peer", "name", inner, "netns", self.name)
            ip("-n", self.name, "addr", "add", address, "dev", inner)
            ip("-n", self.name, "link", "set", inner, "up")
            ip("link", "set", f"{outer}{index}", "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        ip("link", "set", f"p{index}", "master", "bridge0")
        ip("addr", "add", f"10.66.{index}.1/30", "dev", f"c{index}")
        heartbeat, least, most = timers
        self.words = ["ip", "netns", "exec", self.name, binary, "server", "--bind", "0.0.0.0"]
        self.words += ["--announce-host", self.peer, "--port", str(PORT), "--data-dir", f"{folder}/{index}"]
        self.words += ["--heartbeat-ms", heartbeat, "--election-min-ms", least, "--election-max-ms", most]
        self.words += ["--hang-timeout-ms", "60000"]
        self.launcher = None
        self.start()

    def start(self):
        log = open(f"{self.folder}/{self.index}.log", "a")
        self.launcher = subprocess.Popen(self.words, stderr=log, stdout=log)

    def daemon(self):
        launcher = self.launcher.pid
        with open(f"/proc/{launcher}/task/{launcher}/children") as children:
            return int(children.read().split()[0])

    def cut(self, peers):
        # On the bridge's side: the node's own interface stays up, and its packets go nowhere.
        ip("link", "set", f"p{self.index}", "up" if peers else "down")

    def end(self):
        if self.launcher.poll() is None:
            self.launcher.kill()
        self.launcher.wait()
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class Connection:
    def __init__(self, node, timeout):
        self.socket = socket.create_connection((node.client, PORT), timeout=timeout)
        self.lines = self.socket.makefile("rb")

    def ask(self, *words):
        self.socket.sendall(command(*words))
        return self.lines.readline()


def asks(node, *words, timeout=1.0):
    """One answer of the node; an empty one if it gives none in time."""
    try:
        connection = Connection(node, timeout)
        answer = connection.ask(*words)
        connection.socket.close()
        return answer
    except OSError:
        return b""


class Cluster:
    def __init__(self, binary, folder, mode, timers):
        ip("link", "add", "bridge0", "type", "bridge")
        ip("addr", "add", "10.66.0.254/24", "dev", "bridge0")
        ip("link", "set", "bridge0", "up")
        ip("link", "set", "lo", "up")
        self.binary = binary
        self.nodes = [Node(index, binary, folder, timers) for index in (1, 2, 3)]
        addrs = [f"{node.peer}:{PORT}" for node in self.nodes]
        # The witness founds the cluster, and leads: what is measured is the loss of a primary, not of a leader.
        create = [binary, "cluster", "create", *addrs[:2], "--replicas", "1", "--witness", addrs[2]]
        give_up = time.time() + PATIENCE_S
        while True:
            done = subprocess.run([*create, "--mode", mode, "--yes"], capture_output=True, text=True)
            if done.returncode == 0:
                break
            if time.time() > give_up:
                raise SystemExit(f"dead_primaries: the cluster is not created: {done.stderr}; logs are in {folder}")
            time.sleep(0.1)

    def status(self):
        for seed in self.nodes[::-1]:
            asked = [self.binary, "cluster", "status", "--json", "--seed", f"{seed.peer}:{PORT}"]
            answer = subprocess.run(asked, capture_output=True, text=True, timeout=20)
            if answer.returncode == 0:
                return json.loads(answer.stdout)
        return None

    def settled(self):
        """(primary, replica), once the replica is in sync and nobody but the witness or the replica leads."""
        give_up = time.time() + PATIENCE_S
        while time.time() < give_up:
            status = self.status()
            shards = list((status or {}).get("control", {}).get("shards", {}).values())
            serving = [node for node in self.nodes[:2] if asks(node, "SET", "probe", "1") == b"+OK\r\n"]
            if len(serving) == 1 and shards and all(len(shard["in_sync"]) == 2 for shard in shards):
                replica = next(node for node in self.nodes[:2] if node is not serving[0])
                return serving[0], replica
            time.sleep(0.1)
        raise SystemExit("dead_primaries: the replica does not get in sync")

    def end(self):
        for node in self.nodes:
            node.end()


def write_until(stop, node, prefix, acknowledged):
    """Writes without a pause to one node, for as long as it answers."""
    number = 0
    try:
        connection = Connection(node, PATIENCE_S)
        while not stop.is_set():
            key = f"{prefix}:{number}"
            number += 1
            if connection.ask("SET", key, VALUE) != b"+OK\r\n":
                return
            acknowledged.append((time.time(), key))
    except OSError:
        pass


def one(cluster, fault, run):
    primary, replica = cluster.settled()
    stop, acknowledged = threading.Event(), []
    writer = threading.Thread(target=write_until, args=(stop, primary, f"{fault}:{run}", acknowledged), daemon=True)
    writer.start()
    time.sleep(0.7)
    began = time.time()
    if fault in ("machine", "cut"):
        primary.cut(peers=False)
    if fault == "machine":
        primary.launcher.kill()
        primary.launcher.wait()
    if fault == "process":
        os.kill(primary.daemon(), signal.SIGKILL)
    if fault == "hang":
        os.kill(primary.daemon(), signal.SIGSTOP)
    served = None
    while served is None and time.time() < began + PATIENCE_S:
        if asks(replica, "SET", "probe", "2", timeout=0.3) == b"+OK\r\n":
            served = time.time()
        else:
            time.sleep(0.005)
    time.sleep(0.3)
    # What the old primary acknowledges from here on would be acknowledged by two.
    late = sum(1 for at, _ in acknowledged if served is not None and at > served)
    stop.set()
    if fault == "machine":
        primary.start()
    if fault in ("machine", "cut"):
        primary.cut(peers=True)
    if fault == "hang":
        os.kill(primary.daemon(), signal.SIGCONT)
    now, _ = cluster.settled()
    connection = Connection(now, PATIENCE_S)
    lost = sum(connection.ask("EXISTS", key) != b":1\r\n" for _, key in list(acknowledged))
    connection.socket.close()
    away = None if served is None else round(served - began, 3)
    return {"away_s": away, "acknowledged": len(acknowledged), "after_the_heir_served": late, "lost": lost}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mode", choices=["primary", "in-sync"], default="in-sync")
    parser.add_argument("--timers", default="50/150/300", help="raft's heartbeat and election timeouts, in ms")
    parser.add_argument("--faults", default="process,machine,hang,cut")
    args = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("dead_primaries: root is needed for network namespaces")
    if "DEAD_PRIMARIES_INSIDE" not in os.environ:
        # Everything else happens in a namespace of this run.
        os.environ["DEAD_PRIMARIES_INSIDE"] = "1"
        os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(os.path.abspath(args.binary), folder, args.mode, args.timers.split("/"))
        try:
            for fault in args.faults.split(","):
                runs = [one(cluster, fault, run) for run in range(args.runs)]
                away = [run["away_s"] for run in runs if run["away_s"] is not None]
                print(
                    json.dumps(
                        {
                            "fault": fault,
                            "mode": args.mode,
                            "timers": args.timers,
                            "runs": len(runs),
                            "never_served": len(runs) - len(away),
                            "away_s_median": statistics.median(away) if away else None,
                            "away_s_max": max(away, default=None),
                            "acknowledged": sum(run["acknowledged"] for run in runs),
                            "lost": sum(run["lost"] for run in runs),
                            "after_the_heir_served": sum(run["after_the_heir_served"] for run in runs),
                        }
                    ),
                    flush=True,
                )
        finally:
            cluster.end()


if __name__ == "__main__":
    main()
