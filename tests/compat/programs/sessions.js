#!/usr/bin/env node
// Sessions of express-session in connect-redis, over node-redis' cluster client, behind a web server.
//
// Usage: sessions.js HOST:PORT
//
// Visitors come back over and over with their cookie. A session counts its visits, so each visitor is told one more than the last
// time: a session that is lost begins at 1, and a visit that is lost or counted twice shows in the next.
"use strict";
const express = require("express");
const session = require("express-session");
const { RedisStore } = require("connect-redis");
const { createCluster } = require("redis");
const { Program, version } = require("./program");

const VISITORS = 12;

const program = new Program("connect-redis", "connect-redis");

function serve(client) {
  const app = express();
  app.use(session({ store: new RedisStore({ client }), secret: "compat", resave: false, saveUninitialized: false }));
  app.get("/", (request, response) => {
    request.session.visits = (request.session.visits ?? 0) + 1;
    response.json({ visits: request.session.visits });
  });
  app.use((error, _request, response, _next) => {
    program.error("request", error);
    if (!response.headersSent) response.status(error.message === "Disconnects client" ? 503 : 500).end();
  });
  return new Promise((resolve) => {
    const server = app.listen(0, "127.0.0.1", () => resolve(server));
  });
}

async function visit(url) {
  let cookie;
  let visits = 0;
  let doubtSince = 0;
  await program.whileRunning("visit", 20, async () => {
    const response = await fetch(url, { headers: cookie ? { cookie } : {} });
    // Cut off before anything was changed, or after: the next visit says.
    if (response.status === 503) return;
    if (response.status !== 200) throw new Error(`answered ${response.status}`);
    const told = (await response.json()).visits;
    // Whoever's call was cut off, perhaps this session was not written, or was and the answer did not come.
    const doubts = program.cutOff - doubtSince;
    const doubted = doubts > 0 && told >= Math.max(visits, 1) && told <= visits + 1 + doubts;
    doubtSince = program.cutOff;
    if (told !== visits + 1 && !doubted) program.violation(`a visit after ${visits} is told to be number ${told}`);
    visits = told;
    cookie ??= response.headers.get("set-cookie").split(";")[0];
    program.operations += 1;
  });
  return visits;
}

async function main() {
  const client = createCluster({ rootNodes: [{ url: `redis://${program.host}:${program.port}` }] });
  client.on("error", (error) => program.error("client", error));
  await client.connect();
  const server = await serve(client);
  program.begun();
  const url = `http://127.0.0.1:${server.address().port}/`;
  const visits = await Promise.all(Array.from({ length: VISITORS }, () => visit(url)));
  server.close();
  client.destroy();
  program.end({ visitors: VISITORS, fewest_visits: Math.min(...visits), client: `node-redis ${version("redis")}` });
}

main();
