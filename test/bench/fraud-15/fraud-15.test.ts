import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "vitest";
import { AvroSerde } from "../../../src/codec/avro-serde.ts";
import { EmbeddedSchemaRegistry } from "../../../src/codec/embedded-schema-registry.ts";
import { readSchemaId } from "../../../src/codec/wire-format.ts";
import { Engine, type Log, openFileLog, RecordBatchReader } from "../../../src/index.ts";
import { nextBatch } from "../../../src/log/record-at.ts";
import { removeDirectory, temporaryDirectory } from "../../log/temporary-directory.ts";
import { exactSum } from "../../property/exact.ts";
import { preload } from "../input-encoder.ts";
import { eventsOf, labelDelayMs, type Payment, paymentsOf } from "./payments.ts";
import {
  type Decision,
  decisionSchema,
  fraudLabelSchema,
  registerRecords,
  schemaIds,
  transactionSchema,
} from "./records.ts";

const dayMs = 86_400_000;
const windows = [
  ["1d", dayMs],
  ["7d", 7 * dayMs],
  ["30d", 30 * dayMs],
] as const;

// A sigmoid over a weighted sum, as make_models.py writes it.
const model = new URL("../../fixtures/handbook.onnx", import.meta.url).pathname;
const weights = [0.01, 0.2, 0.3, 0.1, -0.002, 0.02, -0.001, 0.003, -0.004, -0.05, 3, 0.01, 2, -0.002, 1];
const bias = -1.5;

/**
 * Every feature of a payment from the list of all payments: what the job asks for, and nothing of how it is done. In the
 * order of the model's inputs.
 */
function featuresOf(payments: readonly Payment[], at: number): Record<string, number | boolean> {
  const { ts, customer_id, terminal_id, amount } = payments[at] as Payment;
  const time = new Date(ts);
  const features: Record<string, number | boolean> = {
    amount,
    during_weekend: [0, 6].includes(time.getUTCDay()),
    during_night: time.getUTCHours() <= 6,
  };
  for (const [name, sizeMs] of windows) {
    // Of payments at one instant, those that stand before it in the log.
    const own = payments.filter((other, i) => other.customer_id === customer_id && i <= at && other.ts > ts - sizeMs);
    features[`customer_count_${name}`] = own.length;
    features[`customer_avg_${name}`] = exactSum(own.map((other) => other.amount)) / own.length;
  }
  for (const [name, sizeMs] of windows) {
    const end = ts - labelDelayMs;
    const known = payments.filter(
      (other) => other.labelled && other.terminal_id === terminal_id && other.ts > end - sizeMs && other.ts <= end,
    );
    features[`terminal_count_${name}`] = known.length;
    features[`terminal_risk_${name}`] =
      known.length === 0 ? 0 : known.filter((other) => other.is_fraud).length / known.length;
  }
  return features;
}

/** The model in doubles, over inputs in float32. */
function scoreOf(features: Readonly<Record<string, number | boolean>>): number {
  const inputs = Object.values(features).map((feature) => Math.fround(Number(feature)));
  const sum = inputs.reduce((total, input, i) => total + input * (weights[i] as number), bias);
  return 1 / (1 + Math.exp(-sum));
}

interface Decided {
  readonly key: string;
  readonly schemaId: number;
  readonly decision: Decision;
}

async function decisionsIn(log: Log, registry: EmbeddedSchemaRegistry): Promise<Map<number, Decided>> {
  const serde = new AvroSerde(decisionSchema, -1, registry);
  const reader = new RecordBatchReader();
  const decided = new Map<number, Decided>();
  for (let p = 0; p < ((await log.topic("fraud-decisions"))?.partitions ?? 0); p++) {
    const cursor = await log.openCursor("fraud-decisions", p, 0n, "durable");
    for (let batch = await nextBatch(cursor); batch !== undefined; batch = await nextBatch(cursor)) {
      reader.reset(batch.bytes);
      while (reader.next()) {
        const value = reader.value() as Buffer;
        const decision = serde.decode(value, 0, value.length);
        assert.ok(!decided.has(decision.tx_id), `payment ${decision.tx_id} was decided twice`);
        const schemaId = readSchemaId(value, 0, value.length);
        decided.set(decision.tx_id, { key: String(reader.key()), schemaId, decision });
      }
    }
    cursor.close();
  }
  return decided;
}

test("every feature of every decision is what the list of all payments and labels says", async () => {
  const payments = paymentsOf({ seed: 20240101, count: 3000, customers: 9, terminals: 7, meanStepMs: 1_800_000 });
  const dataDir = temporaryDirectory();
  const log = await openFileLog({ directory: join(dataDir, "log") });
  const registryDir = join(dataDir, "registry");
  const registry = await EmbeddedSchemaRegistry.open(registryDir);
  await registerRecords(registry, {
    transactions: "transactions",
    labels: "fraud-labels",
    decisions: "fraud-decisions",
  });
  const inputs = { transactions: transactionSchema, "fraud-labels": fraudLabelSchema };
  await preload(log, { inputs, preloaded: payments.length, events: () => eventsOf(payments) }, registryDir, 4);
  const topology = { module: new URL("./topology.ts", import.meta.url).href, parameters: { model } };
  const engine = await Engine.start({ topology, log, dataDir, threads: 2, settings: { untilEnd: true } });
  await engine.finished;

  const decided = await decisionsIn(log, registry);
  assert.equal(decided.size, payments.length);
  for (const [at, payment] of payments.entries()) {
    const { key, schemaId, decision } = decided.get(payment.tx_id) as Decided;
    const { score, decision: verdict, tx_id, ts, customer_id, terminal_id, ...features } = decision;
    const expected = featuresOf(payments, at);
    assert.deepEqual(features, expected, `payment ${at}`);
    assert.deepEqual([key, schemaId], [String(tx_id), schemaIds.decisions]);
    assert.deepEqual([ts, customer_id, terminal_id], [payment.ts, payment.customer_id, payment.terminal_id]);
    // Inputs and weights of the model are float32, and so is what it adds up.
    assert.ok(Math.abs((score as number) - scoreOf(expected)) < 1e-5, `payment ${at} has score ${score}`);
    const p = score as number;
    assert.equal(verdict, p < Math.fround(0.3) ? "allow" : p > Math.fround(0.7) ? "decline" : "verify");
  }
  await log.close();
  removeDirectory(dataDir);
});

test("the payments put windows to the test: many are just a window apart, and instants are shared", () => {
  const payments = paymentsOf({ seed: 20240101, count: 3000, customers: 9, terminals: 7, meanStepMs: 1_800_000 });
  const times = new Map<string, Set<number>>();
  for (const { customer_id, ts } of payments) times.set(customer_id, (times.get(customer_id) ?? new Set()).add(ts));
  for (const [, sizeMs] of windows) {
    const apart = payments.filter(({ customer_id, ts }) => times.get(customer_id)?.has(ts - sizeMs)).length;
    assert.ok(apart > 300, `${apart} payments lie ${sizeMs} ms behind another of their customer`);
  }
  const shared = payments.length - [...times.values()].reduce((sum, each) => sum + each.size, 0);
  assert.ok(shared > 300, `${shared} payments share their customer's instant`);
});
