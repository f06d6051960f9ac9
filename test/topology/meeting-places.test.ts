import assert from "node:assert/strict";
import { test } from "vitest";
import { bareModel, KappaError, type Stream, TopologyBuilder } from "../../src/index.ts";
import { labelsOf, type Payment, paymentSchema, paymentsOf, shopSchema } from "./payments.ts";

type Payments = Stream<Payment>;

/** The message that a topology is refused with, or null when it is built. */
function refusal(declare: (payments: Payments, builder: TopologyBuilder) => void): string | null {
  const builder = new TopologyBuilder("app");
  declare(paymentsOf(builder), builder);
  try {
    builder.build();
    return null;
  } catch (error) {
    assert.ok(error instanceof KappaError && error.code === "KAPPA_TOPOLOGY_INVALID", String(error));
    return error.message;
  }
}

/** Not scored, with the columns that a scored one has. */
const unscored = (payments: Payments, name: string) =>
  payments.extend(name, { score: "number?" }, () => ({ score: null }));

const scored = (payments: Payments, name: string) =>
  unscored(payments, `${name}-score`).score(name, { model: bareModel("m.onnx", ["amount"]), into: "score" });

test("a merge of scored and unscored rows would order them by commits: refused, naming both", () => {
  const message = refusal((payments) => {
    const large = scored(
      payments.filter("large", ({ amount }) => amount > 100),
      "model",
    );
    unscored(
      payments.filter("small", ({ amount }) => amount <= 100),
      "pass",
    ).merge("all", large);
  });
  assert.match(
    message ?? "",
    /^merge "all" in "app": "pass" has passed no model, "model" has passed "model"; .*score after the merge, or on neither side$/,
  );
});

test("a merge of rows that passed different models is refused", () => {
  const message = refusal((payments) => {
    const large = scored(
      payments.filter("large", ({ amount }) => amount > 100),
      "model-a",
    );
    scored(
      payments.filter("small", ({ amount }) => amount <= 100),
      "model-b",
    ).merge("all", large);
  });
  assert.match(message ?? "", /"model-b" has passed "model-b", "model-a" has passed "model-a"/);
});

test("rows that fork behind a model and meet again kept their order", () => {
  const message = refusal((payments) => {
    const both = scored(payments, "model");
    const large = both.filter("large", ({ amount }) => amount > 100);
    both.filter("small", ({ amount }) => amount <= 100).merge("all", large);
  });
  assert.equal(message, null);
});

test("a model behind a merge scores both sides", () => {
  const message = refusal((payments) => {
    const large = payments.filter("large", ({ amount }) => amount > 100);
    scored(payments.filter("small", ({ amount }) => amount <= 100).merge("all", large), "model");
  });
  assert.equal(message, null);
});

test("marks and the events they judge pass the same models", () => {
  const message = refusal((payments, builder) => {
    const marks = { fraud: labelsOf(builder).marking({ id: "payment_id", time: "payment_ts" }) };
    scored(payments, "model").features("history", { graceMs: 0, id: "payment_id", marks }, (over) => ({
      risk: over.unbounded().ratio("fraud"),
    }));
  });
  assert.match(
    message ?? "",
    /^features "history".*"model" has passed "model", "labels" has passed no model; .*score after the features/,
  );
});

test("events and those that ask for them pass the same models, and come over one key space", () => {
  const asked = (events: (payments: Payments, builder: TopologyBuilder) => Payments) =>
    refusal((payments, builder) => {
      payments.featuresOf("known", events(payments, builder), { graceMs: 0 }, (over) => ({
        n: over.unbounded().count(),
      }));
    });
  const others = (builder: TopologyBuilder) => paymentsOf(builder, "others");
  assert.equal(
    asked((_, builder) => others(builder)),
    null,
  );
  assert.match(
    asked((_, builder) => scored(others(builder), "model") as never) ?? "",
    /^features "known" in "app": "payments" has passed no model, "model" has passed "model"/,
  );
  const apart = refusal((payments, builder) => {
    const events = others(builder).repartition("by-shop", { key: "shop_id" });
    payments
      .repartition("by-shop-too", { key: "shop_id" })
      .featuresOf("known", events, { graceMs: 0 }, (over) => ({ n: over.unbounded().count() }));
  });
  assert.match(apart ?? "", /repartition both under one name/);
});

