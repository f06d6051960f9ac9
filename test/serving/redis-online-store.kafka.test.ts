import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { afterEach, beforeEach, inject, test } from "vitest";
import { RedisServer } from "../../scripts/stack/redis-server.ts";
import { KappaError } from "../../src/core/errors.ts";
import type { OnlineBatch } from "../../src/serving/online-store.ts";
import { RedisOnlineStore } from "../../src/serving/redis-online-store.ts";
import { onlineStoreConformance } from "./online-store-conformance.ts";
import { answering } from "./redis-answering.ts";

const applicationId = "shop";

onlineStoreConformance({
  name: "redis",
  test,
  open: async () => {
    const options = { url: inject("redisUrl"), applicationId, prefix: `test-${randomUUID()}` };
    const [store, other] = [new RedisOnlineStore(options), new RedisOnlineStore(options)];
    await answering(store);
    await answering(other);
    const dispose = async () => {
      await store.close();
      await other.close();
    };
    return { store, other: () => other, pass: (ms) => sleep(ms), dispose };
  },
});

const place = { table: "cards", topic: "scored", partition: 0 };
const batch = (from: number | null, next: number): OnlineBatch => ({
  ...place,
  from,
  next,
  order: "offset",
  ttlMs: 60_000,
  values: [{ key: "C:1", timeMs: 5, offset: next - 1, fields: ["amount", "12.5", "late", "false"] }],
});

let server: RedisServer;

beforeEach(async () => {
  server = await RedisServer.start();
});

afterEach(async () => {
  await server.stop();
});

test("keys are as readers are told: a hash an entity, a hash of positions a table", async () => {
  const store = new RedisOnlineStore({ url: server.url, applicationId });
  await answering(store);
  await store.put([batch(null, 3)]);
  const redis = new Redis(server.url);
  assert.deepEqual((await redis.keys("*")).sort(), ["kappa:shop:@cards", "kappa:shop:cards:C:1"]);
  const expected = { "@time": "5", "@partition": "0", "@offset": "2", amount: "12.5", late: "false" };
  assert.deepEqual(await redis.hgetall("kappa:shop:cards:C:1"), expected);
  assert.deepEqual(await redis.hgetall("kappa:shop:@cards"), { "scored:0": "3" });
  const ttl = await redis.pttl("kappa:shop:cards:C:1");
  assert.ok(ttl > 50_000 && ttl <= 60_000, `${ttl}`);
  assert.equal(await redis.pttl("kappa:shop:@cards"), -1);
  redis.disconnect();
  await store.close();
});

test("a Redis that is killed is an error at once, and is found again with what it had", async () => {
  const store = new RedisOnlineStore({ url: server.url, applicationId });
  await answering(store);
  await store.put([batch(null, 3)]);
  await server.kill();
  const startMs = performance.now();
  await assert.rejects(store.put([batch(3, 4)]), { code: "KAPPA_SERVICE_UNREACHABLE" });
  await assert.rejects(store.position(place), { code: "KAPPA_SERVICE_UNREACHABLE" });
  assert.ok(performance.now() - startMs < 2000);
  while (!/no connection to Redis at 127\.0\.0\.1:\d+: connect ECONNREFUSED/.test(String(store.trouble)))
    await sleep(10);
  await server.start();
  await answering(store);
  assert.equal(store.trouble, undefined);
  assert.equal(await store.position(place), 3);
  assert.deepEqual(await store.put([batch(3, 4)]), [4]);
  await store.close();
});

test("a Redis that hangs is an error after the time an answer may take, and is found again when it goes on", async () => {
  const store = new RedisOnlineStore({ url: server.url, applicationId, timeoutMs: 500 });
  await answering(store);
  const from = await store.position(place);
  const { pid } = server;
  assert.ok(pid !== undefined);
  process.kill(pid, "SIGSTOP");
  try {
    await assert.rejects(store.put([batch(from, 99)]), { code: "KAPPA_SERVICE_UNREACHABLE", message: /timed out/ });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await answering(store);
  // What was sent arrives now; a repetition from the same position is taken by one of the two.
  await store.put([batch(from, 99)]);
  assert.equal(await store.position(place), 99);
  await store.close();
});

test("a wrong password is told without it, and nothing is thrown that holds it", async () => {
  const redis = new Redis(server.url);
  await redis.config("SET", "requirepass", "right-one");
  const url = server.url.replace("redis://", "redis://:wrong-one@");
  const store = new RedisOnlineStore({ url, applicationId });
  try {
    let thrown: unknown;
    for (let tries = 0; tries < 50 && !/WRONGPASS|invalid password|NOAUTH/.test(String(thrown)); tries++) {
      await sleep(20);
      thrown = await store.put([batch(null, 1)]).catch((error: unknown) => error);
    }
    assert.ok(thrown instanceof KappaError);
    assert.match(thrown.message, /WRONGPASS|invalid password|NOAUTH/);
    assert.equal(thrown.cause, undefined);
    assert.doesNotMatch(`${thrown.message} ${thrown.stack} ${store.trouble}`, /wrong-one/);
    await redis.config("SET", "requirepass", "wrong-one"); // which makes it the right one
    for (let tries = 0; (await store.put([batch(null, 1)]).catch(() => [])).length === 0; tries++) {
      assert.ok(tries < 500, `${store.trouble}`);
      await sleep(20);
    }
  } finally {
    redis.disconnect();
    await store.close();
  }
});

test("a Redis that is full takes nothing, and says so", async () => {
  const redis = new Redis(server.url);
  const store = new RedisOnlineStore({ url: server.url, applicationId });
  await answering(store);
  const from = await store.position(place);
  await redis.config("SET", "maxmemory", "1");
  await assert.rejects(store.put([batch(from, 200)]), { code: "KAPPA_SERVICE_UNREACHABLE", message: /OOM/ });
  assert.equal(store.trouble, undefined, "it may be tried again");
  await redis.config("SET", "maxmemory", "0");
  assert.equal(await store.position(place), from);
  assert.deepEqual(await store.put([batch(from, 200)]), [200]);
  redis.disconnect();
  await store.close();
});
