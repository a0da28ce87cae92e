#!/usr/bin/env python3
"""Fuzzing of a node's ports: valid sessions are changed at random, and the node has to bear them.

    tests/compat/fuzz_ports.py target/release/ironcache --seconds 60 [--seed 1] [--only client,tls,peer,http,...]

    client, peer, http     a playground of one node: its peer and HTTP ports speak TLS 1.3, and know their members
    open-peer, open-http   a node of an insecure cluster: what stands behind the door of a member, without the door
    join                   the HTTP port of a node that belongs to no cluster: it waits for its join code
    tls                    that node's port for clients by TLS

Each port gets sessions from its own process for so long: bytes that were flipped, cut, repeated, spliced, numbers at their
edges, in pieces, with and without an end. They come in these ways, in shares that each port has of its own:

    plain      in the clear
    nobody     by TLS, without a key
    stranger   by TLS, with an Ed25519 key that nobody has heard of
    records    what begins like TLS and is none: hellos that were cut and changed, wrong versions, giant lengths, records in pieces
    torn       a whole handshake, and then bytes that are no records

A way by which sessions should come through, and none of them was answered, is a failure: the fuzzing would be for nothing.
After each batch:

    alive        the same process and incarnation answers, /livez says so, no thread has panicked
    state        the control state, raft's term and log, and the offset of the stream are what they were: nothing that was
                 sent may write
    ledger       a hundred keys hold what they held
    memory       resident memory has grown by at most GROWTH_MAX_BYTES since the first batches
    descriptors  at most DESCRIPTORS_MAX more than at the start, once the sessions have ended
    refused      on the peer port of a cluster with keys nobody was told that anything was done

Exit 0: all of that for each port. A failure names the seed and the batch, and the sessions of a seed are the same again.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

TESTS = os.path.dirname(os.path.abspath(__file__))
CRATES = os.path.join(TESTS, "..", "..", "crates")
WAYS = ("plain", "nobody", "stranger", "records", "torn")
# Shares of each port's sessions, in the order of WAYS.
PORTS = {
    "client": (88, 3, 3, 6, 0),
    "tls": (5, 35, 15, 35, 10),
    "peer": (25, 15, 35, 20, 5),
    "http": (25, 15, 35, 20, 5),
    "join": (10, 15, 55, 15, 5),
    "open-peer": (82, 6, 6, 6, 0),
    "open-http": (82, 6, 6, 6, 0),
}
# By these ways a session comes through to a parser of ours, and some of them are answered.
ANSWERED = {
    "client": {"plain"},
    "tls": {"nobody", "stranger"},
    "peer": {"plain", "nobody", "stranger"},
    "http": {"plain", "nobody", "stranger"},
    "join": {"plain", "nobody", "stranger"},
    "open-peer": {"plain", "nobody", "stranger"},
    "open-http": {"plain", "nobody", "stranger"},
}
# Fewer of a way prove nothing.
ANSWERED_FROM = 200
BATCH = 100
# The first batches fill what a process keeps for good: arenas, buffers of the log, code that was not read in yet.
WARM_BATCHES = 3
GROWTH_MAX_BYTES = 64 << 20
# Those that a door holds for strangers at their end, for the moment until it has noticed.
DESCRIPTORS_MAX = 16
SETTLE_S = 30
# How long a session waits for an answer; a node that waits for more bytes says nothing.
ANSWER_S = 0.02
# By TLS the node has a handshake to end before it looks at what was asked.
ANSWER_BY_TLS_S = 0.1
EDGES = [0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, (1 << 64) - 1]
LEDGER = {f"ledger:{n}": hashlib.sha256(str(n).encode()).hexdigest() for n in range(100)}


def command(*words):
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def golden(path):
    """The inputs of a golden file: of each line what is hex pairs, behind its name if it has one."""
    with open(os.path.join(CRATES, path), encoding="utf-8") as file:
        lines = [line.rsplit(": ", 1)[-1].strip() for line in file]
    return [bytes.fromhex(line) for line in lines if re.fullmatch(r"[0-9a-f ]+", line)]


def request(method, path, body=b"", more=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def client_sessions():
    # No writes: what they do with odd arguments is tried in the crate `command`, and here nothing may change.
    reads = "GET k|MGET a b c|STRLEN k|GETRANGE k 0 -1|HGETALL h|HMGET h f g|LRANGE l 0 -1|LPOS l a|SMEMBERS s|SRANDMEMBER s -3"
    reads += "|ZRANGE z 0 -1 WITHSCORES|ZRANGEBYSCORE z -inf (5 LIMIT 0 3|ZSCORE z a|TTL k|TYPE k|EXISTS k|SCAN 0 MATCH * COUNT 10"
    reads += "|PING|ECHO hello|TIME|DBSIZE|INFO|INFO replication|COMMAND COUNT|COMMAND DOCS get|COMMAND GETKEYS GET k|LOLWUT"
    reads += "|CONFIG GET *|CONFIG GET max*|CLIENT LIST|CLIENT ID|CLIENT INFO|CLIENT SETNAME me|CLIENT NO-EVICT on|CLUSTER INFO"
    reads += "|CLUSTER SLOTS|CLUSTER SHARDS|CLUSTER NODES|CLUSTER KEYSLOT k|CLUSTER COUNTKEYSINSLOT 5|HELLO 3|HELLO 2 AUTH a b"
    reads += "|AUTH x|AUTH a b|READONLY|READWRITE|SELECT 0|WATCH k|UNWATCH|MULTI|EXEC|DISCARD|OBJECT ENCODING k|RESET|QUIT"
    reads += "|SUBSCRIBE c d|PSUBSCRIBE c*|SSUBSCRIBE s|UNSUBSCRIBE|PUNSUBSCRIBE c*|SUNSUBSCRIBE s|PUBLISH c m|SPUBLISH s m"
    reads += "|PUBSUB CHANNELS c*|PUBSUB NUMSUB c|PUBSUB SHARDCHANNELS|XRANGE x - + COUNT 3|XREVRANGE x + 5-1|XLEN x|XINFO STREAM x FULL"
    reads += "|XREAD COUNT 2 STREAMS x y 0 0-1|XPENDING x g - + 10|BLPOP l m 0.01|BZPOPMIN z 0.01|BLMPOP 0.01 1 l LEFT COUNT 2"
    reads += "|CLIENT UNBLOCK 1 ERROR|CLIENT NO-TOUCH on|CLIENT REPLY SKIP|MONITOR|SLOWLOG GET 3|SLOWLOG LEN|LATENCY HISTOGRAM get"
    reads += "|LATENCY LATEST|MEMORY USAGE k SAMPLES 3|MEMORY STATS|MEMORY DOCTOR|OBJECT FREQ k|OBJECT IDLETIME k|INFO everything"
    reads += "|DUMP k|SORT_RO l BY w* LIMIT 0 3 GET #|LCS k j IDX|BITCOUNT k 0 -1 BIT|BITFIELD_RO k GET u8 0|GEOSEARCH g FROMMEMBER m BYBOX 4 4 km"
    reads += "|ZRANDMEMBER z -3 WITHSCORES|ZUNION 2 z y WEIGHTS 1 2|SINTERCARD 2 s t LIMIT 3|HRANDFIELD h -3 WITHVALUES|PFCOUNT p q"
    reads += "|CLUSTER REPLICAS n|CLUSTER GETKEYSINSLOT 5 3|COMMAND LIST FILTERBY PATTERN x*|COMMAND GETKEYSANDFLAGS GET k"
    reads = [line.split(" ") for line in reads.split("|")]
    transaction = command("WATCH", "k") + command("MULTI") + command("GET", "k") + command("EXEC")
    pipeline = b"".join(command(*words) for words in reads[:30])
    inline = b"".join(" ".join(words).encode() + b"\r\n" for words in reads[:30])
    quoted = b'GET "a\\x00\\n b"\r\necho \'it\\\'s\'\n'
    return [command(*words) for words in reads] + [transaction, pipeline, inline, quoted]


def http_sessions():
    reads = ["/livez", "/readyz", "/metrics", "/status", "/v1/cluster", "/v1/policy", "/v1/upgrade", "/v1/releases"]
    posts = ["/v1/cluster/create", "/v1/cluster/recover", "/v1/cluster/nodes/add", "/v1/cluster/nodes/remove", "/v1/policy",
             "/v1/releases/allow", "/v1/upgrade/plan", "/v1/upgrade/pause", "/v1/upgrade/rollback", "/v1/releases"]
    # Each is refused as it is, and a change of some bytes makes it no valid one.
    body = json.dumps({"no": [1, {"field": "of"}, None, True, 1.5e300]}).encode()
    typed = "Content-Type: application/json\r\n"
    foreign = "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site\r\n"
    chunked = b"POST /v1/policy HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"no\"\r\n3\r\n:1}\r\n0\r\n\r\n"
    several = request("GET", "/livez") + request("GET", "/status") + request("POST", "/v1/policy", body, typed)
    sessions = [request("GET", path) for path in reads] + [request("POST", path, body, typed) for path in posts]
    sessions += [request("POST", "/v1/policy", body, typed + foreign), chunked, several]
    return sessions + [request("POST", "/v1/releases?hold=maybe", b"\x7fELF\x02\x01\x01" + b"\0" * 300)]


def peer_sessions():
    upgrade = "Connection: upgrade\r\nUpgrade: ironcache-replication\r\n"
    hellos = golden("replication/tests/golden/handshake.hex")
    frames = hellos + golden("replication/tests/golden/link-1.hex")
    sessions = [request("GET", "/replication", b"", upgrade) + hello + b"".join(frames) for hello in hellos]
    raft = {"append": "append_request", "vote": "vote_request", "pre-vote": "pre_vote_request",
            "snapshot": "snapshot_request", "transfer": "transfer_request", "forward": "forward_requests"}
    for path, name in raft.items():
        body = b"".join(golden(f"raft/tests/golden/{name}.hex"))
        sessions.append(request("POST", f"/raft/{path}", body))
    others = ["/node/report", "/artifacts/" + "ab" * 32, "/lease", "/odd", "/livez", "/status"]
    return sessions + [request("GET", path) for path in others] + [request("POST", path, b"{}") for path in others]


def join_sessions():
    typed = "Content-Type: application/json\r\n"
    prove = json.dumps({"proof": "ab" * 32}).encode()
    nodes = {f"{number:016x}": f"{number:02x}" * 32 for number in (1, 2)}
    bind = json.dumps({"cluster": "00000000000000000000000000000007", "nodes": nodes}).encode()
    proves, binds = request("POST", "/v1/join/prove", prove, typed), request("POST", "/v1/join/bind", bind, typed)
    return http_sessions() + 4 * [proves, binds, proves + binds, proves + request("GET", "/status") + binds]


def client_hello(strangers_key=None):
    """What a client by TLS says first."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begin = context(strangers_key).wrap_bio(incoming, outgoing, server_hostname="node")
    try:
        begin.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def record(kind, body, version=0x0301, length=None):
    length = len(body) if length is None else length
    return bytes([kind]) + version.to_bytes(2, "big") + (length & 0xFFFF).to_bytes(2, "big") + body


