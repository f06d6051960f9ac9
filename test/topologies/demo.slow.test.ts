import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "kappa-demo-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `kappa demo` in a process of its own; `watch` sees what it prints, line by line. */
function demo(
  dataDir: string,
  flags: string,
  watch: (line: string, child: ChildProcess) => void = () => {},
): Promise<Ended> {
  const args = [
    "src/cli/main.ts",
    "demo",
    "--http-port",
    "0",
    "--data-dir",
    join(folder, dataDir),
    ...flags.split(" "),
  ];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    for (const line of text.split("\n")) watch(line, child);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject).on("close", (code) => resolve({ code, out, err }));
  });
}

const number = (text: string | undefined): number => Number((text ?? "").replaceAll(",", ""));

/** What the last line says, checked against itself: sent = decided + dead, nothing lost, nothing twice. */
function assertNothingLost({ out, err, code }: Ended): number {
  const account =
    /([\d,]+) transactions sent.* holds ([\d,]+) decided, ([\d,]+) dead, ([\d,]+) lost, ([\d,]+) decided twice/.exec(
      out,
    );
  assert.ok(account !== null, `${out}\n${err}`);
  const [sent, decided, dead, lost, twice] = account.slice(1).map(number);
  assert.deepEqual(
    { code, all: decided === sent, dead, lost, twice },
    { code: 0, all: true, dead: 0, lost: 0, twice: 0 },
    `${out}\n${err}`,
  );
  return sent ?? 0;
}

test("the demo streams, is attacked, is wiped and restored, and has lost nothing", async () => {
  const ended = await demo("whole", "--seconds 8 --rate 200");
  assert.ok(assertNothingLost(ended) > 5000, ended.out);
  assert.match(ended.out, /attack: stolen cards are being tried/);
  assert.match(ended.out, /restored from the log in [\d.]+ s; windows of 50 customers compared, 0 differ/);
  const [, before, after] = /([\d,]+) decisions before, ([\d,]+) after, 0 lost, 0 doubled/.exec(ended.out) ?? [];
  assert.ok(number(before) > 0 && number(after) > number(before), ended.out);
  assert.equal(ended.err.match(/^next: npx kappa /gm)?.length, 3, ended.err);
});

test("the first durable decision is there within 30 seconds of a cold start", async () => {
  const ended = await demo("first", "--until-first-decision");
  assertNothingLost(ended);
  const [, seconds] = /first durable decision ([\d.]+) s after the start of the process/.exec(ended.out) ?? [];
  assert.ok(Number(seconds) < 30, ended.out);
});

test("Ctrl-C drains: what was sent is decided, and the exit code is 0", async () => {
  const ended = await demo("interrupted", "--seconds 9", (line, child) => {
    if (line.includes("now live")) setTimeout(() => child.kill("SIGINT"), 300);
  });
  assertNothingLost(ended);
  assert.doesNotMatch(ended.out, /wiped/);
});

test("a folder that holds something is left alone", async () => {
  writeFileSync(join(folder, "precious"), "");
  const ended = await demo(".", "--seconds 1");
  assert.equal(ended.code, 2);
  assert.match(ended.err, /is not empty; name a new folder/);
});
