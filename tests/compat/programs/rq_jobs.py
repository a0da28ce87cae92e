#!/usr/bin/env python3
"""RQ's enqueue, against a node: what RQ sees of a cluster.

Usage: rq_jobs.py HOST:PORT

RQ speaks to one server: it has no map of a cluster, follows no MOVED, and writes a job (`rq:job:…`), its queue and the list of
queues in one transaction, over keys of several slots, for which it has no hash tag. Every Redis cluster refuses that, one of a
single shard too. Held here: it is refused here as well, whole, with Redis' words for it (MOVED where a key lies in another
shard, else CROSSSLOT), so that RQ says what is the matter, and nothing of the job is left behind. Prints one JSON object
and exits 0 if so.
"""

import json
import sys

import redis
import rq
from redis.cluster import RedisCluster

JOBS = 20


def main():
    host, _, port = (sys.argv[1] if len(sys.argv) == 2 else "").rpartition(":")
    if not host or not port.isdigit():
        print("usage: rq_jobs.py HOST:PORT", file=sys.stderr)
        return 2
    cluster = RedisCluster(host=host, port=int(port))
    refused, violations = {}, []
    for number in range(JOBS):
        name = f"compat-{number}"
        # Of the job's key. Where all the keys happen to be in this shard, it is the transaction that is refused.
        node = cluster.get_node_from_key(f"rq:job:job-{number}")
        queue = rq.Queue(name, connection=redis.Redis(host=node.host, port=node.port))
        job_id = f"job-{number}"
        try:
            queue.enqueue("operator.add", 1, 2, job_id=job_id)
            violations.append(f"{name}: RQ was not refused, and README.md says that it is")
        except (redis.exceptions.MovedError, redis.exceptions.ClusterCrossSlotError) as error:
            refused[type(error).__name__] = refused.get(type(error).__name__, 0) + 1
        left = [key for key in (f"rq:job:{job_id}", f"rq:queue:{name}") if cluster.exists(key)]
        if left:
            violations.append(f"{name}: was refused, and left {left}")
    if not refused.get("ClusterCrossSlotError"):
        violations.append(f"nothing was refused with CROSSSLOT: {refused}")
    counts = {"program": f"rq {rq.__version__}", "operations": JOBS, "refused": refused, "violations": len(violations)}
    print(json.dumps({**counts, "samples": {"violations": violations[:5]}}))
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