def records():
    """Hellos, and what looks like one for a while."""
    whole = client_hello()
    hello = whole[5:]
    alert, change, data = b"\x02\x28", b"\x01", b"\0" * 64
    made = [whole, whole + whole, whole[:60], whole[:5], whole[:1]]
    # Versions that there were, will be and never are; lengths of records and of the message that are not theirs.
    made += [record(22, hello, version) for version in (0, 0x0200, 0x0300, 0x0302, 0x0303, 0x0304, 0x7F1C, 0xFEFF, 0xFFFF)]
    made += [record(22, hello, length=length) for length in (0, 1, 0x4000, 0x4001, 0x4800, 0xFFFF)]
    made += [record(22, hello[:1] + length.to_bytes(3, "big") + hello[4:]) for length in (0, 1, 0x4000, 0x10000, 0xFFFFFF)]
    # One message over many records; empty ones among them; much more of it than any hello has.
    made.append(b"".join(record(22, hello[at : at + 1]) for at in range(len(hello))))
    made.append(record(22, b"") * 200 + whole)
    giant = b"\x01" + (0x03FFFF).to_bytes(3, "big") + hello[4:]
    made.append(record(22, giant) + b"".join(record(22, bytes(0x4000)) for _ in range(15)))
    # Not its turn.
    made += [record(21, alert) + whole, record(20, change) + whole, record(23, data) + whole, whole + record(23, data) * 8]
    made += [whole + record(20, change, 0x0303) + record(22, bytes([kind]) + b"\0\0\x04abcd", 0x0303) for kind in (0, 2, 11, 15, 20, 24)]
    return made + [record(kind, data) for kind in (0, 19, 22, 24, 25, 255)]


