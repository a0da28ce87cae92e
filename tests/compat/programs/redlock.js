#!/usr/bin/env node
// redlock over ioredis' Cluster: locks by scripts, of which no two holders have one at a time.
//
// Usage: redlock.js HOST:PORT
//
// Contenders of three locks, each in a shard of its own, each with a client of its own: a lock is taken, held a moment, extended
// and given back. Who holds it is noted in this process, so that a second holder is seen.
"use strict";
const { Cluster } = require("ioredis");
const Redlock = require("redlock");
const { Program, pause } = require("./program");

const LOCKS = ["lock:0", "lock:1", "lock:2"];
const CONTENDERS = 3;
// Longer than any wait of the cluster's: a lock does not run out here, so that two holders are always wrong.
const LOCK_MS = 60_000;

const program = new Program("redlock", "redlock");
const holders = new Map(LOCKS.map((lock) => [lock, null]));

async function contend(lock, name, client) {
  // Contention is not an error: it is tried again until it is one's turn.
  const redlock = new Redlock([client], { retryCount: -1, retryDelay: 10, retryJitter: 10 });
  redlock.on("clientError", (error) => program.error(`clientError of ${name}`, error));
  await program.whileRunning(`lock ${lock}`, 5, async () => {
    const held = await redlock.lock(lock, LOCK_MS);
    if (holders.get(lock) !== null) program.violation(`${lock} is held by ${holders.get(lock)} and by ${name}`);
    holders.set(lock, name);
    await pause(5);
    const longer = await held.extend(LOCK_MS);
    if (holders.get(lock) !== name) program.violation(`${lock} of ${name} is held by ${holders.get(lock)}`);
    holders.set(lock, null);
    await longer.unlock();
    program.operations += 3;
  });
}

async function main() {
  const contenders = LOCKS.flatMap((lock) => Array.from({ length: CONTENDERS }, (_, i) => [lock, `${lock}/${i}`]));
  const clients = contenders.map(() => new Cluster([{ host: program.host, port: program.port }]));
  clients.forEach((client) => client.on("error", (error) => program.error("client", error)));
  await clients[0].del(LOCKS[0]);
  program.begun();
  await Promise.all(contenders.map(([lock, name], i) => contend(lock, name, clients[i])));
  clients.forEach((client) => client.disconnect());
  program.end({ locks: LOCKS.length, contenders: contenders.length });
}

main();
