#!/usr/bin/env python3
"""Reads INFO of every node over and over, as redis_exporter does, and makes metrics of it.

Usage: info_reader.py HOST:PORT

Reads until SIGTERM, then prints one JSON object, as the other programs of this folder do. redis_exporter is a program of Go
that is not had ready to run from PyPI or npm; what it reads is held here: of each `INFO all` every line has to be a section, a comment or a
field, every field that it makes a metric of has to be there and be a number, and its compound fields (databases, replicas,
calls by command, errors by code, percentiles) have to have their parts. Counters of a node do not fall while it runs.

A node that restarts refuses connections meanwhile, or closes them: that is counted apart (`down`), and is what a reader of
single nodes sees.
"""

import json
import signal
import sys
import threading

import redis
from redis.cluster import RedisCluster

SAMPLES_MAX = 5
PAUSE_S = 0.05
STATUS = {"ok": 1.0, "err": 0.0, "fail": 0.0}

GAUGES = """
uptime_in_seconds process_id connected_clients blocked_clients client_recent_max_output_buffer
client_recent_max_input_buffer maxclients allocator_active allocator_resident used_memory used_memory_rss
used_memory_peak used_memory_overhead used_memory_startup used_memory_dataset maxmemory mem_fragmentation_ratio
mem_fragmentation_bytes mem_clients_slaves mem_clients_normal mem_not_counted_for_evict migrate_cached_sockets
active_defrag_hits active_defrag_misses active_defrag_key_hits active_defrag_key_misses loading rdb_bgsave_in_progress
rdb_last_save_time rdb_last_bgsave_status aof_enabled pubsub_channels pubsub_patterns latest_fork_usec connected_slaves
repl_backlog_size repl_backlog_active repl_backlog_first_byte_offset repl_backlog_histlen master_repl_offset
second_repl_offset slave_expires_tracked_keys cluster_enabled instantaneous_ops_per_sec instantaneous_input_kbps
instantaneous_output_kbps
""".split()

COUNTERS = """
total_connections_received total_commands_processed rejected_connections total_net_input_bytes total_net_output_bytes
expired_keys evicted_keys keyspace_hits keyspace_misses total_reads_processed total_writes_processed total_error_replies
total_forks sync_full sync_partial_ok used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children
""".split()

OF_A_REPLICA = "slave_repl_offset slave_read_only".split()
TEXTS = "redis_version redis_mode os maxmemory_policy tcp_port run_id role".split()
SECTIONS = "Server Clients Memory Persistence Stats Replication CPU Cluster Keyspace".split()


class Malformed(Exception):
    pass


def number(name, text):
    if text.lower() in STATUS:
        return STATUS[text.lower()]
    try:
        return float(text)
    except ValueError:
        raise Malformed(f"{name} is {text!r}, and no number") from None


def parts(name, text, wanted):
    """Of `a=1,b=2`."""
    got = dict(part.split("=", 1) for part in text.split(",") if "=" in part)
    missing = [each for each in wanted if each not in got]
    if missing:
        raise Malformed(f"{name}:{text} lacks {missing}")
    return got


def compound(name, text):
    """Numbers of a field that has several, else None."""
    if name.startswith("cmdstat_"):
        wanted = ["calls", "usec", "usec_per_call", "rejected_calls", "failed_calls"]
    elif name.startswith("errorstat_"):
        wanted = ["count"]
    elif name.startswith("latency_percentiles_usec_"):
        wanted = ["p50", "p99", "p99.9"]
    elif name[:2] == "db" and name[2:].isdigit():
        wanted = ["keys", "expires", "avg_ttl"]
    elif name.startswith("slave") and name[5:].isdigit():
        got = parts(name, text, ["ip", "port", "state", "offset", "lag"])
        return {each: number(f"{name} {each}", got[each]) for each in ("port", "offset", "lag")}
    else:
        return None
    got = parts(name, text, wanted)
    return {each: number(f"{name} {each}", got[each]) for each in wanted}