def context(strangers_key=None):
    believing = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    believing.check_hostname = False
    believing.verify_mode = ssl.CERT_NONE
    if strangers_key:
        believing.load_cert_chain(*strangers_key)
    return believing


class Mutator:
    """Changes sessions. The words are those that parsers of these ports look for."""

    WORDS = [b"\r\n", b"\n", b"\0", b"*", b"$", b"$-1\r\n", b"*1048577\r\n", b'"', b"'", b"{", b"}", b"[", b"HTTP/1.1", b":", b" ",
             b"Content-Length: 18446744073709551616\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n",
             b"Upgrade: h2c\r\n", b"\x16\x03\x01", b"\x15\x03\x03", b"\xff\xff\xff\xff", b"ICRW"]

    def __init__(self, sessions, seed):
        self.sessions, self.dice = sessions, random.Random(seed)

    def next(self):
        data = bytearray(self.dice.choice(self.sessions))
        for _ in range(self.dice.randint(0, 6)):
            self.change(data)
        return bytes(data[: 1 << 18])

    def change(self, data):
        dice, at = self.dice, self.dice.randrange(len(data) + 1)
        other = dice.choice(self.sessions)
        kind = dice.randrange(10)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = dice.randrange(256)
        elif kind == 2:
            width = dice.choice([1, 2, 4, 8])
            number = (dice.choice(EDGES) & ((1 << 8 * width) - 1)).to_bytes(width, dice.choice(["little", "big"]))
            data[at : at + width] = number
        elif kind == 3:
            digits = [match for match in re.finditer(rb"\d+", bytes(data))]
            if digits:
                found = dice.choice(digits)
                data[found.start() : found.end()] = str(dice.choice([-1, 1]) * dice.choice(EDGES)).encode()
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            del data[at : at + 1 + dice.randrange(64)]
        elif kind == 6:
            data[at:at] = data[at : at + 1 + dice.randrange(8)] * dice.randrange(1, 1 << dice.randrange(1, 12))
        elif kind == 7:
            data[at:at] = dice.choice(self.WORDS)
        elif kind == 8:
            begin = dice.randrange(len(other) + 1)
            data[at:at] = other[begin : begin + dice.randrange(1, 400)]
        else:
            data[at:] = other[dice.randrange(len(other) + 1) :]


