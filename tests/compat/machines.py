"""Machines of their own on one computer: each a network namespace, with a boot id, that can be cut off and switched off.

    bridge0, 10.66.0.254 ── p1 ══ peers (10.66.0.1)  machine 1  clients (10.66.1.2) ══ c1, 10.66.1.1
                         └─ p2 ══ peers (10.66.0.2)  machine 2  clients (10.66.2.2) ══ c2, 10.66.2.1

Nodes talk over the bridge; clients, and the script itself, have a second way that a cut between nodes does not touch.
`inside()` comes first: from there on everything happens in namespaces of this run (network, mounts, processes), so
that nothing that it starts outlives it, however it ends. Needs root, `ip`, `mount` and Python 3 alone.
"""

import ctypes
import errno
import fcntl
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid

PORT = 7000
HTTP_PORT = PORT + 20000
# Far longer than a failover or a full sync takes here.
PATIENCE_S = 60

CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET = 0x00020000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")


def inside():
    """Goes on in a child that is process 1 of its own namespaces: the kernel ends what it started when it ends."""
    if os.geteuid() != 0:
        raise SystemExit(f"{os.path.basename(sys.argv[0])}: root is needed for network namespaces")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET) != 0:
        raise SystemExit(f"unshare: {os.strerror(ctypes.get_errno())}")
    child = os.fork()
    if child:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, lambda number, _: os.kill(child, number))
        _, status = os.waitpid(child, 0)
        sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # Process 1 has no default actions.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda *_: sys.exit(143))
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "proc", "proc", "/proc")
    os.makedirs("/run/netns", exist_ok=True)
    run("mount", "-t", "tmpfs", "tmpfs", "/run/netns")
    for words in (
        ["link", "set", "lo", "up"],
        ["link", "add", "bridge0", "type", "bridge"],
        ["addr", "add", "10.66.0.254/24", "dev", "bridge0"],
        ["link", "set", "bridge0", "up"],
    ):
        run("ip", *words)