test("a table's changes do not wait for a model, so a join comes before it; a global table has no order to lose", () => {
  const joined = (global: boolean) =>
    refusal((payments, builder) => {
      const options = { schema: shopSchema, key: "shop_id", time: "ts" } as const;
      const shops = global ? builder.globalTable("shops", options) : builder.table("shops", options);
      const byShop = payments.repartition("by-shop", { key: "shop_id" });
      scored(byShop, "model").join(
        "with-shop",
        shops,
        { key: "shop_id", columns: { risk: "number" } },
        (_, { risk }) => ({ risk }),
      );
    });
  assert.match(joined(false) ?? "", /^join "with-shop".*score after the join, or on neither side$/);
  assert.equal(joined(true), null);
});

test("what one sub-topology sends to a key space has one order, so all of it passes the same models", () => {
  const message = refusal((payments, builder) => {
    scored(payments, "model").repartition("by-shop", { key: "shop_id" });
    labelsOf(builder).repartition("by-shop", { key: "shop_id" });
  });
  assert.match(
    message ?? "",
    /^repartition "by-shop-1".*"model" has passed "model", "labels" has passed no model; .*score after the repartition/,
  );
});

test("behind a repartition scored rows are rows as any other", () => {
  const message = refusal((payments, builder) => {
    const one = scored(payments, "model").repartition("by-shop", { key: "shop_id" });
    const two = paymentsOf(builder, "more").repartition("by-id", { key: "payment_id" });
    unscored(two, "pass").repartition("by-shop", { key: "shop_id" }).merge("all", one);
  });
  assert.equal(message, null);
});

test("merged streams are partitioned alike", () => {
  const message = refusal((payments, builder) => {
    const others = builder.stream("others", { schema: paymentSchema, key: "shop_id", time: "ts" });
    payments.merge("all", others);
  });
  assert.match(
    message ?? "",
    /^merge "all".*"payments" is partitioned by "card_id", "others" by "shop_id"; repartition one as the other$/,
  );
});

test("merged streams give each field one type, a whole number not being any number", () => {
  const message = refusal((payments) => {
    const whole = payments.extend("whole", { x: "integer" }, () => ({ x: 1 }));
    payments.extend("any", { x: "number" }, () => ({ x: 0.5 })).merge("all", whole);
  });
  assert.match(message ?? "", /^merge "all".*"any" gives x as number, "whole" as integer/);
});

test("a sub-topology reads one key space", () => {
  const message = refusal((payments, builder) => {
    const one = payments.repartition("by-shop", { key: "shop_id" });
    one.merge("all", paymentsOf(builder, "more").repartition("of-shop", { key: "shop_id" }));
  });
  assert.match(
    message ?? "",
    /^merge "all".* over key space "of-shop" and meet rows of "by-shop"; repartition both under one name$/,
  );
});

test("a key space that feeds itself would wait for itself", () => {
  const direct = refusal((payments) => {
    const byShop = payments.repartition("by-shop", { key: "shop_id" });
    byShop
      .filter("large", () => true)
      .repartition("by-shop", { key: "shop_id" })
      .merge("all", byShop);
  });
  assert.match(direct ?? "", /^repartition "by-shop-1".* key space "by-shop" is read by what feeds it/);
  const roundabout = refusal((payments) => {
    const byShop = payments.repartition("by-shop", { key: "shop_id" });
    const byId = byShop.filter("large", () => true).repartition("by-id", { key: "payment_id" });
    byId
      .filter("back", () => true)
      .repartition("by-shop", { key: "shop_id" })
      .merge("all", byShop);
  });
  assert.match(roundabout ?? "", /each would wait for the other; give it a name of its own/);
});