def play(port, data, dice, way, strangers_key):
    """One session: whatever becomes of it. Returns what it was answered with."""
    said = b""
    try:
        stream = socket.create_connection(("127.0.0.1", port), timeout=5)
    except OSError:
        return said
    try:
        stream.settimeout(1)
        if way in ("nobody", "stranger", "torn"):
            stream = context(strangers_key if way == "stranger" else None).wrap_socket(stream)
        if way == "torn":
            stream = socket.socket(fileno=stream.detach())
            stream.settimeout(1)
        cuts = sorted(dice.randrange(len(data) + 1) for _ in range(dice.choice([0, 0, 1, 3])))
        for begin, end in zip([0] + cuts, cuts + [len(data)]):
            stream.sendall(data[begin:end])
        by_tls, ends = way in ("nobody", "stranger"), dice.random() < 0.6
        if ends and not by_tls:
            stream.shutdown(socket.SHUT_WR)
        stream.settimeout(ANSWER_BY_TLS_S if by_tls else ANSWER_S)
        try:
            for _ in range(64):
                more = stream.recv(1 << 16)
                if not more:
                    break
                said += more[: (1 << 16) - len(said)]
                stream.settimeout(ANSWER_S)
        except TimeoutError:
            if ends and by_tls:
                stream.unwrap()
    except (OSError, ValueError):
        pass
    finally:
        stream.close()
    return said


def done(said):
    """What nobody is told on a port for members: a status that says that something was done."""
    return [status for status in re.findall(rb"^HTTP/1\.[01] ([123]\d\d)", said, re.MULTILINE) if status != b"100"]