def metrics(text):
    """The metrics of an answer, and its texts; raises when a line cannot be read or a field is missing."""
    found, texts, sections = {}, {}, []
    for line in text.split("\r\n"):
        if not line:
            continue
        if line.startswith("#"):
            sections.append(line[1:].strip())
            continue
        name, colon, value = line.partition(":")
        if not colon or not name:
            raise Malformed(f"the line {line!r} is no field")
        if name in texts:
            raise Malformed(f"{name} is there twice")
        texts[name] = value
        several = compound(name, value)
        for part, each in (several or {}).items():
            found[f"{name}.{part}"] = each
    missing = [each for each in SECTIONS if each not in sections]
    wanted = GAUGES + COUNTERS + (OF_A_REPLICA if texts.get("role") == "slave" else [])
    missing += [each for each in wanted + TEXTS if each not in texts]
    if missing:
        raise Malformed(f"there is no {missing}")
    if texts["role"] == "slave" and texts.get("master_link_status") not in ("up", "down"):
        raise Malformed(f"master_link_status is {texts.get('master_link_status')!r}")
    for name in wanted:
        found[name] = number(name, texts[name])
    return found, texts


class Reader(threading.Thread):
    def __init__(self, host, port, stop):
        super().__init__(daemon=True)
        self.name, self.stop = f"{host}:{port}", stop
        self.client = redis.Redis(host=host, port=port)
        self.reads, self.down, self.metrics, self.errors, self.violations = 0, 0, 0, [], []
        self.runs, self.last = set(), {}

    def run(self):
        while not self.stop.wait(PAUSE_S):
            try:
                self.read(self.client.execute_command("INFO", "all").decode())
            except redis.ConnectionError:
                self.down += 1
            except Malformed as error:
                self.violations.append(f"{self.name}: {error}")
            except Exception as error:  # noqa: BLE001 - whatever reaches an application counts
                self.errors.append(f"{self.name}: {type(error).__name__}: {error}")

    def read(self, text):
        found, texts = metrics(text)
        run = texts["run_id"], texts["process_id"]
        if run in self.runs:
            fell = [name for name in COUNTERS if found[name] < self.last.get(name, 0)]
            if fell:
                raise Malformed(f"counters fell: {[(name, self.last[name], found[name]) for name in fell]}")
        self.runs.add(run)
        self.last, self.reads, self.metrics = found, self.reads + 1, max(self.metrics, len(found))


def main():
    host, _, port = (sys.argv[1] if len(sys.argv) == 2 else "").rpartition(":")
    if not host or not port.isdigit():
        print("usage: info_reader.py HOST:PORT", file=sys.stderr)
        return 2
    stop = threading.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        signal.signal(which, lambda *_: stop.set())
    # redis-py makes a dictionary of INFO, and forgives what another reader does not: here the answer's text is read.
    readers = [Reader(node.host, node.port, stop) for node in RedisCluster(host=host, port=int(port)).get_nodes()]
    for reader in readers:
        reader.client.response_callbacks.pop("INFO", None)
        reader.start()
    print("writing", file=sys.stderr, flush=True)
    stop.wait()
    for reader in readers:
        reader.join()
    errors = [error for reader in readers for error in reader.errors]
    violations = [each for reader in readers for each in reader.violations]
    counts = {
        "program": "reader of INFO",
        "operations": sum(reader.reads for reader in readers),
        "errors": len(errors),
        "violations": len(violations),
        "down": sum(reader.down for reader in readers),
        "nodes": len(readers),
        "processes": sum(len(reader.runs) for reader in readers),
        "metrics_of_a_node": max(reader.metrics for reader in readers),
    }
    print(json.dumps({**counts, "samples": {"errors": errors[:SAMPLES_MAX], "violations": violations[:SAMPLES_MAX]}}))
    return 1 if errors or violations or not all(reader.reads for reader in readers) else 0


if __name__ == "__main__":
    sys.exit(main())
