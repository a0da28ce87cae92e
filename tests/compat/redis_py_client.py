#!/usr/bin/env python3
"""Drives a cluster through redis-py's RedisCluster, unmodified, and checks every reply.

Usage: redis_py_client.py HOST:PORT [--protocol 2|3] [--tls DIR]

HOST:PORT is any node. The cluster's data is erased first. Exits 0 if every check held, 1 if one
did not (each failure is printed), 2 on wrong usage.
"""

import argparse
import sys
import time
import traceback
import warnings

import redis
import tls_files
from redis.cluster import RedisCluster

# SETEX and its like are old, and applications use them.
warnings.simplefilter("ignore", DeprecationWarning)

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, expected {wanted!r}")


def expect_error(call, prefix):
    try:
        got = call()
    except redis.RedisError as error:
        # redis-py strips the code of the errors that it gives a class of their own.
        text = f"{type(error).__name__} {error}"
        if prefix not in text:
            raise AssertionError(f"the error should name {prefix!r} and is {text!r}") from error
        return
    raise AssertionError(f"expected an error with {prefix!r}, got the reply {got!r}")


def eventually(condition, what, bound_s=10.0):
    """Waits for a level, not for a time: expiry and replication take their own."""
    deadline = time.monotonic() + bound_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: did not hold within {bound_s} s")
        time.sleep(0.005)


@check
def every_shard_is_written_and_read(r):
    keys = [f"spread:{i}" for i in range(1000)]
    for i, key in enumerate(keys):
        expect(r.set(key, i), True, f"SET {key}")
    for i, key in enumerate(keys):
        expect(r.get(key), str(i).encode(), f"GET {key}")
    per_node = r.dbsize(target_nodes=RedisCluster.PRIMARIES)
    total = sum(per_node.values()) if isinstance(per_node, dict) else per_node
    expect(total, 1000, "DBSIZE over all primaries")


@check
def strings(r):
    expect(r.set("s", "one"), True, "SET")
    expect(r.set("s", "two", nx=True), None, "SET NX on a present key")
    expect(r.set("s:absent", "x", xx=True), None, "SET XX on an absent key")
    expect(r.set("s", "two", get=True), b"one", "SET GET")
    expect(r.setnx("s", "three"), False, "SETNX")
    expect(r.getset("s", "three"), b"two", "GETSET")
    expect(r.append("s", "!"), 6, "APPEND")
    expect(r.strlen("s"), 6, "STRLEN")
    expect(r.getrange("s", 1, -2), b"hree", "GETRANGE")
    expect(r.setrange("s", 8, "x"), 9, "SETRANGE")
    expect(r.get("s"), b"three!\0\0x", "GET after SETRANGE")
    expect(r.getdel("s"), b"three!\0\0x", "GETDEL")
    expect(r.get("s"), None, "GET after GETDEL")
    binary = bytes(range(256)) * 4
    r.set("s:\x00\xff binary", binary)
    expect(r.get("s:\x00\xff binary"), binary, "binary key and value")
    r.set("s:empty", "")
    expect(r.get("s:empty"), b"", "empty value")
    big = b"x" * (1 << 20)
    r.set("s:big", big)
    expect(r.get("s:big"), big, "value of 1 MiB")


@check
def counters(r):
    expect(r.incr("n"), 1, "INCR")
    expect(r.incrby("n", 9), 10, "INCRBY")
    expect(r.decr("n"), 9, "DECR")
    expect(r.decrby("n", 19), -10, "DECRBY")
    expect(r.incrbyfloat("n", 0.5), -9.5, "INCRBYFLOAT")
    expect_error(lambda: r.incr("n"), "not an integer")
    r.set("n:max", 2**63 - 1)
    expect_error(lambda: r.incr("n:max"), "overflow")


@check
def several_keys_of_one_slot(r):
    expect(r.mset({"{m}a": "1", "{m}b": "2"}), True, "MSET")
    expect(r.mget("{m}a", "{m}b", "{m}c"), [b"1", b"2", None], "MGET")
    expect(r.exists("{m}a", "{m}b", "{m}a"), 3, "EXISTS counts a key as often as it is named")
    expect(r.touch("{m}a", "{m}c"), 1, "TOUCH")
    expect(r.rename("{m}a", "{m}z"), True, "RENAME")
    expect(r.unlink("{m}z", "{m}b"), 2, "UNLINK")
    expect(r.delete("{m}z"), 0, "DEL of an absent key")
    expect_error(lambda: r.rename("{m}gone", "{m}x"), "no such key")


@check
def keys_of_different_slots_through_the_client(r):
    expect(r.mset_nonatomic({f"na:{i}": str(i) for i in range(50)}) is not None, True, "MSET over slots")
    got = r.mget_nonatomic([f"na:{i}" for i in range(50)])
    expect(got, [str(i).encode() for i in range(50)], "MGET over slots")


