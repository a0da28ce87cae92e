#!/usr/bin/env python3
"""Redis' own tests, played on a node: what passes by file, and what does not.

    tests/compat/redis_suite.py target/release/ironcache --suite ../redis-7.0.15 [--peer] [--write LIST] [unit/type/list ...]

--suite is a checkout of Redis' sources, tag 7.0.15. It is played from a copy, in which a setting that a file asks for is left out if
the server does not take it: `appendonly yes`, say. Nothing of it is kept. Its tests need `tclsh`, and those of the
command line `redis-cli` and `redis-benchmark`. Each file is played, as its authors do against servers that they did not start
(`--host`, `--cluster-mode`), on a node of its own: one shard without a replica, every slot. With --peer each file is played on a
redis-server of its own too, and what counts is what passes there.

Printed: a line a file, `passed/played`, and the name and reason of each test that passed on the peer alone (without --peer: that
failed). --write keeps this list as a file. Exit code 0: every file was played to its end.
"""

import argparse
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

# Files whose tests all start servers of their own are played in no time: they are asked all the same.
FILE_MAX_S = 900
READY_MAX_S = 60
# What a test says of itself, by the words of the suite.
LINE = re.compile(r"^\[(ok|err|exception|skip|ignore)\]: (.*)$")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def free_port():
    """Below the range of outgoing connections, with room for the ports that belong to it."""
    for port in range(7400, 9400):
        busy = False
        for used in (port, port + 10000, port + 20000):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", used))
                except OSError:
                    busy = True
        if not busy:
            return port
    sys.exit("no port between 7400 and 9400 is free")


