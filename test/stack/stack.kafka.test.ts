import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { freePort } from "../../scripts/stack/free-port.ts";
import { KafkaSession } from "./kafka-session.ts";

// Goal: what a person starts with `npm run stack` tells how to reach it, and leaves nothing running, however it ends.
// Method: the real script as a child; its services are the processes that run in its data folder.

interface StackRun {
  readonly child: ChildProcess;
  readonly dataDir: string;
  /** What it has written so far. */
  readonly said: { out: string; err: string };
  readonly exit: Promise<number | null>;
}

async function runStack(args: readonly string[], environment: Record<string, string> = {}): Promise<StackRun> {
  const dataDir = mkdtempSync(join(tmpdir(), "kappa-stack-"));
  const child = spawn(
    process.execPath,
    ["--disable-warning=TimeoutNegativeWarning", resolve("scripts/stack/main.ts"), "--data-dir", dataDir, ...args],
    { env: { ...process.env, ...environment }, stdio: ["ignore", "pipe", "pipe"] },
  );
  const said = { out: "", err: "" };
  child.stdout.on("data", (bytes) => (said.out += bytes));
  child.stderr.on("data", (bytes) => (said.err += bytes));
  const exit = once(child, "close").then(([code]) => code as number | null);
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exit;
    await noneRuns(dataDir);
    rmSync(dataDir, { recursive: true, force: true });
  });
  return { child, dataDir, said, exit };
}

async function up(run: StackRun): Promise<void> {
  const over = run.exit.then(() => true);
  for (;;) {
    if (run.said.err.includes("Ctrl-C ends them")) return;
    const ended = await Promise.race([over, sleep(50, false)]);
    if (ended) throw new Error(`the stack ended: ${run.said.err}`);
  }
}

/** Ids of the processes that run in this folder. */
function servicesOf(dataDir: string): string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/cwd`).startsWith(dataDir);
    } catch {
      return false; // it has ended between the two looks
    }
  });
}

async function noneRuns(dataDir: string): Promise<void> {
  for (let waits = 0; servicesOf(dataDir).length > 0 && waits < 100; waits += 1) await sleep(100);
  assert.deepEqual(servicesOf(dataDir), []);
}

async function portArguments(): Promise<string[]> {
  const names = ["kafka", "registry", "redis", "prometheus"];
  return Promise.all(names.map(async (name) => `--${name}-port=${await freePort()}`));
}

test("the stack prints the variables of its services, and SIGTERM ends all of them with 0", async () => {
  const ports = await portArguments();
  const run = await runStack(ports);
  await up(run);
  const [kafka, registry, redis] = ports.map((argument) => argument.split("=")[1]);
  assert.equal(
    run.said.out,
    `KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:${kafka}\nSCHEMA_REGISTRY_URL=http://127.0.0.1:${registry}/apis/ccompat/v7\n` +
      `REDIS_URL=redis://127.0.0.1:${redis}\n`,
  );
  assert.equal(servicesOf(run.dataDir).length, 4, run.said.err);
  await new KafkaSession({ brokers: [`127.0.0.1:${kafka}`] }).filledTopic(["one"]);
  run.child.kill("SIGTERM");
  run.child.kill("SIGINT"); // npm passes signals on twice
  assert.equal(await run.exit, 0, run.said.err);
  assert.deepEqual(servicesOf(run.dataDir), []);
});

test.runIf(process.platform === "linux")("services do not outlive a stack that was killed", async () => {
  const run = await runStack(["--only=redis,prometheus", ...(await portArguments())]);
  await up(run);
  assert.equal(servicesOf(run.dataDir).length, 2);
  run.child.kill("SIGKILL");
  await run.exit;
  await noneRuns(run.dataDir);
});

test("a service that ends takes the stack with it", async () => {
  const run = await runStack(["--only=redis,prometheus", ...(await portArguments())]);
  await up(run);
  const redis = servicesOf(run.dataDir).find((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith("redis"));
  process.kill(Number(redis), "SIGKILL");
  assert.equal(await run.exit, 1);
  assert.match(run.said.err, /redis has ended/);
  assert.deepEqual(servicesOf(run.dataDir), []);
});

test("when one service does not start, none is left running and one line says why", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kappa-stack-bin-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "redis-server"), "#!/bin/sh\nsleep 2\necho out of order\nexit 1\n", { mode: 0o755 });
  const run = await runStack(["--only=redis,prometheus", ...(await portArguments())], {
    PATH: `${folder}:${process.env.PATH}`,
  });
  assert.equal(await run.exit, 3);
  assert.match(run.said.err, /\nRedis ended at its start: out of order\n$/);
  assert.deepEqual(servicesOf(run.dataDir), []);
  assert.ok(existsSync(join(run.dataDir, "prometheus", "series")), "nothing was started, so nothing had to be stopped");
});

test("a port that is taken is named, with what to type", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const run = await runStack(["--only=redis", `--redis-port=${port}`]);
  assert.equal(await run.exit, 2);
  assert.match(run.said.err, new RegExp(`port ${port} for redis is taken; .*npm run stack -- --redis-port \\d+\n$`));
});

test("without Java one line says what to install", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kappa-stack-bin-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "empty"));
  const run = await runStack(["--prepare"], { PATH: join(folder, "empty") });
  assert.equal(await run.exit, 3);
  assert.match(
    run.said.err,
    /^Kafka .* need Java 17 or later, there is none; .*type: sudo apt-get install -y .*maven.*\n$/,
  );
});
