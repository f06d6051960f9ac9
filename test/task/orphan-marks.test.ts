// Goal: a label that overtakes its payment waits for it, in event time, and is applied or becomes a dead letter by the
// order of rows alone. Times are hours after `base`.

import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { hours, RecordSchema, type Topology, TopologyBuilder } from "../../src/index.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";

const base = Date.UTC(2026, 0, 5);

interface Payment {
  readonly id: string;
  readonly shop: string;
  readonly ts: number;
}
interface Label {
  readonly id: string;
  readonly shop: string;
  readonly ts: number;
  readonly paid_at: number;
}
interface Seen {
  readonly id: string;
  readonly frauds: number;
}

const text = (name: string) => ({ name, type: "string" });
const long = (name: string) => ({ name, type: "long" });
const paymentSchema = new RecordSchema<Payment>({
  type: "record",
  name: "Payment",
  fields: [text("id"), text("shop"), long("ts")],
});
const labelSchema = new RecordSchema<Label>({
  type: "record",
  name: "Label",
  fields: [text("id"), text("shop"), long("ts"), long("paid_at")],
});
const seenSchema = new RecordSchema<Seen>({
  type: "record",
  name: "Seen",
  fields: [text("id"), { name: "frauds", type: "double" }],
});

/** The share of frauds in the payments of a shop in the last 10 h; grace 2 h, labels wait 5 h. */
function frauds(): Topology {
  const builder = new TopologyBuilder("frauds");
  const labels = builder
    .stream("labels", { schema: labelSchema, key: "shop", time: "ts", role: "labels" })
    .marking({ id: "id", time: "paid_at", orphanMs: hours(5) });
  builder
    .stream("payments", { schema: paymentSchema, key: "shop", time: "ts" })
    .features("shop", { graceMs: hours(2), id: "id", marks: { fraud: labels } }, (over) => ({
      frauds: over.sliding(hours(10)).ratio("fraud"),
    }))
    .to("seen", { schema: seenSchema, key: "id" });
  return builder.build();
}

async function opened() {
  const driver = await TopologyTestDriver.open(frauds());
  onTestFinished(() => driver.close());
  const at = (hour: number): number => base + hours(hour);
  return {
    driver,
    async pay(id: string, hour: number): Promise<void> {
      await driver.input("payments").pipe({ id, shop: "s", ts: at(hour) });
      await driver.settle();
    },
    /** A label that comes at one hour, for a payment of another. */
    async label(id: string, hour: number, paidHour: number): Promise<void> {
      await driver.input("labels").pipe({ id, shop: "s", ts: at(hour), paid_at: at(paidHour) });
      await driver.settle();
    },
    seen: () =>
      driver
        .output("seen", seenSchema)
        .values()
        .map(({ id, frauds }) => `${id}: ${frauds}`),
    buried: () =>
      driver.records("frauds-dead-letters").map(({ headers }) => {
        return `${headers["kappa.dlq.reason"]}: ${headers["__streams.errors.message"]}`;
      }),
    shop: () => driver.read("shop", "s"),
  };
}

// hours    0       1       2
//          other   label   p      the label waits an hour, and counts from p's next neighbour on
test("a label that overtakes its payment counts once the payment is there", async () => {
  const { pay, label, seen, shop, buried } = await opened();
  await pay("other", 0);
  await label("p", 1, 2);
  assert.deepEqual(shop(), { frauds: 0 });
  await pay("p", 2);
  assert.deepEqual(shop(), { frauds: 1 / 2 });
  await pay("next", 2);
  await pay("last", 3);
  assert.deepEqual(seen(), ["other: 0", "p: 0", `next: ${1 / 3}`, "last: 0.25"]);
  assert.deepEqual(buried(), []);
});

test("a label waits for a payment that is late within grace", async () => {
  const { pay, label, shop, buried } = await opened();
  await pay("other", 4);
  await label("p", 4, 3);
  await pay("p", 3);
  assert.deepEqual(shop(), { frauds: 1 / 2 });
  assert.deepEqual(buried(), []);
});

// hours    1         6
//          label     expires: 1 + 5
test("a label whose payment does not come is a dead letter after orphanMs, before the row that moves time there", async () => {
  const { driver, pay, label, shop, buried } = await opened();
  await pay("other", 0);
  await label("p", 1, 2);
  await pay("more", 5.999);
  assert.deepEqual(buried(), []);
  await pay("p", 6);
  assert.deepEqual(buried(), [`orphan: no event p at ${base + hours(2)} came for key s`]);
  assert.deepEqual(shop(), { frauds: 0 });
  const [dead] = driver.records("frauds-dead-letters");
  assert.equal(dead?.headers["__streams.errors.topic"], "labels");
  assert.equal(dead?.headers["__streams.errors.offset"], "0");
});

// hours    0                 12          20
//          paid (grace 2, reach 10)      label
test("a label for a payment that no window can hold any more is a dead letter at once", async () => {
  const { pay, label, buried } = await opened();
  await pay("other", 20);
  await label("p", 20, 8);
  assert.equal(buried().length, 1);
  await label("q", 20, 8.001);
  assert.equal(buried().length, 1);
});

test("a late payment does not take its label: it is not held", async () => {
  const { pay, label, shop, buried } = await opened();
  await pay("other", 10);
  await label("p", 10, 7);
  await pay("p", 7);
  assert.deepEqual(shop(), { frauds: 0 });
  assert.deepEqual(buried(), []);
  await pay("more", 15);
  assert.equal(buried().length, 1);
});

test("several labels wait side by side: of one payment, of others, of another instant", async () => {
  const { pay, label, shop, buried } = await opened();
  await pay("other", 0);
  await label("p", 1, 2);
  await label("p", 1, 2);
  await label("q", 1, 3);
  await label("p", 1, 4);
  await pay("p", 2);
  assert.deepEqual(shop(), { frauds: 1 / 2 });
  await pay("q", 3);
  assert.deepEqual(shop(), { frauds: 2 / 3 });
  assert.deepEqual(buried(), []);
  await pay("more", 6);
  assert.deepEqual(buried(), [`orphan: no event p at ${base + hours(4)} came for key s`]);
});

test("labels go on waiting after a restart, from the local state and from the log alone", async () => {
  for (const state of ["kept", "lost"] as const) {
    const { driver, pay, label, shop, buried } = await opened();
    await pay("other", 0);
    await label("p", 1, 2);
    await label("q", 1, 3);
    await driver.restart(state);
    await pay("p", 2);
    await driver.restart(state);
    assert.deepEqual(shop(), { frauds: 1 / 2 });
    await driver.restart(state);
    await pay("more", 6);
    assert.deepEqual(buried(), [`orphan: no event q at ${base + hours(3)} came for key s`]);
    await driver.restart(state);
    await pay("q", 8);
    assert.deepEqual(shop(), { frauds: 1 / 4 });
    assert.equal(buried().length, 1);
  }
});
