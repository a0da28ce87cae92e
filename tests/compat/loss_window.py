#!/usr/bin/env python3
"""Kills primaries under load and counts what was acknowledged and is gone: the loss window of docs/upgrade.md.

    tests/compat/loss_window.py target/release/ironcache --kills 10 --batch 50 --mode primary

A shard of a primary and a replica, and a witness, on free loopback ports. Four connections write unique keys,
`--batch` of them at a time, until the primary's daemon gets SIGKILL; the replica takes over, and every acknowledged
key is looked for. Needs Python 3 alone. Ends what it starts, by pid.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time

CONNECTIONS = 4
# Far longer than a failover or a full sync takes here.
PATIENCE_S = 60


def command(*words):
    return (f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)).encode()


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.lines = self.socket.makefile("rb")

    def ask(self, requests):
        """One line of answer a request; an empty one when the connection ended."""
        self.socket.sendall(b"".join(requests))
        return [self.lines.readline() for _ in requests]

    def close(self):
        self.lines.close()
        self.socket.close()


def free_ports(count):
    """Ports whose two companions (+10000 for peers, +20000 for HTTP) are free as well."""
    found = []
    for port in range(20000 + os.getpid() % 5000, 30000):
        try:
            for each in (port, port + 10000, port + 20000):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", each))
        except OSError:
            continue
        found.append(port)
        if len(found) == count:
            return found
    raise SystemExit("loss_window: no free ports between 20000 and 30000")


class Cluster:
    def __init__(self, binary, folder, mode):
        self.binary, self.folder = binary, folder
        self.ports = free_ports(3)
        self.launchers = []
        for port in self.ports:
            log = open(f"{folder}/{port}.log", "w")
            flags = ["--data-dir", f"{folder}/{port}", "--port", str(port), "--insecure", "yes"]
            self.launchers.append(subprocess.Popen([binary, "server", *flags], stderr=log))
        addrs = [f"127.0.0.1:{port}" for port in self.ports]
        create = [binary, "cluster", "create", *addrs[:2], "--replicas", "1", "--witness", addrs[2]]
        give_up = time.time() + PATIENCE_S
        while subprocess.run([*create, "--mode", mode, "--yes", "--insecure"], capture_output=True).returncode != 0:
            if time.time() > give_up:
                raise SystemExit(f"loss_window: the cluster is not created; logs are in {folder}")
            time.sleep(0.1)

    def status(self):
        asked = [self.binary, "cluster", "status", "--json", "--credentials", "none", "--seed", f"127.0.0.1:{self.ports[2]}"]
        answer = subprocess.run(asked, capture_output=True, text=True)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    def serving(self):
        """The port of whoever takes a write now."""
        for port in self.ports[:2]:
            try:
                connection = Connection(port)
                took = connection.ask([command("SET", "probe", "1")]) == [b"+OK\r\n"]
                connection.close()
                if took:
                    return port
            except OSError:
                continue
        return None

    def settled(self):
        """The primary's port, once its replica is in sync."""
        give_up = time.time() + PATIENCE_S
        while time.time() < give_up:
            port, status = self.serving(), self.status()
            shards = (status or {}).get("control", {}).get("shards", {}).values()
            if port and shards and all(len(shard["in_sync"]) == 2 for shard in shards):
                return port
            time.sleep(0.05)
        raise SystemExit(f"loss_window: the replica does not get in sync; logs are in {self.folder}")

    def kill_daemon(self, port):
        launcher = self.launchers[self.ports.index(port)].pid
        with open(f"/proc/{launcher}/task/{launcher}/children") as children:
            os.kill(int(children.read().split()[0]), signal.SIGKILL)

    def stop(self):
        for launcher in self.launchers:
            launcher.terminate()
        for launcher in self.launchers:
            launcher.wait()


def write(port, prefix, batch, stop, acknowledged):
    try:
        connection, number = Connection(port), 0
        while not stop.is_set():
            keys = [f"{prefix}:{number + i}" for i in range(batch)]
            number += batch
            for key, answer in zip(keys, connection.ask([command("SET", key, "v" * 100) for key in keys])):
                if answer != b"+OK\r\n":
                    return
                acknowledged.append(key)
    except OSError:
        pass


def one_kill(cluster, run, batch):
    port, stop = cluster.settled(), threading.Event()
    written = [[] for _ in range(CONNECTIONS)]
    writers = [
        threading.Thread(target=write, args=(port, f"{run}:{i}", batch, stop, keys))
        for i, keys in enumerate(written)
    ]
    for writer in writers:
        writer.start()
    time.sleep(0.6)
    killed = time.time()
    cluster.kill_daemon(port)
    stop.set()
    for writer in writers:
        writer.join()
    heir = None
    while heir is None:
        heir = cluster.serving()
    away_s = time.time() - killed
    keys, connection, lost = [key for each in written for key in each], Connection(heir), 0
    for at in range(0, len(keys), 500):
        answers = connection.ask([command("EXISTS", key) for key in keys[at : at + 500]])
        lost += sum(answer != b":1\r\n" for answer in answers)
    connection.close()
    return {"acknowledged": len(keys), "lost": lost, "served_again_after_s": round(away_s, 2)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--batch", type=int, default=50, help="writes that one connection sends at a time")
    parser.add_argument("--mode", choices=["primary", "in-sync"], default="primary")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(os.path.abspath(args.binary), folder, args.mode)
        try:
            runs = [one_kill(cluster, run, args.batch) for run in range(args.kills)]
        finally:
            cluster.stop()
    lost = sorted(run["lost"] for run in runs)
    away = sorted(run["served_again_after_s"] for run in runs)
    acknowledged = sum(run["acknowledged"] for run in runs)
    print(json.dumps({"mode": args.mode, "acknowledged": acknowledged, "lost": lost, "served_again_after_s": away}))


if __name__ == "__main__":
    main()