@check
def expiry(r):
    r.set("e", "x", ex=100)
    expect(90 < r.ttl("e") <= 100, True, "TTL after SET EX")
    r.set("e", "y", keepttl=True)
    expect(90_000 < r.pttl("e") <= 100_000, True, "PTTL after SET KEEPTTL")
    expect(r.persist("e"), True, "PERSIST")
    expect(r.ttl("e"), -1, "TTL without expiry")
    expect(r.ttl("e:absent"), -2, "TTL of an absent key")
    expect(r.expire("e", 50, xx=True), False, "EXPIRE XX without a TTL")
    expect(r.expire("e", 50), True, "EXPIRE")
    expect(r.expire("e", 40, gt=True), False, "EXPIRE GT with a shorter TTL")
    expect(r.expire("e", 60, gt=True), True, "EXPIRE GT with a longer TTL")
    expect(r.pexpire("e", 70_000), True, "PEXPIRE")
    at = int(time.time()) + 1000
    expect(r.expireat("e", at), True, "EXPIREAT")
    expect(r.expiretime("e"), at, "EXPIRETIME")
    expect(r.pexpireat("e", at * 1000 + 500), True, "PEXPIREAT")
    expect(r.getex("e", persist=True), b"y", "GETEX PERSIST")
    expect(r.ttl("e"), -1, "TTL after GETEX PERSIST")
    expect(r.setex("e:s", 100, "v"), True, "SETEX")
    expect(r.psetex("e:p", 50, "v"), True, "PSETEX")
    eventually(lambda: r.get("e:p") is None, "a key of 50 ms expires")
    expect(r.exists("e:p"), 0, "EXISTS of an expired key")
    expect_error(lambda: r.execute_command("SET", "e", "x", "EX", 0), "invalid expire")


@check
def hashes(r):
    expect(r.hset("h", mapping={"a": "1", "b": "2"}), 2, "HSET")
    expect(r.hset("h", "a", "3"), 0, "HSET of a present field")
    expect(r.hget("h", "a"), b"3", "HGET")
    expect(r.hmget("h", "a", "x", "b"), [b"3", None, b"2"], "HMGET")
    expect(r.hgetall("h"), {b"a": b"3", b"b": b"2"}, "HGETALL")
    expect(r.hlen("h"), 2, "HLEN")
    expect(r.hexists("h", "b"), True, "HEXISTS")
    expect(r.hincrby("h", "a", 4), 7, "HINCRBY")
    expect(r.hsetnx("h", "a", "9"), 0, "HSETNX")
    expect(sorted(r.hkeys("h")), [b"a", b"b"], "HKEYS")
    expect(sorted(r.hvals("h")), [b"2", b"7"], "HVALS")
    r.hset("h", mapping={f"f{i}": i for i in range(300)})
    expect(len(dict(r.hscan_iter("h", count=20))), 302, "HSCAN meets every field")
    expect(r.hdel("h", "a", "nope"), 1, "HDEL")
    expect(r.type("h"), b"hash", "TYPE")


@check
def lists(r):
    expect(r.rpush("l", "b", "c"), 2, "RPUSH")
    expect(r.lpush("l", "a"), 3, "LPUSH")
    expect(r.lrange("l", 0, -1), [b"a", b"b", b"c"], "LRANGE")
    expect(r.llen("l"), 3, "LLEN")
    expect(r.lindex("l", -1), b"c", "LINDEX")
    expect(r.lset("l", 1, "B"), True, "LSET")
    expect_error(lambda: r.lset("l", 9, "x"), "out of range")
    expect(r.lpop("l"), b"a", "LPOP")
    expect(r.rpop("l", 5), [b"c", b"B"], "RPOP with a count")
    expect(r.exists("l"), 0, "an empty list is no key")
    r.rpush("l", *"xaxbx")
    expect(r.lrem("l", 2, "x"), 2, "LREM")
    expect(r.ltrim("l", 0, 1), True, "LTRIM")
    expect(r.lrange("l", 0, -1), [b"a", b"b"], "LRANGE after LREM and LTRIM")


@check
def sets(r):
    expect(r.sadd("{t}1", "a", "b", "c"), 3, "SADD")
    expect(r.sadd("{t}2", "b", "c", "d"), 3, "SADD")
    expect(r.scard("{t}1"), 3, "SCARD")
    expect(bool(r.sismember("{t}1", "a")), True, "SISMEMBER")
    expect(r.smembers("{t}1"), {b"a", b"b", b"c"}, "SMEMBERS")
    expect(set(r.sinter("{t}1", "{t}2")), {b"b", b"c"}, "SINTER")
    expect(set(r.sunion("{t}1", "{t}2")), {b"a", b"b", b"c", b"d"}, "SUNION")
    expect(set(r.sdiff("{t}1", "{t}2")), {b"a"}, "SDIFF")
    expect(r.srem("{t}1", "a", "x"), 1, "SREM")
    expect(r.srandmember("{t}1") in (b"b", b"c"), True, "SRANDMEMBER")
    expect(len(r.srandmember("{t}1", -5)), 5, "SRANDMEMBER with repetition")
    expect(set(r.spop("{t}1", 10)), {b"b", b"c"}, "SPOP")
    expect(r.exists("{t}1"), 0, "an empty set is no key")