def answers(port, *words):
    """The answer of a server, or None."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as conn:
            conn.sendall(" ".join(words).encode() + b"\r\n")
            return conn.recv(65536)
    except OSError:
        return None


def wait_for(what, holds):
    end = time.monotonic() + READY_MAX_S
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"not within {READY_MAX_S} s: {what}")
        time.sleep(0.05)


class Served:
    """One server with every slot, for the time of a file."""

    environment = {}

    def __init__(self, binary):
        self.folder = tempfile.mkdtemp(prefix="redis-suite-")
        self.port = free_port()
        log = open(f"{self.folder}/log", "wb")
        self.child = subprocess.Popen(self.words(binary), stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **self.environment},
                                      start_new_session=True)

    def __enter__(self):
        wait_for("the server serves", lambda: b"cluster_state:ok" in (answers(self.port, "CLUSTER", "INFO") or b""))
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Node(Served):
    environment = {"IRONCACHE_ENABLE_DEBUG_COMMAND": "yes"}

    def words(self, binary):
        return [binary, "playground", "--shards", "1", "--replicas", "0", "--dir", f"{self.folder}/playground", "--port", str(self.port), "--json"]


class Redis(Served):
    """As the suite starts its own: commands for tests are let in."""

    def words(self, _binary):
        return ["redis-server", "--port", str(self.port), "--cluster-enabled", "yes", "--save", "", "--enable-debug-command", "yes",
                "--enable-protected-configs", "yes", "--latency-monitor-threshold", "1", "--repl-diskless-sync-delay", "0"]

    def __enter__(self):
        wait_for("redis-server answers", lambda: answers(self.port, "PING") == b"+PONG\r\n")
        answers(self.port, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        return super().__enter__()


# Where the suite sets what a file asks for, and puts it back.
SERVER = "tests/support/server.tcl"
SETS = ("r function flush\n", "r config set $param $val\n", "dict set saved_config $param [lindex [r config get $param] 1]\n")


def copied(suite, folder):
    """The suite, as it is played."""
    for part in ("tests", "src", "utils"):
        shutil.copytree(f"{suite}/{part}", f"{folder}/{part}", symlinks=True, dirs_exist_ok=True)
    for program in ("redis-cli", "redis-benchmark"):
        path = shutil.which(program) or sys.exit(f"{program} is missing: apt-get install redis-tools")
        if not os.path.exists(f"{folder}/src/{program}"):
            os.symlink(path, f"{folder}/src/{program}")
    text = open(f"{folder}/{SERVER}").read()
    for line in SETS:
        if line not in text:
            sys.exit(f"{suite}/{SERVER} is none of 7.0.15: `{line.strip()}` is not there")
        text = text.replace(line, "catch {" + line.rstrip() + "}\n")
    open(f"{folder}/{SERVER}", "w").write(text)
    return folder


def files_of(suite):
    text = subprocess.run(["tclsh", "tests/test_helper.tcl", "--list-tests"], cwd=suite, capture_output=True, text=True, check=True).stdout
    return text.split()


def played(server, suite, unit):
    """What became of each test of a file: its name (a second of one name gets a number), and None or why it failed."""
    words = ["tclsh", "tests/test_helper.tcl", "--host", "127.0.0.1", "--port", str(server.port), "--cluster-mode", "--durable",
             "--clients", "1", "--baseport", str(server.port + 1), "--portcount", "100", "--single", unit]
    # Its folders of temporary files are below the suite.
    child = subprocess.Popen(words, cwd=suite, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    ended = True
    try:
        out, _ = child.communicate(timeout=FILE_MAX_S)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, _ = child.communicate()
        ended = False
    tests, why, after = {}, None, None
    lines = COLOUR.sub("", out.decode("utf-8", "replace")).splitlines()
    for line in lines:
        found = LINE.match(line)
        if found is None:
            # The line after a failure's says why.
            if after is not None:
                tests[after] = line.strip()[:200] or "?"
                after = None
            continue
        after = None
        kind, name = found.groups()
        if kind in ("skip", "ignore"):
            continue
        name = re.sub(r" \(\d+ ms\)$", "", name)
        if kind in ("err", "exception"):
            name = re.sub(r" in tests/\S+$", "", name)
        times = 2
        whole = name
        while whole in tests:
            whole, times = f"{name} #{times}", times + 1
        tests[whole] = None if kind == "ok" else "?"
        if kind != "ok":
            after = whole
    if child.returncode not in (0, 1) or not ended:
        why = f"after {FILE_MAX_S} s" if not ended else f"exit {child.returncode}: {' | '.join(lines[-3:])[:300]}"
    return tests, why


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--suite", required=True)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--write")
    parser.add_argument("units", nargs="*")
    args = parser.parse_intermixed_args()
    binary, suite = os.path.abspath(args.binary), os.path.abspath(args.suite)
    if shutil.which("tclsh") is None:
        sys.exit("tclsh is missing: apt-get install tcl")
    if not os.path.exists(f"{suite}/tests/test_helper.tcl"):
        sys.exit(f"{suite} is no checkout of Redis: tests/test_helper.tcl is not there")
    if args.peer and shutil.which("redis-server") is None:
        sys.exit("redis-server is missing: apt-get install redis-server")
    kept = open(args.write, "w") if args.write else None

    def say(line):
        print(line, flush=True)
        if kept:
            print(line, file=kept, flush=True)

    with tempfile.TemporaryDirectory(prefix="redis-suite-") as folder:
        sys.exit(play(args, binary, copied(suite, folder), say))


def play(args, binary, suite, say):
    total = [0, 0]
    unfinished = []
    for unit in args.units or files_of(suite):
        with Node(binary) as node:
            ours, why = played(node, suite, unit)
        if why:
            unfinished.append(f"{unit}: {why}")
        wanted = ours
        if args.peer:
            with Redis(binary) as redis:
                theirs, stopped = played(redis, suite, unit)
            if stopped:
                unfinished.append(f"{unit} (redis-server): {stopped}")
            wanted = [name for name, failed in theirs.items() if failed is None]
        passed = sum(1 for name in wanted if name in ours and ours[name] is None)
        total = [total[0] + passed, total[1] + len(wanted)]
        if wanted:
            say(f"{unit}: {passed}/{len(wanted)}")
        for name in wanted:
            if name not in ours:
                say(f"    {name}: not reached")
            elif ours[name] is not None:
                say(f"    {name}: {ours[name]}")
    say(f"all: {total[0]}/{total[1]}")
    for line in unfinished:
        say(f"not played to its end: {line}")
    return 1 if unfinished else 0


main()
