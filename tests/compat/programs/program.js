// What the programs of this folder share: where the cluster is, what they count, and when they end.
//
// A program runs until SIGTERM, then prints one JSON object on stdout and exits 0 if it did something and everything held:
//
//     {"program": …, "operations": …, "errors": …, "violations": …, …, "samples": {…}}
//
// errors      what the program's library showed to the application: a rejected call, an `error` event
// cut_off     calls that node-redis itself rejects ("Disconnects client"): once one command is answered MOVED it asks for the map
//             anew, and closes its connection to every node that is no primary any more, with what others have under way there.
//             It does so at each change of a primary, whoever serves; an application has to ask again
// violations  what the program promises and did not keep: a job that came twice, a lock held by two
"use strict";
const fs = require("node:fs");
const path = require("node:path");

// Enough to find a cause, few enough to read.
const SAMPLES_MAX = 5;

class Program {
  constructor(name, library) {
    const match = /^(.+):(\d+)$/.exec(process.argv[2] ?? "");
    if (!match || process.argv.length > 3) {
      console.error(`usage: ${name} HOST:PORT`);
      process.exit(2);
    }
    this.name = `${name} ${version(library)}`;
    this.host = match[1];
    this.port = Number(match[2]);
    this.operations = 0;
    this.errors = [];
    this.cutOff = 0;
    this.violations = [];
    this.stopped = false;
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => (this.stopped = true));
  }

  error(what, error) {
    if (error?.message === "Disconnects client") {
      this.cutOff += 1;
      return;
    }
    this.errors.push(`${what}: ${error?.stack?.split("\n", 2).join(" ") ?? error}`);
  }

  violation(what) {
    this.violations.push(what);
  }

  // Whoever starts a program in the background waits for the line.
  begun() {
    console.error("writing");
  }

  // `turn` over and over; what it throws is an error of the library's.
  async whileRunning(what, pauseMs, turn) {
    for (let number = 0; !this.stopped; number++) {
      try {
        await turn(number);
      } catch (error) {
        this.error(what, error);
      }
      await pause(pauseMs);
    }
  }

  end(more = {}) {
    const { operations, errors, violations } = this;
    const samples = { errors: errors.slice(0, SAMPLES_MAX), violations: violations.slice(0, SAMPLES_MAX) };
    const counts = { operations, errors: errors.length, violations: violations.length };
    if (this.cutOff) counts.cut_off = this.cutOff;
    console.log(JSON.stringify({ program: this.name, ...counts, ...more, samples }));
    process.exit(errors.length || violations.length || !operations ? 1 : 0);
  }
}

// Not by `require`: some packages do not export their package.json.
function version(library) {
  const files = require.resolve.paths(library).map((folder) => path.join(folder, library, "package.json"));
  return JSON.parse(fs.readFileSync(files.find((file) => fs.existsSync(file)), "utf8")).version;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

module.exports = { Program, pause, version };