@check
def sorted_sets(r):
    expect(r.zadd("z", {"a": 1, "b": 2, "c": 3}), 3, "ZADD")
    expect(r.zadd("z", {"a": 9}, nx=True), 0, "ZADD NX")
    expect(r.zadd("z", {"a": 1.5}, xx=True, ch=True), 1, "ZADD XX CH")
    expect(r.zscore("z", "a"), 1.5, "ZSCORE")
    expect(r.zrange("z", 0, -1), [b"a", b"b", b"c"], "ZRANGE")
    pairs = [(m, s) for m, s in r.zrange("z", 0, -1, desc=True, withscores=True)]
    expect(pairs, [(b"c", 3.0), (b"b", 2.0), (b"a", 1.5)], "ZRANGE REV WITHSCORES")
    by_score = r.zrange("z", "(1.5", "+inf", byscore=True, offset=1, num=5)
    expect(by_score, [b"c"], "ZRANGE BYSCORE LIMIT")
    expect(r.zrange("z", "[b", "+", bylex=True), [b"b", b"c"], "ZRANGE BYLEX")
    expect(r.zrank("z", "c"), 2, "ZRANK")
    expect(r.zrank("z", "nope"), None, "ZRANK of an absent member")
    expect(r.zcard("z"), 3, "ZCARD")
    expect(r.zcount("z", 2, "+inf"), 2, "ZCOUNT")
    expect(r.zincrby("z", 10, "a"), 11.5, "ZINCRBY")
    expect([m for m, _ in pairs_of(r.zpopmin("z"))], [b"b"], "ZPOPMIN")
    expect([m for m, _ in pairs_of(r.zpopmax("z"))], [b"a"], "ZPOPMAX")
    expect(r.zrem("z", "c", "x"), 1, "ZREM")
    r.zadd("z:inf", {"lo": "-inf", "hi": "+inf"})
    expect(r.zscore("z:inf", "lo"), float("-inf"), "ZSCORE of -inf")


def pairs_of(reply):
    """ZPOPMIN answers [(member, score)] in RESP2 and, without a count, [member, score] in RESP3."""
    return [tuple(reply)] if reply and not isinstance(reply[0], (list, tuple)) else reply


@check
def wrong_types_and_unknown_commands(r):
    r.set("w", "text")
    expect_error(lambda: r.lpush("w", "x"), "WRONGTYPE")
    expect_error(lambda: r.hget("w", "x"), "WRONGTYPE")
    node = r.get_primaries()[0]
    expect_error(lambda: r.execute_command("NOSUCHCOMMAND", target_nodes=node), "unknown command")
    expect_error(lambda: r.execute_command("GET", target_nodes=node), "wrong number of arguments")
    expect_error(lambda: r.execute_command("SELECT", 1, target_nodes=node), "SELECT is not allowed")


@check
def scans_meet_every_key(r):
    for i in range(500):
        r.set(f"scan:{i}", i)
    wanted = {f"scan:{i}".encode() for i in range(500)}
    expect(set(r.scan_iter(match="scan:*", count=50)), wanted, "SCAN over all primaries")
    expect(set(r.keys("scan:*", target_nodes=RedisCluster.PRIMARIES)), wanted, "KEYS over all primaries")
    expect(set(r.scan_iter(match="scan:*", _type="HASH")), set(), "SCAN TYPE")
    expect(r.randomkey(target_nodes=r.get_primaries()[0]) is not None, True, "RANDOMKEY")


@check
def pipelines_over_all_shards(r):
    with r.pipeline() as pipe:
        for i in range(1000):
            pipe.set(f"pipe:{i}", i)
        expect(pipe.execute(), [True] * 1000, "a pipeline of SET")
    with r.pipeline() as pipe:
        for i in range(1000):
            pipe.get(f"pipe:{i}")
        expect(pipe.execute(), [str(i).encode() for i in range(1000)], "a pipeline of GET")


