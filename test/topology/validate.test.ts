import assert from "node:assert/strict";
import { test } from "vitest";
import {
  bareModel,
  type DurationMs,
  hours,
  KappaError,
  minutes,
  type Stream,
  TopologyBuilder,
} from "../../src/index.ts";
import { type Label, labelsOf, paymentSchema, paymentsOf, shopSchema, twoStages } from "./payments.ts";

/** The message that a topology is refused with. */
function refusal(declare: (builder: TopologyBuilder) => void, applicationId = "app"): string {
  try {
    const builder = new TopologyBuilder(applicationId);
    declare(builder);
    builder.build();
  } catch (error) {
    assert.ok(error instanceof KappaError, String(error));
    assert.equal(error.code, "KAPPA_TOPOLOGY_INVALID");
    return error.message;
  }
  throw new assert.AssertionError({ message: "was not refused" });
}

/** A name that the compiler would refuse, as a topology written in JavaScript could give it. */
const unchecked = (name: string) => name as never;

test("a topology that holds every rule is built", () => {
  assert.equal(twoStages().applicationId, "fraud");
});

test("an application id is a folder and a prefix of topics: lowercase, not empty, not hidden", () => {
  for (const id of ["", "Fraud", "-fraud", ".fraud", "fraud/1", "fraud-", "f".repeat(200)]) {
    assert.match(
      refusal(() => {}, id),
      /application id ".*" is not usable; use lowercase letters/,
    );
  }
});

test("a topology reads something", () => {
  assert.match(
    refusal(() => {}),
    /"app" reads nothing; begin with stream/,
  );
});

test("names become stores and topics, so each is given once", () => {
  const message = refusal((builder) => paymentsOf(builder).filter("payments", () => true));
  assert.match(message, /^filter "payments" in "app": a source has this name already; .* give another$/);
});

test("two sinks may write one topic", () => {
  const builder = new TopologyBuilder("app");
  const payments = paymentsOf(builder);
  payments.to("out", { schema: paymentSchema, key: "card_id" });
  payments.to("out", { schema: paymentSchema, key: "card_id" });
  assert.equal(builder.build().nodes.length, 3);
});

test("a name has letters, digits, dots, underscores and dashes", () => {
  const message = refusal((builder) => paymentsOf(builder).filter("over 100", () => true));
  assert.match(message, /^filter "over 100" .* letters, digits, "\.", "_" and "-" only/);
});

test("a key or an event time that the schema lacks is named", () => {
  const read = (key: string, time: string) => (builder: TopologyBuilder) => {
    builder.stream("payments", { schema: paymentSchema, key: unchecked(key), time: unchecked(time) });
  };
  assert.match(refusal(read("card", "ts")), /source "payments".* no field "card" for the key/);
  assert.match(refusal(read("card_id", "time")), /source "payments".* no field "time" for the event time/);
});

test("a column that is read but not there is named, with those that are", () => {
  const rekeyed = refusal((builder) => paymentsOf(builder).repartition("by-shop", { key: unchecked("shop") }));
  assert.match(rekeyed, /^repartition "by-shop".* reads column "shop", but "payments" gives payment_id, ts, card_id/);
  const deduped = refusal((builder) => paymentsOf(builder).dedup("once", { id: unchecked("id"), ttlMs: hours(1) }));
  assert.match(deduped, /^dedup "once".* reads column "id"/);
});

test("a key that a map dropped is missed by what needs it", () => {
  const message = refusal((builder) =>
    paymentsOf(builder)
      .mapValues("amounts", { amount: "integer" }, ({ amount }) => ({ amount }))
      .features("history", { graceMs: hours(1) }, (over) => ({ n: over.sliding(hours(1)).count() })),
  );
  assert.match(message, /^features "history".* reads column "card_id", but "amounts" gives amount$/);
});

test("an aggregate over a column that is not there is refused where it is declared", () => {
  const message = refusal((builder) =>
    paymentsOf(builder).features("history", { graceMs: hours(1) }, (over) => ({
      sum: over.sliding(hours(1)).sum(unchecked("amont")),
    })),
  );
  assert.match(message, /an aggregate reads "amont", which the value does not have/);
});

test("a model's columns and its `unless` are there", () => {
  const scored = (columns: string[], unless: string) => (builder: TopologyBuilder) => {
    paymentsOf(builder).score("score", {
      model: bareModel("m.onnx", columns),
      into: "score",
      unless: unchecked(unless),
    });
  };
  assert.match(refusal(scored(["amount", "velocity"], "country")), /^score "score".* reads column "velocity"/);
  assert.match(refusal(scored(["amount"], "rule")), /^score "score".* reads column "rule"/);
});

