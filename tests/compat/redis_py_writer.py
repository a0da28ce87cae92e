#!/usr/bin/env python3
"""Writes unique keys through redis-py's RedisCluster, remembers each acknowledged one, reads all back.

Usage: redis_py_writer.py HOST:PORT [--seconds N] [--threads N] [--rate N] [--value-size BYTES]
                          [--tls DIR]

Writes until SIGTERM, SIGINT or for N seconds, then reads every acknowledged key and prints one JSON
object on stdout:

    {"acknowledged": …, "lost": …, "wrong": …, "errors": …, "longest_gap_ms": …, …}

acknowledged    writes that were answered OK
lost            of these, absent when read back; "wrong" ones hold another value
errors          calls that raised, in writing or reading back; what such a write left behind is not judged
longest_gap_ms  the longest time in which some writer thread had no write acknowledged

Each thread writes to every shard in turn and waits for each answer, so a shard that does not answer is
a gap. Exits 0 if nothing was lost or wrong and no call raised, 1 otherwise, 2 on wrong usage.
"""

import argparse
import json
import random
import signal
import sys
import threading
import time

import redis
import tls_files
from redis.cluster import RedisCluster

# Enough of each to find a cause, few enough to read.
SAMPLES_MAX = 5


class Writer(threading.Thread):
    """One connection pool, one sequence of keys."""

    def __init__(self, client, name, interval_s, value_size, stop):
        super().__init__(name=name, daemon=True)
        self.client, self.interval_s, self.value_size, self.stop = client, interval_s, value_size, stop
        # The value of a key follows from its seed, so a run of millions of writes stays small.
        self.seed = random.getrandbits(64)
        self.acknowledged = []
        self.errors = []
        self.longest_gap_s = 0.0

    def value_of(self, sequence):
        text = f"{self.seed:016x}:{self.name}:{sequence}:"
        return (text * (self.value_size // len(text) + 1))[: max(self.value_size, len(text))].encode()

    def key_of(self, sequence):
        return f"writer:{self.seed:016x}:{self.name}:{sequence}"

    def run(self):
        sequence = 0
        last = time.monotonic()
        due = last
        while not self.stop.is_set():
            try:
                if self.client.set(self.key_of(sequence), self.value_of(sequence)) is not True:
                    raise redis.RedisError("SET was answered with something other than OK")
                self.acknowledged.append(sequence)
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - last)
                last = now
            except Exception as error:  # noqa: BLE001 - whatever reaches an application counts
                self.errors.append(f"SET {self.key_of(sequence)}: {type(error).__name__}: {error}")
            sequence += 1
            due += self.interval_s
            pause = due - time.monotonic()
            if pause > 0:
                self.stop.wait(pause)
            else:
                due -= pause  # behind: go on from here instead of catching up in a burst
        self.longest_gap_s = max(self.longest_gap_s, time.monotonic() - last)

    def read_back(self):
        """Returns the keys that are lost, and those with a wrong value."""
        lost, wrong = [], []
        for sequence in self.acknowledged:
            key = self.key_of(sequence)
            try:
                got = self.client.get(key)
            except Exception as error:  # noqa: BLE001
                self.errors.append(f"GET {key}: {type(error).__name__}: {error}")
                continue
            if got is None:
                lost.append(key)
            elif got != self.value_of(sequence):
                wrong.append(key)
        return lost, wrong


def main():
    parser = argparse.ArgumentParser(description="a ledger of acknowledged writes through redis-py's RedisCluster")
    parser.add_argument("seed", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, help="stop after so long; without it, on SIGTERM or SIGINT")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rate", type=float, default=500.0, help="writes a second, all threads together")
    parser.add_argument("--value-size", type=int, default=100, help="bytes")
    parser.add_argument("--tls", metavar="DIR", help="come by TLS, with ca.crt, client.crt and client.key of this folder")
    options = parser.parse_args()
    host, _, port = options.seed.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"{options.seed!r} is not HOST:PORT")
    if options.threads < 1 or options.rate <= 0:
        parser.error("--threads and --rate must be positive")

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    client = RedisCluster(host=host, port=int(port), **tls_files.arguments(options.tls))
    interval_s = options.threads / options.rate
    writers = [Writer(client, f"t{i}", interval_s, options.value_size, stop) for i in range(options.threads)]
    started = time.monotonic()
    for writer in writers:
        writer.start()
    # Whoever starts this in the background can wait for the line before acting.
    print("writing", file=sys.stderr, flush=True)
    stop.wait(options.seconds)
    stop.set()
    for writer in writers:
        writer.join()
    elapsed_s = time.monotonic() - started

    lost, wrong = [], []
    for writer in writers:
        some_lost, some_wrong = writer.read_back()
        lost += some_lost
        wrong += some_wrong
    errors = [error for writer in writers for error in writer.errors]
    print(
        json.dumps(
            {
                "client": f"redis-py {redis.__version__}, default retry settings",
                "acknowledged": sum(len(writer.acknowledged) for writer in writers),
                "lost": len(lost),
                "wrong": len(wrong),
                "errors": len(errors),
                "longest_gap_ms": round(max(writer.longest_gap_s for writer in writers) * 1000, 1),
                "seconds": round(elapsed_s, 2),
                "samples": {
                    "lost": lost[:SAMPLES_MAX],
                    "wrong": wrong[:SAMPLES_MAX],
                    "errors": errors[:SAMPLES_MAX],
                },
            }
        )
    )
    return 1 if lost or wrong or errors else 0


if __name__ == "__main__":
    sys.exit(main())
