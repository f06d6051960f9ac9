import assert from "node:assert/strict";
import { test } from "vitest";
import { type CardPayment, cardVelocitySchema } from "../../schemas/records.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";
import cardVelocity from "../../topologies/card-velocity.ts";

const minuteMs = 60_000;
const midnightMs = Date.UTC(2026, 0, 5);

function payment(id: string, card: string, minute: number, amount: number): CardPayment {
  return {
    payment_id: id,
    ts: midnightMs + minute * minuteMs,
    card_id: card,
    merchant_id: "m1",
    amount,
    currency: "EUR",
  };
}

/** One line a payment: id, count and sum in 1 h, count and sum in 24 h. */
async function velocityOf(payments: readonly CardPayment[]): Promise<string[]> {
  const driver = await TopologyTestDriver.open(cardVelocity);
  const input = driver.input("payments");
  for (const each of payments) await input.pipe(each);
  await driver.settle();
  const velocity = driver.output("payment-velocity", cardVelocitySchema).values();
  await driver.close();
  return velocity.map((v) => `${v.payment_id}: ${v.count_1h} ${v.sum_1h} ${v.count_24h} ${v.sum_24h}`);
}

// minute    0        30        60
//           p1       p2        p3
//  (        -30, 30]           p2 counts p1
//           (  0,              60]  p3 does not: p1 is exactly an hour old
test("a payment counts itself and those less than an hour older", async () => {
  const payments = [payment("p1", "c1", 0, 100), payment("p2", "c1", 30, 250), payment("p3", "c1", 60, 40)];
  assert.deepEqual(await velocityOf(payments), ["p1: 1 100 1 100", "p2: 2 350 2 350", "p3: 2 290 3 390"]);
});

test("cards do not count each other's payments", async () => {
  const payments = [payment("p1", "c1", 0, 100), payment("p2", "c2", 1, 100), payment("p3", "c1", 2, 100)];
  assert.deepEqual(await velocityOf(payments), ["p1: 1 100 1 100", "p2: 1 100 1 100", "p3: 2 200 2 200"]);
});

test("a payment that comes in late, within grace, is counted where it belongs", async () => {
  const payments = [payment("p1", "c1", 58, 100), payment("p2", "c1", 55, 20), payment("p3", "c1", 59, 3)];
  assert.deepEqual(await velocityOf(payments), ["p1: 1 100 1 100", "p2: 1 20 1 20", "p3: 3 123 3 123"]);
});