@check
def the_cluster_describes_itself(r):
    primaries = r.get_primaries()
    node = primaries[0]
    info = r.cluster_info(target_nodes=node)
    expect(info["cluster_state"], "ok", "CLUSTER INFO: cluster_state")
    expect(int(info["cluster_slots_assigned"]), 16384, "CLUSTER INFO: cluster_slots_assigned")
    expect(r.cluster_keyslot("foo"), 12182, "CLUSTER KEYSLOT")
    expect(r.cluster_keyslot("{foo}bar"), 12182, "CLUSTER KEYSLOT of a hash tag")
    nodes = r.cluster_nodes()
    expect(len(nodes), len(r.get_nodes()), "CLUSTER NODES lists what CLUSTER SLOTS led to")
    myid = r.execute_command("CLUSTER MYID", target_nodes=node)
    myid = myid.decode() if isinstance(myid, bytes) else myid
    ids = [details["node_id"] for details in nodes.values()]
    expect(myid in ids, True, f"CLUSTER MYID {myid} is in CLUSTER NODES")
    covered = sum(end - start + 1 for start, end in slot_ranges(r.cluster_slots(target_nodes=node)))
    expect(covered, 16384, "CLUSTER SLOTS covers every slot")
    shards = r.execute_command("CLUSTER SHARDS", target_nodes=node)
    expect(len(shards), len(primaries), "CLUSTER SHARDS has one entry a primary")
    r.set("{foo}count", "x")
    counted = [r.execute_command("CLUSTER COUNTKEYSINSLOT", 12182, target_nodes=n) for n in primaries]
    expect(max(counted) >= 1, True, "CLUSTER COUNTKEYSINSLOT")


def slot_ranges(slots):
    """redis-py gives {(start, end): …}; older versions a list."""
    return [tuple(entry[:2]) for entry in slots]


@check
def connection_and_server_commands(r):
    for node in r.get_nodes():
        expect(r.ping(target_nodes=node), True, f"PING {node.name}")
    node = r.get_primaries()[0]
    expect(r.execute_command("ECHO", "hello", target_nodes=node), b"hello", "ECHO")
    connection = redis.Redis(
        host=node.host,
        port=node.port,
        protocol=r.protocol_under_test,
        single_connection_client=True,
        **r.tls_under_test,
    )
    expect(connection.client_setname("compat"), True, "CLIENT SETNAME")
    expect(text(connection.client_getname()), "compat", "CLIENT GETNAME")
    expect(isinstance(connection.client_id(), int), True, "CLIENT ID")
    expect("compat" in [c["name"] for c in connection.client_list()], True, "CLIENT LIST names us")
    expect(connection.client_info()["name"], "compat", "CLIENT INFO")
    expect(connection.command_count() > 100, True, "COMMAND COUNT")
    expect(text(connection.role()[0]), "master", "ROLE of a primary")
    expect("redis_version" in connection.info("server"), True, "INFO server")
    expect("maxmemory" in connection.config_get("maxmemory"), True, "CONFIG GET")
    expect(connection.wait(0, 100) >= 0, True, "WAIT")
    connection.close()


def text(value):
    return value.decode() if isinstance(value, bytes) else value


@check
def replicas_serve_reads_when_asked(r):
    if not r.get_replicas():
        print("     (no replicas here)")
        return
    r.set("replica:read", "seen")
    host, port = r.get_primaries()[0].host, r.get_primaries()[0].port
    reader = RedisCluster(
        host=host, port=port, read_from_replicas=True, protocol=r.protocol_under_test, **r.tls_under_test
    )
    eventually(lambda: reader.get("replica:read") == b"seen", "a write is read from the replicas")
    reader.close()


@check
def flushall_empties_every_shard(r):
    expect(r.flushall(target_nodes=RedisCluster.PRIMARIES) is not None, True, "FLUSHALL")
    expect(list(r.scan_iter()), [], "SCAN after FLUSHALL")


def main():
    parser = argparse.ArgumentParser(description="checks a cluster through redis-py's RedisCluster")
    parser.add_argument("seed", metavar="HOST:PORT")
    parser.add_argument("--protocol", type=int, choices=(2, 3), default=2)
    parser.add_argument("--tls", metavar="DIR", help="come by TLS, with ca.crt, client.crt and client.key of this folder")
    options = parser.parse_args()
    host, _, port = options.seed.rpartition(":")
    if not host or not port.isdigit():
        parser.error(f"{options.seed!r} is not HOST:PORT")
    tls = tls_files.arguments(options.tls)
    r = RedisCluster(host=host, port=int(port), protocol=options.protocol, **tls)
    r.tls_under_test = tls
    r.protocol_under_test = options.protocol
    r.flushall(target_nodes=RedisCluster.PRIMARIES)
    failed = 0
    for function in CHECKS:
        try:
            function(r)
            print(f"ok   {function.__name__}")
        except Exception:  # noqa: BLE001 - every failure is reported, and the rest still runs
            failed += 1
            print(f"FAIL {function.__name__}")
            traceback.print_exc(limit=3, file=sys.stdout)
    r.close()
    print(f"redis-py {redis.__version__}, RESP{options.protocol}: {len(CHECKS) - failed} of {len(CHECKS)} checks held")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
