import assert from "node:assert/strict";
import { test } from "vitest";
import { recordSchema } from "../../src/codec/record-schema.ts";
import {
  bareModel,
  type Feature,
  hours,
  KappaError,
  type Reason,
  type Stream,
  TopologyBuilder,
  type WindowBounds,
} from "../../src/index.ts";
import { labelsOf, type Payment, paymentSchema, paymentsOf, shopSchema } from "./payments.ts";

// What must not compile stands under `@ts-expect-error`: `npm run types` fails when it does compile. Where the mistake
// can be seen at run time as well, the test that holds the line also holds the refusal.

/** Whether two types are the same, `readonly` and optional marks included. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** An intersection as the plain object it stands for. */
type Flat<T> = { [Name in keyof T]: T[Name] };
type ValueOf<S> = S extends Stream<infer V> ? Flat<V> : never;

/** Compiles only where `Holds` is true. */
function holds<Holds extends true>(..._: Holds extends true ? [] : never): void {}

function refused(declare: (builder: TopologyBuilder) => void): RegExp | string {
  const builder = new TopologyBuilder("types");
  try {
    declare(builder);
    builder.build();
  } catch (error) {
    if (error instanceof KappaError) return error.message;
    throw error;
  }
  assert.fail("was not refused");
}

const model = bareModel("m.onnx", ["amount"]);

test("a misspelt field does not compile", () => {
  const sum = refused((builder) => {
    // @ts-expect-error: the field is called amount
    paymentsOf(builder).features("f", { graceMs: 0 }, (over) => ({ sum: over.unbounded().sum("amuont") }));
  });
  assert.match(String(sum), /reads "amuont"/);
  const rekeyed = refused((builder) => {
    // @ts-expect-error: the field is called shop_id
    paymentsOf(builder).repartition("by-shop", { key: "shop" });
  });
  assert.match(String(rekeyed), /reads column "shop"/);
  // @ts-expect-error: the field is called amount
  paymentsOf(new TopologyBuilder("types")).filter("large", (payment) => payment.amuont > 100);
});

test("a misspelt key or event time of an input does not compile", () => {
  const key = refused((builder) => {
    // @ts-expect-error: the field is called card_id
    builder.stream("payments", { schema: paymentSchema, key: "card" });
  });
  assert.match(String(key), /no field "card"/);
  const time = refused((builder) => {
    // @ts-expect-error: the field is called ts
    builder.stream("payments", { schema: paymentSchema, key: "card_id", time: "time" });
  });
  assert.match(String(time), /no field "time"/);
});

test("a key is text or a whole number and never null; an event time is a number", () => {
  const builder = new TopologyBuilder("types");
  // @ts-expect-error: may be null
  paymentsOf(builder).repartition("by-country", { key: "country" });
  // @ts-expect-error: a list
  paymentsOf(builder).repartition("by-items", { key: "items" });
  // @ts-expect-error: true or false
  paymentsOf(builder).dedup("once", { id: "online", ttlMs: hours(1) });
  // @ts-expect-error: text
  builder.stream("payments", { schema: paymentSchema, key: "card_id", time: "shop_id" });
  // @ts-expect-error: a list
  builder.globalTable("payments", { schema: paymentSchema, key: "items" });
});

test("text has no sum, no mean, no percentile; a list has no values to count", () => {
  paymentsOf(new TopologyBuilder("types")).features("f", { graceMs: 0 }, (over) => ({
    // @ts-expect-error: text
    sum: over.unbounded().sum("shop_id"),
    // @ts-expect-error: text, or null
    mean: over.unbounded().mean("country"),
    // @ts-expect-error: text
    median: over.unbounded().percentile("card_id", 0.5),
    // @ts-expect-error: a list
    distinct: over.unbounded().distinct("items"),
    // @ts-expect-error: text
    ratio: over.unbounded().ratio("shop_id"),
    // fine: booleans are summed as 0 and 1, null is left out
    online: over.unbounded().sum("online"),
    countries: over.unbounded().distinct("country"),
  }));
});

test("features of another stream read its fields, not those of the stream that asks", () => {
  const builder = new TopologyBuilder("types");
  const labels = labelsOf(builder);
  const known = paymentsOf(builder).featuresOf("known", labels, { graceMs: 0 }, (over) => ({
    newest: over.unbounded().latest("payment_ts"),
  }));
  holds<Same<ValueOf<typeof known>, Flat<Payment & { newest: number | null }>>>();
  const amount = refused((b) => {
    // @ts-expect-error: a label has no amount
    paymentsOf(b).featuresOf("known", labelsOf(b), { graceMs: 0 }, (over) => ({ n: over.unbounded().sum("amount") }));
  });
  assert.match(String(amount), /reads "amount", which the value does not have/);
  // @ts-expect-error: how late an event may be is to be said
  paymentsOf(builder).featuresOf("again", labels, {}, (over) => ({ n: over.unbounded().count() }));
});

test("a mark that was not declared does not compile", () => {
  const message = refused((builder) => {
    const marks = { fraud: labelsOf(builder).marking({ id: "payment_id", time: "payment_ts" }) };
    paymentsOf(builder).features("f", { graceMs: 0, id: "payment_id", marks }, (over) => ({
      risk: over.unbounded().ratio("fraud"),
      // @ts-expect-error: the mark is called fraud
      other: over.unbounded().ratio("chargeback"),
    }));
  });
  assert.match(String(message), /reads "chargeback"/);
  const builder = new TopologyBuilder("types");
  // @ts-expect-error: the field is called payment_id
  labelsOf(builder).marking({ id: "id", time: "payment_ts" });
  // @ts-expect-error: the event time of the label's payment is a number
  labelsOf(builder).marking({ id: "payment_id", time: "shop_id" });
});

