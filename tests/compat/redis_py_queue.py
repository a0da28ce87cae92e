#!/usr/bin/env python3
"""Queues whose consumers wait in BLPOP, through redis-py's RedisCluster: each job arrives once, and no call raises.

Usage: redis_py_queue.py HOST:PORT [--seconds N] [--queues N] [--rate N] [--tls DIR]

Two consumers a queue, one that waits for ever and one that asks again every second. Pushes until SIGTERM, SIGINT or for N
seconds, then ends the consumers and prints one JSON object on stdout:

    {"pushed": …, "received": …, "lost": …, "twice": …, "errors": …, "longest_wait_ms": …, …}

longest_wait_ms  the longest time from a push that was acknowledged to its receipt

Exits 0 if every job came once and no call raised, 1 otherwise, 2 on wrong usage.
"""

import argparse
import json
import signal
import sys
import threading
import time

import redis
import tls_files
from redis.cluster import RedisCluster

END = b"end"
SAMPLES_MAX = 5


class Consumer(threading.Thread):
    def __init__(self, connect, queue, timeout_s):
        super().__init__(daemon=True)
        # Of its own: who waits in one connection holds up nobody else's.
        self.client, self.queue, self.timeout_s = connect(), queue, timeout_s
        self.received, self.errors = [], []

    def run(self):
        while True:
            try:
                got = self.client.blpop([self.queue], timeout=self.timeout_s)
            except Exception as error:  # noqa: BLE001 - whatever reaches an application counts
                self.errors.append(f"BLPOP {self.queue}: {type(error).__name__}: {error}")
                if len(self.errors) > 100:
                    return
                continue
            if got is None:
                if self.timeout_s == 0:
                    self.errors.append(f"BLPOP {self.queue} 0: answered that there is nothing")
                continue
            if got[1] == END:
                return
            self.received.append((got[1], time.monotonic()))


def main():
    parser = argparse.ArgumentParser(description="queues with blocked consumers through redis-py's RedisCluster")
    parser.add_argument("seed", metavar="HOST:PORT")
    parser.add_argument("--seconds", type=float, help="stop after so long; without it, on SIGTERM or SIGINT")
    parser.add_argument("--queues", type=int, default=6)
    parser.add_argument("--rate", type=float, default=100.0, help="jobs a second, all queues together")
    parser.add_argument("--tls", metavar="DIR", help="come by TLS, with ca.crt, client.crt and client.key of this folder")
    options = parser.parse_args()
    host, _, port = options.seed.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"{options.seed!r} is not HOST:PORT")

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    def connect():
        # No time of its own for a reply: who waits for ever is answered when there is something.
        return RedisCluster(host=host, port=int(port), socket_timeout=None, **tls_files.arguments(options.tls))

    queues = [f"queue:{i}" for i in range(options.queues)]
    consumers = [Consumer(connect, queue, timeout_s) for queue in queues for timeout_s in (0, 1)]
    for consumer in consumers:
        consumer.start()
    pusher, pushed, errors = connect(), {}, []
    print("writing", file=sys.stderr, flush=True)
    until = time.monotonic() + (options.seconds or float("inf"))
    number = 0
    while not stop.is_set() and time.monotonic() < until:
        job = f"{number}".encode()
        try:
            pusher.rpush(queues[number % len(queues)], job)
            pushed[job] = time.monotonic()
        except Exception as error:  # noqa: BLE001
            errors.append(f"RPUSH: {type(error).__name__}: {error}")
        number += 1
        stop.wait(1 / options.rate)
    for queue in queues:
        pusher.rpush(queue, END, END)
    for consumer in consumers:
        consumer.join(30)
        errors += consumer.errors
        if consumer.is_alive():
            errors.append(f"a consumer of {consumer.queue} was not ended")
    received = [job for consumer in consumers for job, _ in consumer.received]
    waits = [at - pushed[job] for consumer in consumers for job, at in consumer.received if job in pushed]
    lost = sorted(set(pushed) - set(received))
    twice = sorted({job for job in received if received.count(job) > 1}) if len(received) != len(set(received)) else []
    print(
        json.dumps(
            {
                "client": f"redis-py {redis.__version__}",
                "pushed": len(pushed),
                "received": len(received),
                "lost": len(lost),
                "twice": len(twice),
                "errors": len(errors),
                "longest_wait_ms": round(max(waits, default=0) * 1000, 1),
                "samples": {
                    "lost": [job.decode() for job in lost[:SAMPLES_MAX]],
                    "twice": [job.decode() for job in twice[:SAMPLES_MAX]],
                    "errors": errors[:SAMPLES_MAX],
                },
            }
        )
    )
    return 1 if lost or twice or errors or not pushed else 0


if __name__ == "__main__":
    sys.exit(main())
