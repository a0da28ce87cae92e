#!/usr/bin/env node
// valkey-glide's cluster client: the same as node_redis.js, through a library of Rust.
//
// Usage: glide.js HOST:PORT
"use strict";
const { ClusterBatch, GlideClusterClient, Logger, Script } = require("@valkey/valkey-glide");
const { Program } = require("./program");
const { workload } = require("./workload");

const program = new Program("valkey-glide", "@valkey/valkey-glide");

async function main() {
  // What it warns of goes to stdout, where one JSON object is expected.
  Logger.init("error");
  // 250 ms unless it is set: enough for a roll of a machine that has time, and not for one that compiles beside it.
  const addresses = [{ host: program.host, port: program.port }];
  const client = await GlideClusterClient.createClient({ addresses, requestTimeout: 2000 });
  const scripts = new Map();
  const call = {
    incr: (key) => client.incr(key),
    set: (key, value) => client.set(key, value),
    get: (key) => client.get(key),
    push: (key, value) => client.rpush(key, [value]),
    pop: (key) => client.lpop(key),
    evalIncr: (text, key) => {
      if (!scripts.has(text)) scripts.set(text, new Script(text));
      return client.invokeScript(scripts.get(text), { keys: [key] });
    },
    multiIncrTwice: (key) => client.exec(new ClusterBatch(true).incr(key).incr(key), true),
    append: (key, value) => client.xadd(key, [["value", value]]),
    length: (key) => client.xlen(key),
  };
  program.begun();
  await workload(program, call);
  client.close();
  program.end();
}

main();