test("reasons need a model with medians", () => {
  const message = refusal((builder) =>
    paymentsOf(builder).score("score", {
      model: bareModel("m.onnx", ["amount"]),
      into: "score",
      reasons: { into: "reasons", atLeast: 0.5, size: 3 },
    }),
  );
  assert.match(message, /a bare model has no medians, so no reasons; give a model folder/);
});

test("a sink's schema wants only what the stream gives; what may be null may be absent", () => {
  const thin = {
    payment_id: "text",
    card_id: "text",
    ts: "integer",
    shop_id: "text",
    rate: "number",
    online: "boolean",
    items: "json",
  } as const;
  const message = refusal((builder) => {
    const thinned = paymentsOf(builder).mapValues("thin", thin, (payment) => payment);
    thinned.to("out", { schema: paymentSchema as never, key: "card_id" });
  });
  assert.match(message, /^sink "out".* its schema wants "amount", which "thin" does not give/);
  assert.doesNotMatch(message, /country/);
});

test("times are whole milliseconds from their least value on", () => {
  const features = (graceMs: DurationMs) => (builder: TopologyBuilder) => {
    paymentsOf(builder).features("history", { graceMs }, (over) => ({ n: over.unbounded().count() }));
  };
  assert.match(refusal(features(-1)), /features "history".* graceMs is -1 ms; give a whole number from 0 on/);
  assert.match(refusal(features(0.5)), /graceMs is 0\.5 ms/);
  assert.match(refusal(features(Number.NaN)), /graceMs is NaN ms/);
  assert.match(
    refusal((b) => paymentsOf(b).dedup("once", { id: "payment_id", ttlMs: 0 })),
    /ttlMs is 0 ms; give a whole number from 1 on/,
  );
  const table = (b: TopologyBuilder) => {
    paymentsOf(b);
    b.table("shops", { schema: shopSchema, key: "shop_id", graceMs: -5 });
  };
  assert.match(refusal(table), /table "shops".* graceMs is -5 ms/);
});

test("windows have a length; a hop divides it", () => {
  const windowed =
    (window: Parameters<ReturnType<typeof paymentsOf>["windowedBy"]>[1], idleMs?: DurationMs) =>
    (b: TopologyBuilder) => {
      const options = idleMs === undefined ? {} : { idleMs };
      paymentsOf(b)
        .windowedBy("card_id", window)
        .aggregate("per-card", (events) => ({ n: events.count() }), options);
    };
  const graceMs = minutes(1);
  assert.match(refusal(windowed({ kind: "tumbling", sizeMs: 0, graceMs })), /window "per-card".* sizeMs is 0 ms/);
  assert.match(refusal(windowed({ kind: "session", gapMs: 0, graceMs })), /gapMs is 0 ms/);
  assert.match(
    refusal(windowed({ kind: "hopping", sizeMs: 10, advanceMs: 10, graceMs })),
    /advanceMs 10 must divide sizeMs 10 and be less/,
  );
  assert.match(
    refusal(windowed({ kind: "hopping", sizeMs: 10, advanceMs: 3, graceMs })),
    /advanceMs 3 must divide sizeMs 10/,
  );
  assert.match(refusal(windowed({ kind: "tumbling", sizeMs: 10, graceMs }, 0)), /idleMs is 0 ms/);
});

test("a sliding window and a count window hold something", () => {
  const windows = (size: number, delayMs: number) => (b: TopologyBuilder) => {
    paymentsOf(b).features("history", { graceMs: 0 }, (over) => ({ n: over.sliding(size, { delayMs }).count() }));
  };
  assert.match(refusal(windows(0, 0)), /a sliding window of 0 ms/);
  assert.match(refusal(windows(1, -1)), /a window delay of -1 ms/);
  const last = (b: TopologyBuilder) => {
    paymentsOf(b).features("history", { graceMs: 0 }, (over) => ({ n: over.lastEvents(0).count() }));
  };
  assert.match(refusal(last), /a window of the last 0 events/);
});

test("windows are keyed as their stream is", () => {
  const message = refusal((b) => paymentsOf(b).windowedBy("shop_id", { kind: "tumbling", sizeMs: 10, graceMs: 0 }));
  assert.match(message, /windows by "shop_id" on a stream partitioned by "card_id"; repartition by "shop_id" first/);
});