def differences(before, now, path):
    """Where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            yield from differences(before.get(name), now.get(name), f"{path}.{name}")
    elif before != now:
        yield f"{path} was {json.dumps(before)} and is {json.dumps(now)}"


class Node:
    """One that is under fire, and what must not change of it."""

    def __init__(self, name, client, http, log, ledger):
        self.name, self.client, self.http, self.log, self.has_ledger = name, client, http, log, ledger
        if ledger:
            for key, value in LEDGER.items():
                assert self.ask("SET", key, value) == b"+OK\r\n", "the ledger can be written"
            # One byte makes a SET of a GET: whoever comes from here on may read.
            assert self.ask("ACL", "SETUSER", "default", "-@write") == b"+OK\r\n", "users can be set"
        # Right after its start a member has yet to tell the others of the binary that it holds.
        wait_for("the state is at rest", lambda: not ledger or self.is_at_rest())
        self.before = self.state()
        self.pid = self.before["pid"]
        self.descriptors = self.count_descriptors()
        self.rss_bytes = None

    def is_at_rest(self):
        control = self.state()["control"]
        return control["releases"] and all(node["staged"] for node in control["nodes"].values())

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.client), timeout=10) as stream:
            stream.sendall(command(*words))
            answer = b""
            while not answer.endswith(b"\r\n"):
                more = stream.recv(1 << 16)
                if not more:
                    break
                answer += more
            return answer

    def find(self, key):
        """What the key holds. A node that a busy machine keeps from its lease answers with an error, or with nothing, for a while."""
        give_up = time.monotonic() + SETTLE_S
        while True:
            try:
                answer = self.ask("GET", key)
            except OSError as error:
                answer = str(error).encode()
            if answer.startswith(b"$") or time.monotonic() > give_up:
                return answer
            time.sleep(0.05)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=10) as answer:
            return answer.read()

    def state(self):
        status = json.loads(self.get("/status"))
        raft = {name: status["raft"][name] for name in ("cluster", "term", "last_log", "voters", "learners", "went_back")}
        data = {name: status["data"].get(name) for name in ("role", "keys", "offset", "isr_epoch")}
        same = {name: status[name] for name in ("node", "incarnation", "pid", "release", "pristine", "staged", "control")}
        return {**same, "raft": raft, "data": data}

    def count_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def judge(self, warm):
        """What is wrong, if anything."""
        if self.get("/livez").strip() == b"":
            return "/livez says nothing"
        now = self.state()
        if now != self.before:
            return "; ".join(differences(self.before, now, "status"))
        if self.has_ledger:
            for key, value in LEDGER.items():
                answer = self.find(key)
                if answer != b"$%d\r\n%s\r\n" % (len(value), value.encode()):
                    return f"{key} held {value}, and the answer to GET is {answer[:200]!r}"
        give_up = time.monotonic() + SETTLE_S
        while self.count_descriptors() > self.descriptors + DESCRIPTORS_MAX:
            if time.monotonic() > give_up:
                return f"{self.count_descriptors()} descriptors are open, and {self.descriptors} were at the start"
            time.sleep(0.1)
        resident = self.resident_bytes()
        if warm:
            self.rss_bytes = self.rss_bytes or resident
            if resident > self.rss_bytes + GROWTH_MAX_BYTES:
                return f"{resident >> 20} MiB are resident, and {self.rss_bytes >> 20} were"
        with open(self.log, encoding="utf-8", errors="replace") as file:
            panics = [line for line in file if "panicked at" in line]
        return f"a thread panicked: {panics[0].strip()}" if panics else None


SESSIONS = {
    "client": client_sessions,
    "tls": client_sessions,
    "peer": peer_sessions,
    "http": http_sessions,
    "join": join_sessions,
    "open-peer": peer_sessions,
    "open-http": http_sessions,
}


def fuzz(kind, node, port, seconds, seed, strangers_key):
    """One port's sessions until the time is up. Returns what is wrong, if anything."""
    hellos = Mutator(records(), f"{kind}-records-{seed}")
    mutator = Mutator(SESSIONS[kind](), f"{kind}-{seed}")
    dice = random.Random(f"{kind}-ways-{seed}")
    tried, answered = dict.fromkeys(WAYS, 0), dict.fromkeys(WAYS, 0)
    until, batch = time.monotonic() + seconds, 0
    where = lambda: f"{kind}: seed {seed}, batch {batch}"
    while time.monotonic() < until:
        batch += 1
        for _ in range(BATCH):
            (way,) = dice.choices(WAYS, PORTS[kind])
            data = (hellos if way == "records" else mutator).next()
            said = play(port, data, dice, way, strangers_key)
            tried[way] += 1
            answered[way] += bool(said)
            if kind == "peer" and done(said):
                return f"{where()}, {way}: {data!r} was answered {said[:400]!r}"
        try:
            wrong = node.judge(batch > WARM_BATCHES)
        except (OSError, ValueError) as error:
            wrong = f"the node does not answer: {error!r}"
        if wrong:
            return f"{where()}: {wrong}"
        if batch % 10 == 0:
            print(f"{kind}: {batch * BATCH} sessions, {node.resident_bytes() >> 20} MiB", flush=True)
    ways = ", ".join(f"{way} {answered[way]}/{tried[way]}" for way in WAYS if tried[way])
    print(f"{kind}: {batch * BATCH} sessions in {seconds} s, {node.resident_bytes() >> 20} MiB; answered: {ways}", flush=True)
    deaf = [way for way in WAYS if way in ANSWERED[kind] and tried[way] >= ANSWERED_FROM and not answered[way]]
    return f"{where()}: no session came through: {', '.join(deaf)}" if deaf else None


