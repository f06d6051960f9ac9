#!/usr/bin/env node
import process from "node:process";

// No syntax or import here is newer than ES modules themselves: an old Node must get as far as to say which one is needed.
const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  const command = ["npx kappa", ...process.argv.slice(2)].join(" ");
  process.stderr.write(`kappa needs Node 24, this is v${process.versions.node}: run ${command}\n`);
  process.exitCode = 2;
} else {
  void import("./process.ts").then((module) => module.runProcess());
}
