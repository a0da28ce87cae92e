"""A load that knows what every key may hold, in a process of its own.

Each key has one writer, and each value is unique. A write is `SET key value GET`: it takes back what it overwrites, so
that every acknowledged write is read once more, by the next one or by the audit at the end; a counter (`INCR`) shows a
write that was executed twice. Readers check each key as a register: not older than what was acknowledged before the
read, not newer than what was tried before its answer, and nothing that a later read does not show any more.

*Invariant:* a write without an answer may take effect until long after; its key rests (`REST_S`), and any of its
candidates is right then.
"""

import binascii
import multiprocessing
import socket
import threading
import time
from collections import Counter

PORT = 7000
# A command is parked for 2 s at most, and the longest fault that a script makes is shorter than the rest.
REST_S = 10
# Longer than writes are held for a replica that does not answer; a client that asks again sooner sees no more.
ANSWER_S = 0.5
CONNECT_S = 0.3
# Gaps below it are the machine's noise.
GAP_S = 0.05
NOT_EXECUTED = ("TRYAGAIN", "CLUSTERDOWN", "LOADING", "NOREPLICAS", "ASK", "MASTERDOWN")
VALUE_BYTES = 100


class Unknown(Exception):
    """The command was sent, and no answer came."""


class Over(Exception):
    """The load is to end."""


def command(*words):
    return (f"*{len(words)}\r\n" + "".join(f"${len(w)}\r\n{w}\r\n" for w in words)).encode()


def slot_of(key):
    start, end = key.find("{"), key.find("}")
    hashed = key[start + 1 : end] if 0 <= start < end - 1 else key
    return binascii.crc_hqx(hashed.encode(), 0) % 16384


