#!/usr/bin/env node
// Drives a cluster through ioredis' Cluster, unmodified, and checks every reply.
//
// Usage: ioredis_client.js HOST:PORT [TLS-DIR]
//
// HOST:PORT is any node. The cluster's data is erased first. Exits 0 if every check held, 1 if one did
// not (each failure is printed), 2 on wrong usage. ioredis is found through NODE_PATH.
"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const path = require("node:path");
const { Cluster } = require("ioredis");

const checks = {
  async every_shard_is_written_and_read(c) {
    const keys = Array.from({ length: 1000 }, (_, i) => `spread:${i}`);
    await Promise.all(keys.map(async (key, i) => assert.equal(await c.set(key, i), "OK")));
    const got = await Promise.all(keys.map((key) => c.get(key)));
    assert.deepEqual(got, keys.map((_, i) => String(i)));
    const sizes = await Promise.all(c.nodes("master").map((node) => node.dbsize()));
    assert.equal(sizes.reduce((a, b) => a + b, 0), 1000, "DBSIZE over all primaries");
  },

  async strings_and_counters(c) {
    assert.equal(await c.set("s", "one"), "OK");
    assert.equal(await c.set("s", "two", "NX"), null);
    assert.equal(await c.set("s", "two", "GET"), "one");
    assert.equal(await c.append("s", "!"), 4);
    assert.equal(await c.strlen("s"), 4);
    assert.equal(await c.getrange("s", 0, 1), "tw");
    assert.equal(await c.setrange("s", 3, "?"), 4);
    assert.equal(await c.getset("s", "x"), "two?");
    assert.equal(await c.getdel("s"), "x");
    const binary = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
    await c.set("s:binary", binary);
    assert.deepEqual(await c.getBuffer("s:binary"), binary);
    assert.equal(await c.incr("n"), 1);
    assert.equal(await c.incrby("n", 9), 10);
    assert.equal(await c.decrby("n", 20), -10);
    assert.equal(await c.incrbyfloat("n", 0.5), "-9.5");
    await assert.rejects(c.incr("n"), /not an integer/);
  },

  async several_keys_of_one_slot(c) {
    assert.equal(await c.mset("{m}a", "1", "{m}b", "2"), "OK");
    assert.deepEqual(await c.mget("{m}a", "{m}b", "{m}c"), ["1", "2", null]);
    assert.equal(await c.exists("{m}a", "{m}b", "{m}a"), 3);
    assert.equal(await c.rename("{m}a", "{m}z"), "OK");
    assert.equal(await c.unlink("{m}z", "{m}b"), 2);
  },

  async keys_of_different_slots_are_refused(c) {
    await assert.rejects(c.mget("cross:a", "cross:b", "cross:c"), /CROSSSLOT/);
  },

  async expiry(c) {
    await c.set("e", "x", "EX", 100);
    const ttl = await c.pttl("e");
    assert.ok(ttl > 90_000 && ttl <= 100_000, `PTTL is ${ttl}`);
    assert.equal(await c.persist("e"), 1);
    assert.equal(await c.ttl("e"), -1);
    assert.equal(await c.ttl("e:absent"), -2);
    assert.equal(await c.pexpire("e", 50), 1);
    await eventually(async () => (await c.get("e")) === null, "a key of 50 ms expires");
  },

  async hashes(c) {
    assert.equal(await c.hset("h", { a: "1", b: "2" }), 2);
    assert.deepEqual(await c.hgetall("h"), { a: "1", b: "2" });
    assert.deepEqual(await c.hmget("h", "a", "x"), ["1", null]);
    assert.equal(await c.hincrby("h", "a", 4), 5);
    assert.equal(await c.hlen("h"), 2);
    assert.equal(await c.hexists("h", "x"), 0);
    assert.equal(await c.hdel("h", "a", "b"), 2);
    assert.equal(await c.exists("h"), 0);
  },

  async lists(c) {
    assert.equal(await c.rpush("l", "a", "b", "c"), 3);
    assert.equal(await c.lpush("l", "z"), 4);
    assert.deepEqual(await c.lrange("l", 0, -1), ["z", "a", "b", "c"]);
    assert.equal(await c.lindex("l", -1), "c");
    assert.equal(await c.lset("l", 0, "y"), "OK");
    assert.equal(await c.lrem("l", 0, "b"), 1);
    assert.equal(await c.ltrim("l", 0, 1), "OK");
    assert.equal(await c.lpop("l"), "y");
    assert.equal(await c.rpop("l"), "a");
    assert.equal(await c.llen("l"), 0);
  },

  async sets(c) {
    await c.sadd("{t}1", "a", "b", "c");
    await c.sadd("{t}2", "b", "c", "d");
    assert.deepEqual((await c.sinter("{t}1", "{t}2")).sort(), ["b", "c"]);
    assert.deepEqual((await c.sunion("{t}1", "{t}2")).sort(), ["a", "b", "c", "d"]);
    assert.deepEqual(await c.sdiff("{t}1", "{t}2"), ["a"]);
    assert.equal(await c.sismember("{t}1", "a"), 1);
    assert.equal(await c.srem("{t}1", "a"), 1);
    assert.equal(await c.scard("{t}1"), 2);
    assert.equal((await c.spop("{t}1", 5)).length, 2);
  },

  async sorted_sets(c) {
    assert.equal(await c.zadd("z", 1, "a", 2, "b", 3, "c"), 3);
    assert.deepEqual(await c.zrange("z", 0, -1, "WITHSCORES"), ["a", "1", "b", "2", "c", "3"]);
    assert.deepEqual(await c.zrange("z", "+inf", "(1", "BYSCORE", "REV", "LIMIT", 0, 1), ["c"]);
    assert.equal(await c.zscore("z", "b"), "2");
    assert.equal(await c.zincrby("z", 0.5, "b"), "2.5");
    assert.equal(await c.zrank("z", "c"), 2);
    assert.equal(await c.zcount("z", 2, "+inf"), 2);
    assert.deepEqual(await c.zpopmin("z"), ["a", "1"]);
    assert.deepEqual(await c.zpopmax("z"), ["c", "3"]);
    assert.equal(await c.zrem("z", "b"), 1);
  },

  async errors_reach_the_caller(c) {
    await c.set("w", "text");
    await assert.rejects(c.lpush("w", "x"), /^ReplyError: WRONGTYPE/);
    await assert.rejects(c.nodes("master")[0].call("NOSUCHCOMMAND"), /unknown command/);
  },

  async a_pipeline_of_one_slot(c) {
    const pipeline = c.pipeline();
    for (let i = 0; i < 500; i++) pipeline.set(`{p}${i}`, i).get(`{p}${i}`);
    const replies = await pipeline.exec();
    replies.forEach(([error, reply], i) => {
      assert.equal(error, null);
      assert.equal(reply, i % 2 === 0 ? "OK" : String((i - 1) / 2));
    });
  },

  async scans_meet_every_key(c) {
    await Promise.all(Array.from({ length: 500 }, (_, i) => c.set(`scan:${i}`, i)));
    const found = new Set();
    for (const node of c.nodes("master")) {
      for await (const keys of node.scanStream({ match: "scan:*", count: 50 })) keys.forEach((key) => found.add(key));
    }
    assert.equal(found.size, 500);
  },

  async the_cluster_describes_itself(c) {
    const info = await c.cluster("INFO");
    assert.match(info, /cluster_state:ok/);
    const slots = await c.cluster("SLOTS");
    assert.equal(slots.reduce((sum, [start, end]) => sum + end - start + 1, 0), 16384);
    assert.equal(await c.cluster("KEYSLOT", "foo"), 12182);
    const lines = (await c.cluster("NODES")).trim().split("\n");
    assert.equal(lines.filter((line) => line.includes("myself")).length, 1);
  },

  async replicas_serve_reads_when_asked(c, seed) {
    if (c.nodes("slave").length === 0) return;
    await c.set("replica:read", "seen");
    const reader = connect(seed, { scaleReads: "slave" });
    try {
      await eventually(async () => (await reader.get("replica:read")) === "seen", "a write is read from a replica");
    } finally {
      reader.disconnect();
    }
  },

  async flushall_empties_every_shard(c) {
    await Promise.all(c.nodes("master").map((node) => node.flushall()));
    const sizes = await Promise.all(c.nodes("master").map((node) => node.dbsize()));
    assert.ok(sizes.every((size) => size === 0));
  },
};

