import assert from "node:assert/strict";
import { test } from "vitest";
import { Incarnation } from "./incarnation.ts";
import { Network, type NetworkFault } from "./network.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import { SimulatedPartition } from "./simulated-partition.ts";

function networkOf(): { network: Network; scheduler: Scheduler; from: Incarnation; suffered: NetworkFault[] } {
  const random = new Random(1);
  const scheduler = new Scheduler(random);
  const suffered: NetworkFault[] = [];
  const network = new Network(scheduler, random, 1, (fault) => suffered.push(fault));
  return { network, scheduler, from: new Incarnation("test", scheduler, () => {}), suffered };
}

test("a request that comes twice is carried out twice and answered once", async () => {
  const { network, scheduler, from, suffered } = networkOf();
  network.plan("Produce", "twice");
  let carriedOut = 0;
  const answer = network.request(from, 0, "Produce", () => ++carriedOut);
  await scheduler.run(() => false);
  assert.equal(await answer, 1);
  assert.equal(carriedOut, 2);
  assert.deepEqual(suffered, ["twice"]);
});

test("the second EndTxn comes before the first is answered", async () => {
  const { network, scheduler, from } = networkOf();
  network.plan("EndTxn", "twice");
  let carriedOut = 0;
  const answer = network.request(from, 0, "EndTxn", () => ++carriedOut).then(() => carriedOut);
  await scheduler.run(() => false);
  assert.equal(await answer, 2);
});

test("a fault that was planned counts once a request meets it, an outage and a storm once each", async () => {
  const { network, scheduler, from, suffered } = networkOf();
  network.plan("EndTxn", "lost");
  network.setUp(0, false);
  network.weather = { faultShare: 1, delayMs: 1 };
  assert.deepEqual(suffered, []);
  for (let i = 0; i < 20; i++) network.request(from, 0, "Fetch", () => 0).catch(() => {});
  network.request(from, 0, "EndTxn", () => 0).catch(() => {});
  await scheduler.run(() => false);
  assert.deepEqual(suffered.sort(), ["lost", "outage", "storm"]);
});

test("a batch that comes again is answered as the first time, and one before which another is missing is refused", () => {
  const partition = new SimulatedPartition(0);
  const batch = { count: 2, bytes: Buffer.alloc(1) };
  assert.equal(partition.append("writer", 1, { sequence: 0, ...batch }), 0);
  partition.mark("writer", 1, "committed");
  assert.equal(partition.append("writer", 1, { sequence: 0, ...batch }), 0);
  assert.equal(partition.endOffset, 3);
  assert.throws(() => partition.append("writer", 1, { sequence: 4, ...batch }), /OUT_OF_ORDER_SEQUENCE_NUMBER/);
  assert.equal(partition.append("writer", 2, { sequence: 0, ...batch }), 3);
  assert.throws(() => partition.append("writer", 1, { sequence: 2, ...batch }), /INVALID_PRODUCER_EPOCH/);
});
