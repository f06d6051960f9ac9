import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, test } from "vitest";

// Goal: the last line of `.ci/run` counts what really ran, and failure is never green. Method: the real script and the
// real reporter in a small project of their own, with an `npm` that installs nothing and runs the given `npm test`.

let project = "";

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), "kappa-ci-"));
  mkdirSync(join(project, ".ci"));
  mkdirSync(join(project, "bin"));
  copyFileSync(".ci/run", join(project, ".ci/run"));
  copyFileSync("test/count-reporter.ts", join(project, "count-reporter.ts"));
  symlinkSync(resolve("node_modules"), join(project, "node_modules"));
  write(
    "vitest.config.ts",
    `import { CountReporter } from "./count-reporter.ts";
     export default { test: { reporters: ["default", new CountReporter()] } };`,
  );
});

afterEach(() => {
  rmSync(project, { recursive: true });
});

function write(file: string, text: string): void {
  writeFileSync(join(project, file), text);
}

/** @param steps what `npm test` does, as shell */
function run(steps: string, install = "exit 0"): { status: number | null; last: string; output: string } {
  write("bin/npm", `#!/bin/sh\nif [ "$1" = ci ]; then ${install}; fi\n${steps}\n`);
  chmodSync(join(project, "bin/npm"), 0o755);
  const path = `${join(project, "bin")}:${resolve("node_modules/.bin")}:${process.env.PATH}`;
  const { status, stdout } = spawnSync(join(project, ".ci/run"), {
    env: { PATH: path, HOME: process.env.HOME },
    encoding: "utf8",
  });
  return { status, last: stdout.trimEnd().split("\n").at(-1) ?? "", output: stdout };
}

const passing = `import { test } from "vitest"; test("a", () => {}); test("b", () => {}); test.skip("c", () => {});`;
const failing = `import { test } from "vitest"; test("d", () => {}); test("e", () => { throw new Error("no"); });`;

test("what passed is counted, over several runs; what was skipped is not", () => {
  write("one.test.ts", passing);
  const { status, last, output } = run("vitest run && vitest run");
  assert.deepEqual([last, status], ["4 passed, 0 failed", 0], output);
});

test("a failing test is counted and the run fails", () => {
  write("one.test.ts", passing);
  write("two.test.ts", failing);
  const { status, last, output } = run("vitest run");
  assert.deepEqual([last, status], ["3 passed, 1 failed", 1], output);
});

test("a file that cannot be loaded is a failure, not an absence", () => {
  write("one.test.ts", passing);
  write("two.test.ts", `import "./missing.ts";`);
  const { status, last, output } = run("vitest run");
  assert.deepEqual([last, status], ["2 passed, 1 failed", 1], output);
});

test("an error outside every test is a failure", () => {
  write(
    "one.test.ts",
    `${passing}\nsetTimeout(() => { throw new Error("astray"); }, 0);\ntest("w", () => new Promise((r) => setTimeout(r, 50)));`,
  );
  const { status, last, output } = run("vitest run");
  assert.deepEqual([last, status], ["3 passed, 1 failed", 1], output);
});

test("a failing setup hook is a failure", () => {
  write(
    "one.test.ts",
    `import { beforeAll, describe, test } from "vitest"; describe("s", () => { beforeAll(() => { throw new Error("no"); }); test("a", () => {}); });`,
  );
  const { status, last, output } = run("vitest run");
  assert.deepEqual([last, status], ["0 passed, 1 failed", 1], output);
});

test("a failing step that is no test counts as one failure; what passed before it stays", () => {
  write("one.test.ts", passing);
  assert.deepEqual(run("exit 3").last, "0 passed, 1 failed");
  const { status, last } = run("vitest run && exit 3");
  assert.deepEqual([last, status], ["2 passed, 1 failed", 3]);
});

test("a failing install, or a run of no tests, is not green", () => {
  const noInstall = run("exit 0", "exit 7");
  assert.deepEqual([noInstall.last, noInstall.status], ["0 passed, 1 failed", 7]);
  const noTests = run("exit 0");
  assert.deepEqual([noTests.last, noTests.status], ["0 passed, 1 failed", 1]);
});