def switch(interface, up):
    """Without a process of its own: a fault has to come at its step, not some milliseconds after it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = interface.encode()
        asked = fcntl.ioctl(control, SIOCGIFFLAGS, struct.pack("16sH14x", name, 0))
        flags = struct.unpack("16sH14x", asked)[1]
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", name, flags))


class Machine:
    """A namespace, its two ways, and what runs in it."""

    def __init__(self, index, folder):
        self.index, self.folder = index, folder
        self.name = f"m{index}"
        self.peer, self.client = f"10.66.0.{index}", f"10.66.{index}.2"
        self.process = None
        self.connected = True
        run("ip", "netns", "add", self.name)
        for outer, inner, address in (("p", "peers", f"{self.peer}/24"), ("c", "clients", f"{self.client}/30")):
            run("ip", "link", "add", f"{outer}{index}", "type", "veth", "peer", "name", inner, "netns", self.name)
            run("ip", "-n", self.name, "addr", "add", address, "dev", inner)
            run("ip", "-n", self.name, "link", "set", inner, "up")
            run("ip", "link", "set", f"{outer}{index}", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "link", "set", f"p{index}", "master", "bridge0")
        run("ip", "addr", "add", f"10.66.{index}.1/30", "dev", f"c{index}")
        self.boot()

    def boot(self):
        """Another boot of the kernel, for all that what runs here can see."""
        self.boot_id = f"{self.folder}/{self.index}.boot"
        with open(self.boot_id, "w") as file:
            file.write(f"{uuid.uuid4()}\n")

    def spawn(self, words, log):
        script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec ip netns exec "$@"'
        around = ["unshare", "--mount", "sh", "-c", script, self.boot_id, self.name]
        with open(log, "a") as out:
            self.process = subprocess.Popen([*around, *words], stdout=out, stderr=out, stdin=subprocess.DEVNULL)

    def cut(self):
        """From its peers, not from its clients. On the bridge's side: its own interface stays."""
        switch(f"p{self.index}", False)
        self.connected = False

    def mend(self):
        switch(f"p{self.index}", True)
        switch(f"c{self.index}", True)
        self.connected = True

    def vanish(self):
        """No packet of it is seen from here on; what its processes say while they die is not heard."""
        switch(f"p{self.index}", False)
        switch(f"c{self.index}", False)
        self.connected = False

    def remove(self):
        self.end()
        for side in "pc":
            subprocess.run(["ip", "link", "del", f"{side}{self.index}"], capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def insecure(binary, *words):
    """What makes a cluster whose HTTP ports are asked without a key; a binary from before keys takes no such words."""
    asked = subprocess.run([binary, "server", "--help"], capture_output=True, text=True)
    return list(words) if "--insecure" in asked.stdout else []


class Node(Machine):
    """A node of ironcache on a machine of its own."""

    def __init__(self, index, binary, folder, flags=(), data_dir=None):
        super().__init__(index, folder)
        self.binary, self.id = binary, None
        self.data_dir = data_dir or f"{folder}/{index}"
        self.log = f"{folder}/{index}.log"
        self.words = [binary, "server", "--bind", "0.0.0.0", "--announce-host", self.peer, "--port", str(PORT)]
        self.words += ["--data-dir", self.data_dir, *insecure(binary, "--insecure", "yes"), *flags]
        self.asked = None
        self.start()

    def start(self):
        self.spawn(self.words, self.log)

    def daemon(self):
        """The process id of its daemon; None while the launcher has none."""
        try:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
                pids = children.read().split()
        except (FileNotFoundError, ProcessLookupError):
            return None
        return int(pids[0]) if pids else None

    def signal_daemon(self, number):
        pid = self.daemon()
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pid = None
        return pid

    def power_off(self):
        """Its packets first, then launcher and daemon."""
        self.vanish()
        daemon = self.daemon()
        self.end()
        if daemon is not None:
            reap(daemon)

    def power_on(self):
        self.boot()
        self.mend()
        self.start()

    def get(self, path, timeout=1.0):
        """A JSON answer of its HTTP port over one kept connection; None if it gives none."""
        for _ in range(2):
            fresh = self.asked is None
            try:
                if fresh:
                    self.asked = http.client.HTTPConnection(self.client, HTTP_PORT, timeout=timeout)
                self.asked.request("GET", path)
                answer = self.asked.getresponse()
                body = answer.read()
                return json.loads(body) if answer.status == 200 else None
            except (OSError, http.client.HTTPException, ValueError):
                self.asked.close()
                self.asked = None
                if fresh:
                    return None
        return None

    def status(self, timeout=1.0):
        return self.get("/status", timeout)


def reap(pid):
    """A daemon whose launcher is gone is ours to wait for."""
    give_up = time.monotonic() + 5
    while time.monotonic() < give_up:
        try:
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                return
        except ChildProcessError:
            # Not ours yet, or not any more.
            if not os.path.exists(f"/proc/{pid}"):
                return
        time.sleep(0.002)


class Cluster:
    """Shards of a primary and replicas, and witnesses; machine 1 holds the first primary."""

    def __init__(self, binary, folder, shards=1, replicas=1, witnesses=1, mode="in-sync", timers="50/150/300",
                 settings=(), flags=(), data_dirs=None):
        self.binary, self.folder = os.path.abspath(binary), folder
        self.shards, self.replicas = shards, replicas
        heartbeat, least, most = timers.split("/")
        flags = [*flags, "--heartbeat-ms", heartbeat, "--election-min-ms", least, "--election-max-ms", most]
        data = shards * (1 + replicas)
        self.nodes = []
        try:
            for index in range(1, data + witnesses + 1):
                directory = (data_dirs or {}).get(index)
                self.nodes.append(Node(index, self.binary, folder, flags, directory))
            self.create(data, mode, settings)
        except BaseException:
            self.end()
            raise

    def create(self, data, mode, settings):
        addrs = [f"{node.peer}:{PORT}" for node in self.nodes]
        words = ["cluster", "create", *addrs[:data], "--replicas", str(self.replicas), "--mode", mode, "--yes"]
        words += insecure(self.binary, "--insecure")
        for addr in addrs[data:]:
            words += ["--witness", addr]
        for setting in settings:
            words += ["--set", setting]
        give_up = time.monotonic() + PATIENCE_S
        while True:
            done = self.ask(*words, seed=False)
            if done.returncode == 0:
                break
            if time.monotonic() > give_up:
                raise SystemExit(f"the cluster is not created: {done.stderr}; logs are in {self.folder}")
            time.sleep(0.05)
        for node in self.nodes:
            node.id = self.patiently("a node says who it is", lambda node=node: (node.status() or {}).get("node"))
        self.by_id = {node.id: node for node in self.nodes}
        self.patiently("every shard has its replicas in sync", self.whole)

    def ask(self, *words, seed=True, timeout=90):
        """A command of the product's own, to whichever node answers."""
        env = dict(os.environ, IRONCACHE_CREDENTIALS="none")
        if seed:
            env["IRONCACHE_SEED"] = ",".join(f"{n.client}:{HTTP_PORT}" for n in self.nodes if n.process.poll() is None)
        words = [self.binary, *words]
        try:
            return subprocess.run(words, capture_output=True, text=True, env=env, timeout=timeout)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 4, "", f"no answer within {timeout} s")

    def patiently(self, what, condition, patience_s=PATIENCE_S):
        give_up = time.monotonic() + patience_s
        while True:
            found = condition()
            if found:
                return found
            if time.monotonic() > give_up:
                raise Stuck(f"not within {patience_s} s: {what}")
            time.sleep(0.02)

    def leader(self):
        """(node, its status) of whoever leads with the newest term; None while nobody does."""
        found = None
        for node in self.nodes:
            if node.process.poll() is not None:
                continue
            status = node.status(timeout=0.3)
            if status and status["raft"]["is_leader"] and (not found or status["raft"]["term"] > found[1]["raft"]["term"]):
                found = (node, status)
        return found

    def control(self):
        found = self.leader()
        return found and found[1].get("control")

    def whole(self):
        """The control state, once every node is in and every node of every shard in sync."""
        control = self.control()
        if not control or len(control["shards"]) != self.shards:
            return None
        for shard in control["shards"].values():
            if primary_of(shard) is None or shard.get("handover"):
                return None
            lives = {control["nodes"][node]["incarnation"] for node in shard["nodes"]}
            if {member["incarnation"] for member in shard["in_sync"]} != lives:
                return None
        return control

    def end(self):
        for node in self.nodes:
            node.remove()

    def tails(self, lines=3):
        """The last words of each node, for a report of what went wrong."""
        told = []
        for node in self.nodes:
            try:
                with open(node.log, errors="replace") as log:
                    told += [f"{node.name} ({node.id}): {line.rstrip()}" for line in log.readlines()[-lines:]]
            except FileNotFoundError:
                pass
        return told


class Pauses:
    """How long this computer gave a process that only sleeps no time at all: what falls into that is no fault of a node."""

    def __init__(self):
        self.longest_s, self.over = 0.0, threading.Event()
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        last = time.monotonic()
        while not self.over.is_set():
            time.sleep(0.01)
            now = time.monotonic()
            self.longest_s, last = max(self.longest_s, now - last - 0.01), now

    def end(self):
        self.over.set()
        return round(self.longest_s, 2)


class Stuck(Exception):
    """What was waited for did not come."""


def primary_of(shard):
    """The node that the log says serves; None while nobody does."""
    ownership = shard["ownership"]
    serving = ownership.get("serving") or ownership.get("Serving") if isinstance(ownership, dict) else None
    return serving and serving["node"]


def folder_for(name):
    """A folder that stays if anything went wrong."""
    return tempfile.mkdtemp(prefix=f"ironcache-{name}.")
