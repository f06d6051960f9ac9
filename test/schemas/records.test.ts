import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "vitest";
import { cardPaymentSchema } from "../../schemas/records.ts";
import { recordsSource } from "../../scripts/generate-records.ts";

test("schemas/records.ts says what the .avsc files say: run `npm run schemas`", () => {
  assert.ok(globSync("schemas/*.avsc").length > 0);
  assert.equal(readFileSync("schemas/records.ts", "utf8"), recordsSource());
});

test("a generated schema reads what it wrote, and knows its columns", () => {
  const payment = {
    payment_id: "p1",
    ts: 1_700_000_000_000,
    card_id: "c1",
    merchant_id: "m1",
    amount: 1250,
    currency: "EUR",
  };
  const buffer = Buffer.alloc(64);
  const end = cardPaymentSchema.encode(payment, buffer, 0);
  assert.deepEqual(cardPaymentSchema.decode(buffer, 0, end), payment);
  assert.deepEqual(
    cardPaymentSchema.columns.map(({ name, type }) => `${name} ${type}`),
    ["payment_id text", "ts integer", "card_id text", "merchant_id text", "amount integer", "currency text"],
  );
});
