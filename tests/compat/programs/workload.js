// What node_redis.js and glide.js do: the only writer of a few keys in every shard, who knows every reply.
"use strict";

const WORKERS = 8;
const SCRIPT = "return redis.call('INCR', KEYS[1])";

async function workload(program, call) {
  const worker = async (name) => {
    const key = (what) => `${program.name}:{${name}}:${what}`;
    // What each key holds, by the last reply; after an error it is not known what was done, and the next reply says.
    const held = { counter: 0, twice: 0, script: 0, stream: 0 };
    const told = (what, got, step) => {
      if (held[what] !== null && got !== held[what] + step) program.violation(`${key(what)}: ${got} after ${held[what]}`);
      held[what] = got;
      program.operations += 1;
    };
    const known = async (what, asked) => {
      const before = held[what];
      held[what] = null;
      const got = await asked();
      held[what] = before;
      return got;
    };
    await program.whileRunning(`worker ${name}`, 5, async (number) => {
      told("counter", await known("counter", () => call.incr(key("counter"))), 1);
      told("script", await known("script", () => call.evalIncr(SCRIPT, key("script"))), 1);
      const twice = await known("twice", () => call.multiIncrTwice(key("twice")));
      if (twice[1] !== twice[0] + 1) program.violation(`${key("twice")}: a transaction says ${twice}`);
      told("twice", twice[1], 2);
      await known("stream", () => call.append(key("stream"), String(number)));
      told("stream", await known("stream", () => call.length(key("stream"))), 1);
      await call.set(key("string"), String(number));
      const got = await call.get(key("string"));
      if (got !== String(number)) program.violation(`${key("string")}: ${got} after ${number} was set`);
      // After an error another list: the old one may hold what was pushed and not popped.
      const list = key(`list:${program.errors.length + program.cutOff}`);
      await call.push(list, String(number));
      const popped = await call.pop(list);
      if (popped !== String(number)) program.violation(`${list}: ${popped} after ${number} was pushed`);
      program.operations += 5;
    });
  };
  await Promise.all(Array.from({ length: WORKERS }, (_, i) => worker(`w${i}`)));
}

module.exports = { workload };
