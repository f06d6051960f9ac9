#!/usr/bin/env node
// The command of a checkout and of the package. A checkout runs its sources, so that nothing need be built; the package
// has none and runs what was built. Plain JavaScript, since an old Node must get as far as to say which one is needed.
import { existsSync } from "node:fs";
import process from "node:process";

const major = Number(process.versions.node.split(".")[0]);
if (major < 24) {
  const command = ["npx kappa", ...process.argv.slice(2)].join(" ");
  process.stderr.write(`kappa needs Node 24, this is v${process.versions.node}: run ${command}\n`);
  process.exitCode = 2;
} else {
  const sources = new URL("../src/cli/main.ts", import.meta.url);
  await import(existsSync(sources) ? sources.href : new URL("../dist/src/cli/main.js", import.meta.url).href);
}