class Route:
    """One connection to whoever serves a shard, found as a cluster client finds it."""

    def __init__(self, places, stop, errors):
        # places: {host that nodes announce: host that clients reach}
        self.places, self.stop, self.errors = places, stop, errors
        self.hosts = list(places.values())
        self.at, self.socket, self.lines = 0, None, None

    def close(self):
        if self.socket is not None:
            self.lines.close()
            self.socket.close()
        self.socket = self.lines = None

    def elsewhere(self):
        self.close()
        self.at = (self.at + 1) % len(self.hosts)

    def ask(self, *words):
        while not self.stop.is_set():
            if self.socket is None:
                try:
                    self.socket = socket.create_connection((self.hosts[self.at], PORT), timeout=CONNECT_S)
                    self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.socket.settimeout(ANSWER_S)
                    self.lines = self.socket.makefile("rb")
                except OSError:
                    self.elsewhere()
                    self.stop.wait(0.01)
                    continue
            try:
                self.socket.sendall(command(*words))
                answer = self.answer()
            except OSError:
                self.elsewhere()
                raise Unknown from None
            if not isinstance(answer, Exception):
                return answer
            code, _, rest = str(answer).partition(" ")
            if code == "MOVED":
                host = self.places.get(rest.split()[1].rsplit(":", 1)[0])
                if host is None or host == self.hosts[self.at]:
                    self.stop.wait(0.005)
                else:
                    self.close()
                    self.at = self.hosts.index(host)
            elif code in NOT_EXECUTED:
                self.errors[code] += 1
                self.stop.wait(0.02)
                if code != "TRYAGAIN":
                    self.elsewhere()
            else:
                self.errors[str(answer)] += 1
                self.elsewhere()
                raise Unknown
        raise Over

    def answer(self):
        line = self.lines.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("the connection ended")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            return Exception(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            size = int(text)
            if size < 0:
                return None
            body = self.lines.read(size + 2)
            if len(body) != size + 2:
                raise OSError("the connection ended")
            return body[:-2].decode()
        return text


class Register:
    """A key: what it holds for certain, or what it may hold."""

    __slots__ = ("key", "last", "tried", "seen", "unknown", "rests_until")

    def __init__(self, key):
        self.key, self.last, self.tried, self.seen = key, 0, 0, 0
        self.unknown, self.rests_until = set(), 0.0

    def value(self, number):
        return f"{self.key}={number}=".ljust(VALUE_BYTES, ".")

    def number_in(self, value):
        """-1 for a value of another key."""
        if value is None:
            return 0
        key, _, rest = value.partition("=")
        return int(rest.partition("=")[0]) if key == self.key else -1

    def may_hold(self, number):
        return number == self.last or number in self.unknown


class Tally:
    """What a shard's writers saw."""

    def __init__(self):
        self.acknowledged, self.last_at, self.gaps = 0, time.monotonic(), []
        self.lock = threading.Lock()

    def tick(self):
        now = time.monotonic()
        with self.lock:
            self.acknowledged += 1
            if now - self.last_at > GAP_S:
                self.gaps.append((self.last_at, now - self.last_at))
            self.last_at = now


class Shard:
    """The load of one shard: writers, a reader, and their registers."""

    def __init__(self, load, name, slots, writers, keys, rate):
        self.load, self.name, self.rate = load, name, rate
        self.tally = Tally()
        self.threads, self.pools, self.counters = [], [], []
        for writer in range(writers):
            pool = [Register(key) for key in names(f"{name}.{writer}", slots, keys)]
            counter = Register(names(f"{name}.{writer}.n", slots, 1)[0])
            self.pools.append(pool)
            self.counters.append(counter)
            self.threads.append(threading.Thread(target=self.writes, args=(pool, counter), daemon=True))
        self.threads.append(threading.Thread(target=self.reads, daemon=True))

    def route(self):
        return Route(self.load.places, self.load.stop, self.load.errors)

    def writes(self, pool, counter):
        route, number, due = self.route(), 0, time.monotonic()
        try:
            while True:
                number += 1
                due = max(due + 1 / self.rate, time.monotonic() - 0.1)
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                if number % 8 == 0:
                    self.count(route, counter)
                else:
                    self.write(route, pool[number % len(pool)], number)
        except Over:
            route.close()

    def settled(self, route, register, read):
        """Is it known what the register holds? A key that rested is asked."""
        if not register.unknown:
            return True
        if time.monotonic() < register.rests_until:
            return False
        try:
            number = read(route.ask("GET", register.key))
        except Unknown:
            return False
        if not register.may_hold(number) or number < register.seen:
            self.load.violation(register, number, "after a write without an answer")
        register.last = register.tried = number
        register.unknown = set()
        return True

    def unanswered(self, register, number):
        register.unknown.add(number)
        register.rests_until = time.monotonic() + REST_S

    def write(self, route, register, number):
        if not self.settled(route, register, register.number_in):
            return
        register.tried = number
        try:
            old = register.number_in(route.ask("SET", register.key, register.value(number), "GET"))
        except (Unknown, Over) as end:
            self.unanswered(register, number)
            if isinstance(end, Over):
                raise
            return
        if old != register.last:
            self.load.violation(register, old, "overwritten")
        register.last = number
        self.tally.tick()

    def count(self, route, counter):
        if not self.settled(route, counter, lambda answer: int(answer or 0)):
            return
        try:
            now = route.ask("INCR", counter.key)
        except (Unknown, Over) as end:
            self.unanswered(counter, counter.last + 1)
            if isinstance(end, Over):
                raise
            return
        if now != counter.last + 1:
            self.load.violation(counter, now - 1, "counted")
        counter.last = now
        self.tally.tick()

    def reads(self):
        route, at = self.route(), 0
        pool = [register for pool in self.pools for register in pool]
        try:
            while True:
                time.sleep(1 / self.rate)
                at = (at + 7) % len(pool)
                register = pool[at]
                floor = max(register.last, register.seen)
                if register.unknown:
                    continue
                try:
                    number = register.number_in(route.ask("GET", register.key))
                except Unknown:
                    continue
                if not floor <= number <= register.tried:
                    self.load.violation(register, number, "read")
                register.seen = max(register.seen, number)
                self.load.reads += 1
        except Over:
            route.close()

    def audit(self, route):
        for register in [register for pool in self.pools for register in pool]:
            self.look(route, register, register.number_in)
        for counter in self.counters:
            self.look(route, counter, lambda answer: int(answer or 0))

    def look(self, route, register, read):
        for _ in range(20):
            try:
                number = read(route.ask("GET", register.key))
                break
            except Unknown:
                continue
        else:
            self.load.unread += 1
            return
        if not register.may_hold(number) or number < register.seen:
            self.load.violation(register, number, "audit")


def names(prefix, slots, count):
    """Keys of the shard that has these slots."""
    found, at = [], 0
    while len(found) < count:
        key = f"{prefix}.{at}"
        at += 1
        slot = slot_of(key)
        if any(first <= slot <= last for first, last in slots):
            found.append(key)
    return found


class Running:
    """The load, inside its process."""

    def __init__(self, places, shards, writers, keys, rate):
        self.places = places
        self.stop = threading.Event()
        self.errors = Counter()
        self.lost, self.wrong, self.unread, self.reads = 0, 0, 0, 0
        self.examples = []
        self.lock = threading.Lock()
        self.shards = [Shard(self, name, slots, writers, keys, rate) for name, slots in shards]

    def violation(self, register, number, when):
        with self.lock:
            if 0 <= number < register.last or number < register.seen:
                self.lost += 1
            else:
                self.wrong += 1
            if len(self.examples) < 20:
                may = sorted({register.last, *register.unknown})
                told = f"{register.key}: {number} where {may} was expected, a read saw {register.seen}; {when}"
                self.examples.append(told)

    def pulse(self):
        now = time.monotonic()
        return {
            shard.name: {"silent_s": now - shard.tally.last_at, "acknowledged": shard.tally.acknowledged}
            for shard in self.shards
        }

    def report(self):
        return {
            "acknowledged": sum(shard.tally.acknowledged for shard in self.shards),
            "reads": self.reads,
            "lost": self.lost,
            "wrong": self.wrong,
            "unread": self.unread,
            "errors": dict(self.errors),
            "examples": self.examples,
            "gaps": {shard.name: shard.tally.gaps for shard in self.shards},
        }

    def serve(self, pipe):
        for shard in self.shards:
            for thread in shard.threads:
                thread.start()
        while True:
            asked = pipe.recv()
            if asked == "pulse":
                pipe.send(self.pulse())
            elif asked == "report":
                pipe.send(self.report())
            elif asked == "finish":
                self.stop.set()
                for shard in self.shards:
                    for thread in shard.threads:
                        thread.join()
                self.stop.clear()
                end = threading.Timer(60, self.stop.set)
                end.daemon = True
                end.start()
                for shard in self.shards:
                    try:
                        shard.audit(shard.route())
                    except Over:
                        self.unread += 1
                pipe.send(self.report())
                return


def serve(pipe, *args):
    try:
        Running(*args).serve(pipe)
    except (EOFError, KeyboardInterrupt):
        pass


class Load:
    """What a script holds of it."""

    def __init__(self, cluster, writers=2, keys=200, rate=400):
        control = cluster.patiently("everybody is in sync", cluster.whole)
        shards = []
        for name, shard in sorted(control["shards"].items()):
            slots = [(each["start"], each["end"]) for each in shard["slots"]]
            shards.append((f"s{name}", slots))
        places = {node.peer: node.client for node in cluster.nodes}
        # Witnesses hold nothing: a client is never sent there, and does not begin there.
        held = {node for shard in control["shards"].values() for node in shard["nodes"]}
        places = {node.peer: places[node.peer] for node in cluster.nodes if node.id in held}
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, places, shards, writers, keys, rate), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, what):
        self.pipe.send(what)
        return self.pipe.recv()

    def pulse(self):
        return self.ask("pulse")

    def report(self):
        return self.ask("report")

    def finish(self):
        """Ends the writers, reads everything back, and says what is to be said."""
        report = self.ask("finish")
        self.process.join()
        return report

    def end(self):
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