test("marks name events, so features with marks have an id", () => {
  const message = refusal((b) => {
    const marks = { fraud: labelsOf(b).marking({ id: "payment_id", time: "payment_ts" }) };
    paymentsOf(b).features("history", { graceMs: 0, marks }, (over) => ({ n: over.unbounded().ratio("fraud") }));
  });
  assert.match(message, /features "history" have marks but no id/);
});

test("marks come over the key space of their events", () => {
  const message = refusal((b) => {
    const marks = { fraud: labelsOf(b).marking({ id: "payment_id", time: "payment_ts" }) };
    paymentsOf(b)
      .repartition("by-shop", { key: "shop_id" })
      .features("history", { graceMs: 0, id: "payment_id", marks }, (over) => ({ n: over.unbounded().ratio("fraud") }));
  });
  assert.match(
    message,
    /mark "fraud" comes from "labels", its events from "by-shop"; repartition both under one key space/,
  );
});

test("a table is joined by its key, unless every task has it whole", () => {
  const joined = (global: boolean) => (b: TopologyBuilder) => {
    const options = { schema: shopSchema, key: "shop_id", time: "ts" } as const;
    const shops = global ? b.globalTable("shops", options) : b.table("shops", options);
    paymentsOf(b).join("with-shop", shops, { key: "shop_id", columns: { risk: "number" } }, (_, { risk }) => ({
      risk,
    }));
  };
  assert.match(
    refusal(joined(false)),
    /join "with-shop".* joins by "shop_id" a stream that is partitioned by "card_id"; repartition it by "shop_id" or use globalTable/,
  );
  const builder = new TopologyBuilder("app");
  joined(true)(builder);
  builder.build();
});

test("keys that meet are of one type: text never equals a number", () => {
  const joined = refusal((b) => {
    const shops = b.globalTable("shops", { schema: shopSchema, key: "shop_id" });
    paymentsOf(b).join("with-shop", shops, { key: "amount", columns: { risk: "number" } }, (_, { risk }) => ({ risk }));
  });
  assert.match(joined, /^join "with-shop".* "amount" is integer, the key of "shops" is text, so they are never equal/);
  const marked = refusal((b) => {
    const marks = { fraud: labelsOf(b).marking({ id: "payment_ts", time: "payment_ts" }) };
    paymentsOf(b).features("history", { graceMs: 0, id: "payment_id", marks }, (over) => ({
      n: over.unbounded().ratio("fraud"),
    }));
  });
  assert.match(marked, /^features "history".* "payment_id" is text, "payment_ts" of mark "fraud" is integer/);
});

test("a mark's columns are there", () => {
  const message = refusal((b) => {
    const marks = { fraud: labelsOf(b).marking({ id: "payment_id", time: unchecked("paid_at") }) };
    paymentsOf(b).features("history", { graceMs: 0, id: "payment_id", marks }, (over) => ({
      n: over.unbounded().ratio("fraud"),
    }));
  });
  assert.match(message, /mark "fraud" reads column "paid_at", which "labels" does not give/);
});

test("events that another stream asks for have the key it asks by, of its type", () => {
  const asking = (labels: (b: TopologyBuilder) => Stream<Label>) =>
    refusal((b) => {
      paymentsOf(b).featuresOf("known", labels(b), { graceMs: 0 }, (over) => ({ n: over.unbounded().count() }));
    });
  assert.match(
    asking((b) => labelsOf(b).mapValues("bare", { payment_id: "text" }, (label) => label) as never),
    /^features "known".* its events come from "bare", which no longer gives their key "card_id"/,
  );
  assert.match(
    asking((b) => labelsOf(b).extend("numbered", { card_id: "integer" }, () => ({ card_id: 1 })) as never),
    /^features "known".* "card_id" is text, "card_id" of "numbered" is integer, so they are never equal/,
  );
});

test("a node of another topology is refused", () => {
  const other = labelsOf(new TopologyBuilder("other"))
    .filter("a", () => true)
    .filter("b", () => true);
  const message = refusal((b) => paymentsOf(b).merge("all", other as unknown as ReturnType<typeof paymentsOf>));
  assert.match(message, /merge "all".* it reads a stream of another topology/);
});

test("the error names the node as data", () => {
  const builder = new TopologyBuilder("app");
  paymentsOf(builder).filter("over 100", () => true);
  assert.throws(
    () => builder.build(),
    (error: unknown) => error instanceof KappaError && error.context.node === "over 100",
  );
});
