#!/usr/bin/env python3
"""Plays conversations of several clients on redis-server and on a node, and compares what each client is told.

Usage: conversations.py HOST:PORT [--only NAME] [--show]

HOST:PORT is a primary that owns every slot; its data is erased. A redis-server is started beside it. Random commands are
compared by ironcache-differential, one client at a time; here is what takes two: WATCH, and commands that wait.

A conversation is a line a command: the client's name, and what it says. `a! BLPOP k 0` waits: the next line is played once
the server counts one blocked client more. `a<` reads what client a was told since; at the end everybody's is read. `a+ 3` reads
three messages of channels. `a-` leaves, and is played on once the server has seen it. Each is played in RESP2 and in RESP3. Exit code 1: something differs.
"""

import argparse
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time

ANSWER_MAX_S = 20.0
HERE = pathlib.Path(__file__).resolve().parent


class Conn:
    """One client, and what it was told and nobody has read yet."""

    def __init__(self, addr):
        self.sock = socket.create_connection(addr, timeout=ANSWER_MAX_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.got = b""
        self.owed = 0

    def send(self, args):
        out = b"*%d\r\n" % len(args)
        for arg in args:
            out += b"$%d\r\n%s\r\n" % (len(arg), arg)
        self.sock.sendall(out)
        self.owed += 1

    def line(self):
        while b"\r\n" not in self.got:
            self.more()
        line, self.got = self.got.split(b"\r\n", 1)
        return line

    def more(self):
        read = self.sock.recv(65536)
        if not read:
            raise EOFError("the server closed the connection")
        self.got += read

    def value(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind in b"$=" and rest != b"-1":
            length = int(rest)
            while len(self.got) < length + 2:
                self.more()
            text, self.got = self.got[:length], self.got[length + 2 :]
            return line + b" " + text
        if kind in b"*~%>" and rest != b"-1":
            count = int(rest) * (2 if kind == b"%" else 1)
            return line + b"".join(b" " + self.value() for _ in range(count))
        return line

    def reply(self):
        self.owed -= 1
        return self.value()

    def ask(self, *words):
        self.send([word.encode() for word in words])
        return self.reply()


def until(condition, what):
    deadline = time.monotonic() + ANSWER_MAX_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.002)


def blocked(probe):
    return int(re.search(rb"blocked_clients:(\d+)", probe.ask("INFO", "clients")).group(1))


def play(addr, lines, protocol):
    """What every client was told, line by line: (client, reply)."""
    probe, clients, told = Conn(addr), {}, []
    probe.ask("FLUSHALL")
    until(lambda: blocked(probe) == 0, "clients of the conversation before are blocked still")
    ids = {}
    for line in lines:
        match = re.fullmatch(r"(\w+)([!<+-]?)\s*(.*)", line)
        name, mark, text = match.groups()
        if name not in clients:
            clients[name] = Conn(addr)
            clients[name].ask("HELLO", str(protocol))
            ids[name] = clients[name].ask("CLIENT", "ID")[1:].decode()
        client = clients[name]
        if mark == "-":
            before = blocked(probe)
            client.sock.close()
            del clients[name]
            until(lambda: blocked(probe) == before - 1, f"{line}: it is blocked still")
            continue
        if mark == "+":
            told.extend((name, client.value()) for _ in range(int(text)))
            continue
        before = blocked(probe) if mark == "!" else 0
        if text:
            # `@b` is the id of client b.
            words = re.sub(r"@(\w+)", lambda it: ids[it.group(1)], text).split(" ")
            client.send([word.encode() for word in words])
        if mark == "!":
            until(lambda: blocked(probe) == before + 1, f"{line}: it does not wait")
        else:
            while client.owed:
                told.append((name, client.reply()))
    for name, client in sorted(clients.items()):
        # Whoever is blocked still is told nothing: it is shown as that.
        while client.owed:
            probe.ask("CLIENT", "UNBLOCK", ids[name], "ERROR")
            told.append((name, client.reply()))
    for client in clients.values():
        client.sock.close()
    # The ids of clients are the server's own affair.
    shown = {b":%s" % number.encode(): b":@%s" % name.encode() for name, number in ids.items()}
    mask = re.compile(b"(?<![^ ])(%s)(?![^ ])" % b"|".join(re.escape(number) for number in shown))
    return [(name, mask.sub(lambda it: shown[it.group(1)], value)) for name, value in told]


def conversations():
    name, lines = None, []
    for line in (HERE / "conversations.txt").read_text().splitlines():
        if line.startswith("# "):
            if lines:
                yield name, lines
            name, lines = line[2:], []
        elif line.strip():
            lines.append(line.strip())
    if lines:
        yield name, lines


class Oracle:
    def __enter__(self):
        self.dir = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        port = port - 20000 if port > 55000 else port
        args = ["--bind", "127.0.0.1", "--port", str(port), "--cluster-enabled", "yes", "--save", "", "--dir", self.dir.name]
        self.process = subprocess.Popen(["redis-server", *args], stdout=subprocess.DEVNULL)
        self.addr = ("127.0.0.1", port)

        def answers():
            try:
                conn = Conn(self.addr)
                conn.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
                return conn.ask("SET", "k", "v") == b"+OK"
            except OSError:
                return False

        until(answers, "redis-server is not ready")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.dir.cleanup()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("node")
    parser.add_argument("--only", default="")
    parser.add_argument("--show", action="store_true", help="print what everybody was told")
    options = parser.parse_args()
    host, _, port = options.node.rpartition(":")
    node, differ, count = (host, int(port)), 0, 0
    with Oracle() as oracle:
        for name, lines in conversations():
            if options.only not in name:
                continue
            for protocol in (2, 3):
                count += 1
                sides = {}
                for side, addr in (("redis-server", oracle.addr), ("ironcache", node)):
                    try:
                        sides[side] = play(addr, lines, protocol)
                    except (TimeoutError, EOFError, OSError) as error:
                        sides[side] = [("-", str(error).encode())]
                theirs, ours = sides["redis-server"], sides["ironcache"]
                if theirs != ours:
                    differ += 1
                    print(f"{name}, in RESP{protocol}:")
                    print("  redis-server:", theirs)
                    print("  ironcache:   ", ours)
                elif options.show:
                    print(name, protocol, ours)
    print(f"{count} conversations, {differ} differ")
    return 1 if differ or not count else 0


if __name__ == "__main__":
    sys.exit(main())