def run(args):
    wrong = fuzz(*args)
    if wrong:
        print(f"FAILED {wrong}", file=sys.stderr, flush=True)
        sys.exit(1)


def wait_for(what, look, seconds=60):
    give_up = time.monotonic() + seconds
    while True:
        try:
            found = look()
            if found:
                return found
        except (OSError, ValueError):
            pass
        if time.monotonic() > give_up:
            sys.exit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def free_base():
    """A port, with its neighbours for peers, HTTP and TLS."""
    dice = random.SystemRandom()
    for _ in range(400):
        base = dice.randrange(7000, 12000)
        try:
            for port in (base, base + 1, base + 2, base + 15001, *(base + more + at for more in (10000, 20000) for at in range(3))):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    sys.exit("no free ports were found")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--seconds", type=int, default=60, help="for each port; the ports are tried at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(PORTS))
    args = parser.parse_args()
    folder, base, started = tempfile.mkdtemp(prefix="fuzz-ports-"), free_base(), []
    binary = os.path.abspath(args.binary)
    os.chdir(folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IRONCACHE_")}
    failed = 1
    try:
        def start(*words, log=None):
            log = open(f"{folder}/{log or words[0]}.log", "wb")
            started.append(subprocess.Popen([binary, *words], stdout=log, stderr=log, env=environment))

        keys = [f"{folder}/stranger.crt", f"{folder}/stranger.key"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "30", "-subj", "/CN=stranger",
                        "-keyout", keys[1], "-out", keys[0]], check=True, capture_output=True)
        start("playground", "--shards", "1", "--replicas", "0", "--dir", f"{folder}/playground", "--port", str(base), "--json")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "30", "-subj", "/CN=node", "-keyout", "node.key", "-out", "node.crt"], check=True, capture_output=True)
        start("server", "--data-dir", f"{folder}/alone", "--port", str(base + 1), "--tls-port", str(base + 15001),
              "--tls-cert-file", f"{folder}/node.crt", "--tls-key-file", f"{folder}/node.key", "--tls-auth-clients", "no")
        start("server", "--data-dir", f"{folder}/open", "--port", str(base + 2), "--insecure", "yes", log="open")
        create = [binary, "cluster", "create", f"127.0.0.1:{base + 20002}", "--replicas", "0", "--insecure", "--yes"]
        wait_for("the insecure cluster is made", lambda: subprocess.run(create, env=environment, capture_output=True).returncode == 0)
        wait_for("the playground is ready", lambda: b'"ready":true' in open(f"{folder}/playground.log", "rb").read())
        member = Node("member", base, base + 20000, f"{folder}/playground/node-0.log", True)
        wait_for("the other node answers", lambda: urllib.request.urlopen(f"http://127.0.0.1:{base + 20001}/livez", timeout=5))
        alone = Node("alone", base + 1, base + 20001, f"{folder}/server.log", False)
        insecure = Node("open", base + 2, base + 20002, f"{folder}/open.log", True)
        targets = {
            "client": (member, base), "peer": (member, base + 10000), "http": (member, base + 20000),
            "tls": (alone, base + 15001), "join": (alone, base + 20001),
            "open-peer": (insecure, base + 10002), "open-http": (insecure, base + 20002),
        }
        only = args.only.split(",")
        workers = []
        for kind in (kind for kind in PORTS if kind in only):
            asked = (kind, *targets[kind], args.seconds, args.seed, keys)
            workers.append(multiprocessing.Process(target=run, args=(asked,)))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        failed = sum(worker.exitcode != 0 for worker in workers)
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        for process in started:
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        if failed:
            print(f"logs and data: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
