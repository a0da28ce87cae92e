#!/usr/bin/env python3
"""Is the new binary slower than the old one? Throughput and p99 in both modes of acknowledgement, and the roll.

    tests/compat/speed_ab.py OLD NEW [--runs 5] [--keys 600000,6000000] [--only throughput|roll]

A primary and a replica and a witness on free loopback ports, and redis-benchmark with 50 connections, values of 100
bytes and 100,000 keys; and `ironcache demo`, which rolls a cluster under load. The two binaries take turns, and the
order changes from pair to pair, so that what drifts on the machine falls on both. Prints markdown: medians.
"""

import argparse
import csv
import io
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from loss_window import Cluster

MODES = ("primary", "in-sync")
PIPELINES = {1: 200_000, 16: 1_000_000}
FIGURES = {
    "roll_ms": "the whole roll, ms",
    "longest_write_gap_ms": "longest gap between two acknowledged writes of a shard, ms",
    "longest_read_gap_ms": "longest gap between two reads of a shard, ms",
}


def benchmark(port, pipeline, requests):
    """{test: (requests a second, p99 in ms)}"""
    words = ["redis-benchmark", "-p", str(port), "-c", "50", "-d", "100", "-r", "100000", "-P", str(pipeline)]
    words += ["-n", str(requests), "-t", "set,get", "--csv"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = csv.DictReader(io.StringIO(done.stdout[done.stdout.index('"test"'):]))
    return {row["test"]: (float(row["rps"]), float(row["p99_latency_ms"])) for row in rows}


def throughput(binary, figures):
    for mode in MODES:
        with tempfile.TemporaryDirectory() as folder:
            cluster = Cluster(binary, folder, mode)
            try:
                port = cluster.settled()
                for pipeline, requests in PIPELINES.items():
                    for test, (rate, p99) in benchmark(port, pipeline, requests).items():
                        figures.setdefault((f"{test}, pipeline {pipeline}, mode {mode}", "1/s"), []).append(rate)
                        figures.setdefault((f"{test}, pipeline {pipeline}, mode {mode}: p99", "ms"), []).append(p99)
            finally:
                cluster.stop()


def roll(binary, keys, figures):
    words = [binary, "demo", "--json", "--keys", str(keys), "--value-size", "100", "--rate", "2000"]
    done = subprocess.run(words, capture_output=True, text=True)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"speed_ab: {' '.join(words)} printed no object:\n{done.stderr[-2000:]}") from None
    if done.returncode != 0 or report["verdict"] != "pass":
        raise SystemExit(f"speed_ab: a demo failed: {report}\n{done.stderr[-2000:]}")
    for key, what in FIGURES.items():
        figures.setdefault((f"{keys:,} keys: {what}", "ms"), []).append(report[key])


def in_turns(old, new, runs, measure):
    sides = {"old": {}, "new": {}}
    for number in range(runs):
        pair = [("old", old), ("new", new)]
        for side, binary in pair if number % 2 == 0 else pair[::-1]:
            measure(binary, sides[side])
        print(f"speed_ab: pair {number + 1} of {runs}", file=sys.stderr, flush=True)
    for what, before in sides["old"].items():
        after = sides["new"][what]
        one, other = statistics.median(before), statistics.median(after)
        shown = "{:,.0f}" if what[1] == "1/s" else "{:.2f}"
        cells = [shown.format(each) for each in (one, max(before), other, max(after))]
        print(f"| {what[0]} | {' | '.join(cells)} | {other / one:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keys", default="600000,6000000")
    parser.add_argument("--only", choices=["throughput", "roll"])
    args = parser.parse_args()
    # `finally` stops the nodes then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    old, new = os.path.abspath(args.old), os.path.abspath(args.new)
    load = os.getloadavg()[0]
    print(f"{args.runs} runs of each, in turns; {time.strftime('%Y-%m-%d')}, load {load:.2f} before them.\n")
    print("| what | old median | old max | new median | new max | new / old |\n| --- | --- | --- | --- | --- | --- |")
    if args.only != "roll":
        in_turns(old, new, args.runs, throughput)
    if args.only != "throughput":
        for keys in args.keys.split(","):
            in_turns(old, new, args.runs, lambda binary, figures, keys=int(keys): roll(binary, keys, figures))


if __name__ == "__main__":
    main()