test("a sink whose schema wants what the stream lacks, or has it as another type, does not compile", () => {
  const message = refused((builder) => {
    const amounts = paymentsOf(builder).mapValues(
      "amounts",
      { payment_id: "text", amount: "integer" },
      (payment) => payment,
    );
    // @ts-expect-error: card_id, shop_id, ... are gone
    amounts.to("out", { schema: paymentSchema, key: "payment_id" });
  });
  assert.match(String(message), /its schema wants "ts", which "amounts" does not give/);

  const builder = new TopologyBuilder("types");
  const texts = recordSchema<{ amount: string }>({
    type: "record",
    name: "T",
    fields: [{ name: "amount", type: "string" }],
  });
  // @ts-expect-error: a number there, text here
  paymentsOf(builder).to("texts", { schema: texts, key: "payment_id" });
  const certain = recordSchema<{ country: string }>({
    type: "record",
    name: "C",
    fields: [{ name: "country", type: "string" }],
  });
  // @ts-expect-error: may be null there, never here
  paymentsOf(builder).to("certain", { schema: certain, key: "payment_id" });
  // @ts-expect-error: a key may not be null
  paymentsOf(builder).to("out", { schema: paymentSchema, key: "country" });
});

test("what a function returns is what it declared", () => {
  const payments = paymentsOf(new TopologyBuilder("types"));
  // @ts-expect-error: text is not a number
  payments.extend("a", { x: "number" }, () => ({ x: "1" }));
  // @ts-expect-error: null was not declared
  payments.extend("b", { x: "number" }, (payment) => ({ x: payment.country === null ? null : 1 }));
  // @ts-expect-error: y was declared as well
  payments.extend("c", { x: "number", y: "text?" }, () => ({ x: 1 }));
  // @ts-expect-error: there is no such type of column
  payments.extend("d", { x: "float" }, () => ({ x: 1 }));
  payments.extend("e", { x: "number?" }, () => ({ x: null }));
});

test("windows are keyed by a field of the stream", () => {
  const window = { kind: "tumbling", sizeMs: 10, graceMs: 0 } as const;
  const message = refused((builder) => {
    // @ts-expect-error: the field is called card_id
    paymentsOf(builder).windowedBy("card", window);
  });
  assert.match(String(message), /repartition by "card" first/);
});

test("streams of different values do not merge, and a table is joined by a field of the stream", () => {
  const builder = new TopologyBuilder("types");
  // @ts-expect-error: a label is not a payment
  paymentsOf(builder).merge("all", labelsOf(builder));
  const shops = builder.table("shops", { schema: shopSchema, key: "shop_id" });
  // @ts-expect-error: the field is called shop_id
  paymentsOf(builder).join("with-shop", shops, { key: "shop", columns: { risk: "number" } }, (_, { risk }) => ({
    risk,
  }));
  // @ts-expect-error: without a version the row is null
  paymentsOf(builder).leftJoin("maybe", shops, { key: "shop_id", columns: { risk: "number" } }, (_, { risk }) => ({
    risk,
  }));
});

test("a model is not asked unless a field is null: the field is there", () => {
  const builder = new TopologyBuilder("types");
  // @ts-expect-error: the field is called country
  paymentsOf(builder).score("s", { model, into: "score", unless: "rule" });
});

test("types flow: features on top of the value", () => {
  const stream = paymentsOf(new TopologyBuilder("types")).features("f", { graceMs: 0 }, (over) => ({
    n: over.sliding(hours(1)).count(),
    mean: over.sliding(hours(1)).mean("amount"),
    shops: over.lastEvents(5).last("shop_id", 3),
    country: over.unbounded().latest("country"),
    amount: over.unbounded().sum("amount"),
  }));
  type Added = { n: number; mean: number | null; shops: string[]; country: string | null; amount: number };
  holds<Same<ValueOf<typeof stream>, Flat<Omit<Payment, keyof Added> & Added>>>();
  holds<Same<ReturnType<() => Feature<number>>, Feature<number>>>();
});

test("types flow: extend, score, rules", () => {
  const extended = paymentsOf(new TopologyBuilder("types"))
    .mapValues("m", { card_id: "text", amount: "integer" }, (payment) => payment)
    .extend("e", { big: "boolean", note: "text?" }, ({ amount }) => ({ big: amount > 100, note: null }));
  type Extended = { card_id: string; amount: number; big: boolean; note: string | null };
  holds<Same<ValueOf<typeof extended>, Extended>>();
  const decided = extended
    .rules("r", { version: "1", rules: [] } as never)
    .score("s", { model, into: "p", reasons: { into: "why", atLeast: 0.5, size: 3 } });
  type Decided = Extended & {
    rule: string | null;
    rule_decision: string | null;
    p: number | null;
    why: Reason[] | null;
  };
  holds<Same<ValueOf<typeof decided>, Flat<Decided>>>();
});

test("types flow: the result of a window is its key, its bounds and its aggregates", () => {
  const hourly = paymentsOf(new TopologyBuilder("types"))
    .windowedBy("card_id", { kind: "tumbling", sizeMs: hours(1), graceMs: 0 })
    .aggregate("hourly", (events) => ({ n: events.count(), top: events.top("shop_id", 3) }));
  holds<Same<ValueOf<typeof hourly>, Flat<Pick<Payment, "card_id"> & WindowBounds & { n: number; top: string[] }>>>();
  // @ts-expect-error: the events are gone, with their fields
  hourly.filter("large", (result) => result.amount > 100);
});

test("the type checks themselves can fail", () => {
  // @ts-expect-error: not the same
  holds<Same<{ a: number }, { a: number | null }>>();
  // @ts-expect-error: not the same
  holds<Same<{ a: number }, { a: number; b: number }>>();
});
