#!/usr/bin/env node
// Queues whose consumers wait in BLPOP, through ioredis' Cluster: each job arrives once, and no call rejects.
//
// Usage: ioredis_queue.js HOST:PORT [TLS-DIR]
//
// Pushes until SIGTERM, then ends the consumers and prints one JSON object, as redis_py_queue.py does. Exits 0 if every job
// came once and no call rejected, 1 otherwise. ioredis is found through NODE_PATH.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const { Cluster } = require("ioredis");

const [address, tlsDir] = process.argv.slice(2);
const at = (address || "").lastIndexOf(":");
if (at < 1) {
  console.error("usage: ioredis_queue.js HOST:PORT [TLS-DIR]");
  process.exit(2);
}
const file = (name) => fs.readFileSync(path.join(tlsDir, name));
const tls = tlsDir && { ca: file("ca.crt"), cert: file("client.crt"), key: file("client.key") };

const clients = [];
function connect() {
  const options = tls ? { redisOptions: { tls } } : {};
  const client = new Cluster([{ host: address.slice(0, at), port: Number(address.slice(at + 1)) }], options);
  client.on("error", () => {});
  clients.push(client);
  return client;
}

const QUEUES = Array.from({ length: 6 }, (_, i) => `queue:js:${i}`);
const pushed = new Set();
const received = [];
const errors = [];
let stopped = false;
process.on("SIGTERM", () => (stopped = true));
process.on("SIGINT", () => (stopped = true));

async function consume(queue, timeoutS) {
  // Of its own: who waits in one connection holds up nobody else's.
  const client = connect();
  for (;;) {
    let got;
    try {
      got = await client.blpop(queue, timeoutS);
    } catch (error) {
      errors.push(`BLPOP ${queue}: ${error.message}`);
      if (errors.length > 100) return;
      continue;
    }
    if (got === null) {
      if (timeoutS === 0) errors.push(`BLPOP ${queue} 0: answered that there is nothing`);
      continue;
    }
    if (got[1] === "end") return;
    received.push(got[1]);
  }
}

async function main() {
  const consumers = QUEUES.flatMap((queue) => [consume(queue, 0), consume(queue, 1)]);
  const pusher = connect();
  console.error("writing");
  for (let number = 0; !stopped; number++) {
    const job = String(number);
    try {
      await pusher.rpush(QUEUES[number % QUEUES.length], job);
      pushed.add(job);
    } catch (error) {
      errors.push(`RPUSH: ${error.message}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  for (const queue of QUEUES) await pusher.rpush(queue, "end", "end");
  await Promise.all(consumers);
  const came = new Set(received);
  const lost = [...pushed].filter((job) => !came.has(job));
  const twice = received.length - came.size;
  const samples = { lost: lost.slice(0, 5), errors: errors.slice(0, 5) };
  const counts = { pushed: pushed.size, received: received.length, lost: lost.length, twice, errors: errors.length };
  console.log(JSON.stringify({ client: `ioredis ${require("ioredis/package.json").version}`, ...counts, samples }));
  clients.forEach((client) => client.disconnect());
  process.exit(lost.length || twice || errors.length || !pushed.size ? 1 : 0);
}

main();
