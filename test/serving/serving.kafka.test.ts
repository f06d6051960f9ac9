import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, beforeEach, test } from "vitest";
import { RedisServer } from "../../scripts/stack/redis-server.ts";
import { EngineSources } from "../../src/cli/engine-sources.ts";
import { systemClock } from "../../src/core/clock.ts";
import { type Engine, KappaError, openFileLog } from "../../src/index.ts";
import type { OwnedFileLog } from "../../src/log/file-log.ts";
import type { Health } from "../../src/observability/http-sources.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";
import { ServedStream, served } from "./served-stream.ts";

/** How long Redis is away: `REDIS_AWAY_MS=60000 npx vitest run --project kafka test/serving/serving.kafka.test.ts`. */
const awayMs = Number(process.env.REDIS_AWAY_MS ?? 4000);

let redis: RedisServer;
let redisDir: string;
let log: OwnedFileLog;
let stream: ServedStream;

beforeEach(async () => {
  redisDir = await mkdtemp(join(tmpdir(), "kappa-redis-"));
  redis = await RedisServer.start({ dataDir: redisDir });
  log = await openFileLog({ directory: await mkdtemp(join(tmpdir(), "kappa-log-")) });
  stream = await ServedStream.open({ application: "cards", log, partitions: 4, redisUrl: redis.url });
});

afterEach(async () => {
  await stream.close();
  await log.close();
  await redis.stop();
  await rm(redisDir, { recursive: true, force: true });
});

test("a run to the end of its inputs ends with everything in the store", async () => {
  // More than the readers of the journal keep in memory, in transactions of many batches.
  for (let i = 0; i < 12; i++) await stream.pay(5000);
  const engine = await stream.start("state", { settings: { untilEnd: true } });
  await engine.finished;
  assert.equal(await stream.check(), 300);
});

test("a run that is stopped leaves nothing behind, and the next goes on from there", async () => {
  for (let run = 0; run < 3; run++) {
    const engine = await stream.start("state");
    await stream.payUntil(sleep(700), 1000);
    while ((await stream.decided()) < stream.sent) await sleep(20);
    await engine.stop();
    await stream.check();
  }
});

test(
  "Redis away, hanging, full, back with its data or without: the stream goes on, and the store ends with its last values",
  async () => {
    const meter = new PrometheusMeter();
    const engine = await stream.start("state", { onMetrics: (thread, report) => meter.merge(thread, report) });
    while (engine.state !== "RUNNING") await sleep(20);
    const troubled = (what: RegExp) => until(() => what.test(engine.serving?.status.trouble ?? "none"), `${what}`);
    const outages = async () => {
      await troubled(/none/);
      await redis.kill();
      await troubled(/^no connection to Redis at .*: connect ECONNREFUSED/);
      await sleep(awayMs);
      const { state, live, checks } = healthOf(engine, meter);
      assert.deepEqual([state, live], ["RUNNING", true], "the process stays ready");
      assert.match(
        checks.find(({ ok }) => !ok)?.detail ?? "",
        /^no connection to Redis .*; \d+ records wait, the stream/,
      );
      assert.match(await meter.page(), /kappa_online_store_up 0/);
      await redis.start();
      await troubled(/none/);
      process.kill(redis.pid ?? assert.fail("Redis is not there"), "SIGSTOP");
      await troubled(/timed out|no connection/);
      await sleep(2000);
      process.kill(redis.pid ?? assert.fail("Redis is not there"), "SIGCONT");
      await troubled(/none/);
      await redis.kill();
      for (const file of await readdir(redisDir)) await rm(join(redisDir, file), { recursive: true });
      await redis.start();
      await troubled(/none/);
      const client = new Redis(redis.url);
      await client.config("SET", "maxmemory", "1");
      await troubled(/OOM/);
      await client.config("SET", "maxmemory", "0");
      client.disconnect();
      await troubled(/none/);
    };
    const over = outages();
    await Promise.all([stream.payUntil(over, 1000), decidedInTime(stream, over)]);
    await served(engine);
    assert.equal(await stream.check(), 300);
    const { checks } = healthOf(engine, meter);
    assert.equal(checks.at(-1)?.detail, "cards, payments served, 0 records behind");
    const page = await meter.page();
    assert.match(page, /kappa_online_store_up 1\n/);
    assert.match(page, /kappa_online_store_lag_records\{table="cards",partition="3"\} 0\n/);
    assert.match(page, /kappa_online_store_skipped_total\{table="cards",reason="decode"\} 0\n/);
    await engine.stop();
  },
  120_000 + awayMs,
);

test("without a store nothing is served, which is no fault", async () => {
  const unserved = await ServedStream.open({ application: "unserved", log, partitions: 1, redisUrl: null });
  const engine = await unserved.start("state");
  assert.equal(engine.serving, null);
  const check = healthOf(engine, new PrometheusMeter()).checks.at(-1);
  assert.deepEqual(check, {
    name: "online store",
    ok: true,
    detail: "cards, payments not served: no REDIS_URL is set",
  });
  await engine.stop();
  await unserved.close();
});

test("an address that is none is refused before anything is started, without its password", async () => {
  const refused = stream.start("state", { online: { url: "http://me:s3cret@cache" } });
  await assert.rejects(refused, (error) => {
    assert.ok(error instanceof KappaError);
    assert.equal(error.code, "KAPPA_CONFIG_INVALID");
    assert.doesNotMatch(error.message, /s3cret/);
    return true;
  });
});

async function until(holds: () => boolean, what: string): Promise<void> {
  const endMs = performance.now() + 20_000;
  while (!holds()) {
    assert.ok(performance.now() < endMs, `${what} is not seen`);
    await sleep(20);
  }
}

function healthOf(engine: Engine, meter: PrometheusMeter): Health {
  const sources = new EngineSources({
    topology: engine.topology,
    engine: () => engine,
    meter,
    clock: systemClock,
    version: "0",
    heardMs: systemClock.monotonic,
  });
  const health = sources.health();
  sources.close();
  return health;
}

/** Until the promise resolves: whatever was sent is decided soon after, well before Redis is back. */
async function decidedInTime(stream: ServedStream, until: Promise<unknown>): Promise<void> {
  let over = false;
  void until.finally(() => {
    over = true;
  });
  while (!over) {
    const [sent, sinceMs] = [stream.sent, performance.now()];
    while ((await stream.decided()) < sent) {
      assert.ok(performance.now() - sinceMs < 2500, "decisions wait while Redis is away");
      await sleep(50);
    }
    await sleep(200);
  }
}
