#!/usr/bin/env node
// BullMQ over ioredis' Cluster: queues by scripts, streams and blocking reads.
//
// Usage: bullmq.js HOST:PORT
//
// Adds jobs until SIGTERM: most at once, some delayed, some that fail at their first attempt and are tried again. Then every
// job has to have completed once, after as many attempts as it was to take, and none may have stalled.
"use strict";
const { Cluster } = require("ioredis");
const { Queue, Worker } = require("bullmq");
const { Program, pause } = require("./program");

// Each prefix is a hash tag, as BullMQ asks for with a cluster: all keys of its queue are in one slot, and these in three shards.
const PREFIXES = ["{bull:0}", "{bull:1}", "{bull:2}", "{bull:3}", "{bull:4}", "{bull:5}"];
const DELAY_MS = 400;
// What is left to be done when the adding ends takes its delay, and little more.
const REST_MS_MAX = 30_000;

const program = new Program("bullmq", "bullmq");
const clients = [];

function connect() {
  // A worker waits for ever in its blocking read, and BullMQ asks for this then.
  const client = new Cluster([{ host: program.host, port: program.port }], { redisOptions: { maxRetriesPerRequest: null } });
  clients.push(client);
  return client;
}

// By job: how often it was begun, and how often it was told to be complete.
const jobs = new Map();

async function work(job) {
  const known = jobs.get(job.data.id);
  if (!known) {
    program.violation(`job ${job.data.id} was not added`);
    return;
  }
  known.begun += 1;
  if (job.data.kind === "retried" && known.begun === 1) throw new Error("the first attempt fails");
  if (job.data.kind === "delayed" && Date.now() < known.addedAt + DELAY_MS) program.violation(`job ${job.data.id} came early`);
  return known.id;
}

function queueOf(prefix) {
  const queue = new Queue("compat", { connection: connect(), prefix });
  queue.on("error", (error) => program.error(`queue ${prefix}`, error));
  const worker = new Worker("compat", work, { connection: connect(), prefix, concurrency: 4 });
  worker.on("error", (error) => program.error(`worker ${prefix}`, error));
  worker.on("stalled", (id) => program.violation(`job ${id} of ${prefix} stalled`));
  worker.on("completed", (job) => {
    jobs.get(job.data.id).completed += 1;
    program.operations += 1;
  });
  worker.on("failed", (job, error) => {
    if (job?.data.kind !== "retried" || job.attemptsMade !== 1) program.error(`job ${job?.data.id} failed`, error);
  });
  return { queue, worker };
}

async function add(queue, id) {
  const kind = id % 10 === 3 ? "delayed" : id % 10 === 7 ? "retried" : "plain";
  jobs.set(id, { id, kind, begun: 0, completed: 0, addedAt: Date.now() });
  const options = {
    plain: {},
    delayed: { delay: DELAY_MS },
    retried: { attempts: 3, backoff: { type: "fixed", delay: 100 } },
  };
  await queue.add("job", { id, kind }, options[kind]);
}

async function main() {
  const queues = PREFIXES.map(queueOf);
  await Promise.all(queues.flatMap(({ queue, worker }) => [queue.waitUntilReady(), worker.waitUntilReady()]));
  program.begun();
  await program.whileRunning("add", 10, (id) => add(queues[id % queues.length].queue, id));
  const until = Date.now() + REST_MS_MAX;
  while ([...jobs.values()].some((job) => !job.completed) && Date.now() < until) await pause(20);
  for (const { id, kind, begun, completed } of jobs.values()) {
    if (completed !== 1) program.violation(`job ${id}, ${kind}, completed ${completed} times`);
    if (begun !== (kind === "retried" ? 2 : 1)) program.violation(`job ${id}, ${kind}, was begun ${begun} times`);
  }
  const left = { completed: 0, failed: 0, waiting: 0, active: 0, delayed: 0 };
  for (const { queue } of queues) {
    const counts = await queue.getJobCounts(...Object.keys(left));
    for (const state of Object.keys(left)) left[state] += counts[state];
  }
  if (left.completed !== jobs.size || left.failed + left.waiting + left.active + left.delayed) {
    program.violation(`${jobs.size} jobs were added, and the queues say ${JSON.stringify(left)}`);
  }
  for (const { queue, worker } of queues) await Promise.all([worker.close(), queue.close()]);
  clients.forEach((client) => client.disconnect());
  const kinds = {};
  for (const { kind } of jobs.values()) kinds[kind] = (kinds[kind] ?? 0) + 1;
  program.end({ added: jobs.size, ...kinds });
}

main();
