import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { inject, test } from "vitest";
import { RedisServer } from "../../scripts/stack/redis-server.ts";
import type { Engine } from "../../src/index.ts";
import { groupMembership, KafkaLog, type KafkaOptions } from "../../src/kafka.ts";
import { ServedStream, served } from "./served-stream.ts";

/** How long Redis is away; to set it, see CONTRIBUTING.md. */
const awayMs = Number(process.env.REDIS_AWAY_MS ?? 1000);
const timeout = 120_000 + 3 * awayMs;

test("processes that share the tasks serve each its own, and tasks that move take their partitions along", {
  timeout,
}, async () => {
  const application = `served-${randomUUID()}`;
  const kafka: KafkaOptions = { bootstrapServers: [inject("kafkaBootstrapServers")], clientId: application };
  const log = await KafkaLog.open(kafka);
  const redis = await RedisServer.start();
  const partitions = 4;
  const stream = await ServedStream.open({ application, log, partitions, redisUrl: redis.url });
  const member = (name: string): Promise<Engine> => stream.start(name, { membership: groupMembership({ kafka }) });
  const moves = async (): Promise<Engine> => {
    const first = await member("first");
    await running(first, 4);
    await sleep(1000);
    const second = await member("second");
    await running(second, 2);
    await redis.kill();
    await sleep(awayMs);
    await first.stop();
    await redis.start();
    await running(second, 4);
    await sleep(1000);
    return second;
  };
  const moved = moves();
  await stream.payUntil(moved, 500);
  const last = await moved;
  while ((await stream.decided()) < stream.sent) await sleep(50);
  await served(last, 60_000 + awayMs);
  assert.ok((await stream.check()) > 250);
  await last.stop();
  await stream.close();
  await log.close();
  await redis.stop();
});

async function running(engine: Engine, tasks: number): Promise<void> {
  const endMs = performance.now() + 40_000;
  while (engine.state !== "RUNNING" || engine.owned.length !== tasks) {
    assert.ok(performance.now() < endMs, `${engine.state} with ${engine.owned.length} tasks, ${tasks} expected`);
    await sleep(50);
  }
}
