import assert from "node:assert/strict";
import { test } from "vitest";
import type { CardPayment } from "../../schemas/records.ts";
import { cardPaymentSchema } from "../../schemas/records.ts";
import { hours, minutes, type Over, type Stream, TopologyBuilder } from "../../src/index.ts";

interface Definition {
  readonly application?: string;
  readonly name?: string;
  readonly sizeMs?: number;
  readonly feature?: "count" | "sum";
  readonly constants?: Readonly<Record<string, number>>;
}

/** The version of one feature, defined as the test wants it. */
function versionOf(
  definition: Definition,
  before: (payments: Stream<CardPayment>) => Stream<CardPayment> = (same) => same,
): string {
  const {
    application = "app",
    name = "velocity",
    sizeMs = hours(1),
    feature = "count",
    constants = { limit: 1 },
  } = definition;
  const builder = new TopologyBuilder(application);
  const payments = before(builder.stream("payments", { schema: cardPaymentSchema, key: "card_id", time: "ts" }));
  return payments
    .features(name, { graceMs: minutes(5) }, (over) => ({
      velocity: feature === "count" ? over.sliding(sizeMs).count() : over.sliding(sizeMs).sum("amount"),
    }))
    .featureVersion(constants);
}

test("the same definition has the same version, whatever its operators and application are called", () => {
  assert.match(versionOf({}), /^[0-9a-f]{12}$/);
  assert.equal(versionOf({ application: "other", name: "other" }), versionOf({}));
});

test("a window, an aggregate, a constant or an operator on the way makes another version", () => {
  const versions = [
    versionOf({}),
    versionOf({ sizeMs: hours(2) }),
    versionOf({ feature: "sum" }),
    versionOf({ constants: { limit: 2 } }),
    versionOf({ constants: {} }),
    versionOf({}, (payments) => payments.dedup("once", { id: "payment_id", ttlMs: hours(1) })),
    versionOf({}, (payments) => payments.dedup("once", { id: "payment_id", ttlMs: hours(2) })),
    versionOf({}, (payments) => payments.filter("large", ({ amount }) => amount > 100)),
  ];
  assert.equal(new Set(versions).size, versions.length, versions.join(" "));
});

test("features of another stream have another version than those of the stream itself", () => {
  const versions = (["own", "payments", "refunds"] as const).map((of) => {
    const builder = new TopologyBuilder("app");
    const options = { schema: cardPaymentSchema, key: "card_id", time: "ts" } as const;
    const payments = builder.stream("payments", options);
    const events = of === "own" ? payments : builder.stream(of, options);
    const count = (over: Over<CardPayment, never>) => ({ velocity: over.sliding(hours(1)).count() });
    const counted =
      of === "own"
        ? payments.features("f", { graceMs: minutes(5) }, count)
        : payments.featuresOf("f", events, { graceMs: minutes(5) }, count);
    return counted.featureVersion({ limit: 1 });
  });
  assert.equal(versions[0], versionOf({}), "features of a stream's own events keep the version they had");
  assert.equal(new Set(versions).size, 3, versions.join(" "));
});

test("the order in which constants are written says nothing", () => {
  assert.equal(versionOf({ constants: { a: 1, b: 2 } }), versionOf({ constants: { b: 2, a: 1 } }));
});

test("what comes after a stream does not change its version", () => {
  const builder = new TopologyBuilder("app");
  const payments = builder.stream("payments", { schema: cardPaymentSchema, key: "card_id", time: "ts" });
  const before = payments.featureVersion();
  payments.features("velocity", { graceMs: 0 }, (over) => ({ count_1h: over.sliding(hours(1)).count() }));
  assert.equal(payments.featureVersion(), before);
});
