#!/usr/bin/env node
// node-redis' cluster client: counters, transactions, scripts, lists and streams in every shard.
//
// Usage: node_redis.js HOST:PORT
//
// Each worker is the only one who writes its keys, so it knows every reply: a counter says one more, a list is as long as it was
// made. What was lost, or done twice by a retry, shows in the next reply.
"use strict";
const { createCluster } = require("redis");
const { Program } = require("./program");
const { workload } = require("./workload");

const program = new Program("node-redis", "redis");

async function main() {
  const client = createCluster({ rootNodes: [{ url: `redis://${program.host}:${program.port}` }] });
  client.on("error", (error) => program.error("client", error));
  await client.connect();
  const call = {
    incr: (key) => client.incr(key),
    set: (key, value) => client.set(key, value),
    get: (key) => client.get(key),
    push: (key, value) => client.rPush(key, value),
    pop: (key) => client.lPop(key),
    evalIncr: (script, key) => client.eval(script, { keys: [key], arguments: [] }),
    multiIncrTwice: (key) => client.multi().incr(key).incr(key).exec(),
    append: (key, value) => client.xAdd(key, "*", { value }),
    length: (key) => client.xLen(key),
  };
  program.begun();
  await workload(program, call);
  client.destroy();
  program.end();
}

main();