// Waits for a level, not for a time: expiry and replication take their own.
async function eventually(condition, what, boundMs = 10_000) {
  const deadline = Date.now() + boundMs;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `${what}: did not hold within ${boundMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// With a folder: ca.crt, client.crt and client.key of it.
function tls(folder) {
  if (folder === undefined) return {};
  const file = (name) => fs.readFileSync(path.join(folder, name));
  return { redisOptions: { tls: { ca: file("ca.crt"), cert: file("client.crt"), key: file("client.key") } } };
}

function connect(seed, options = {}) {
  const cluster = new Cluster([seed], { ...tls(process.argv[3]), ...options });
  cluster.on("error", (error) => console.log(`     cluster error: ${error.message}`));
  return cluster;
}

async function main() {
  const match = /^(.+):(\d+)$/.exec(process.argv[2] ?? "");
  if (!match || process.argv.length > 4) {
    console.error("usage: ioredis_client.js HOST:PORT [TLS-DIR]");
    return 2;
  }
  const seed = { host: match[1], port: Number(match[2]) };
  const cluster = connect(seed);
  // ioredis lists its nodes once it is connected.
  await cluster.ping();
  await Promise.all(cluster.nodes("master").map((node) => node.flushall()));
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check(cluster, seed);
      console.log(`ok   ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${name}\n${error.stack}`);
    }
  }
  cluster.disconnect();
  const count = Object.keys(checks).length;
  console.log(`ioredis ${require("ioredis/package.json").version}: ${count - failed} of ${count} checks held`);
  return failed === 0 ? 0 : 1;
}

main().then(
  (code) => process.exit(code),
  (error) => {
    console.error(`FAIL ${error.stack}`);
    process.exit(1);
  },
);
