import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { type Band, Bands } from "../../src/scoring/bands.ts";

const float32 = Math.fround;

test("textbook-4: below 0.3 allow, both limits step up, above 0.7 decline, as float32", () => {
  const bands = new Bands("textbook-4");
  const expected = [
    [0, "allow"],
    [0.2999, "allow"],
    [0.3, "step-up"],
    [0.5, "step-up"],
    [0.7, "step-up"],
    [0.7001, "decline"],
    [1, "decline"],
  ] as const;
  for (const [score, decision] of expected) {
    assert.equal(bands.decide(score), decision, `double ${score}`);
    assert.equal(bands.decide(float32(score)), decision, `float32 ${score}`);
  }
});

test("the float32 next below a limit is below it, the next above is above", () => {
  const bands = new Bands("textbook-4");
  assert.equal(bands.decide(neighbour(0.3, -1)), "allow");
  assert.equal(bands.decide(neighbour(0.7, +1)), "decline");
});

function neighbour(value: number, step: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] as number) + step;
  return new Float32Array(bits.buffer)[0] as number;
}

test("textbook-0: a model sends to review, it never declines", () => {
  const bands = new Bands("textbook-0");
  assert.deepEqual(
    [0, 0.5, 0.51, 1].map((score) => bands.decide(score)),
    ["allow", "allow", "review", "review"],
  );
});

test("what lies in no band is for review, never allowed", () => {
  const bands = new Bands("textbook-4");
  for (const score of [Number.NaN, -0.001, 1.001, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
    assert.equal(bands.decide(score), "review", String(score));
  }
});

test.each<[string, Band[], RegExp]>([
  ["nothing", [], /no bands/],
  [
    "a gap",
    [band(0, 0.3, "both"), band(0.4, 1, "both")],
    /bands 0 .* and 1 .* leave a gap: the first ends at 0.3, the second starts at 0.4/,
  ],
  [
    "an overlap",
    [band(0, 0.5, "both"), band(0.4, 1, "both")],
    /overlap: the first ends at 0.5, the second starts at 0.4/,
  ],
  ["a limit in no band", [band(0, 0.5, "from"), band(0.5, 1, "to")], /leave a gap: neither includes 0.5/],
  ["a limit in two bands", [band(0, 0.5, "both"), band(0.5, 1, "both")], /overlap: both include 0.5/],
  ["an empty band", [band(0, 0.5, "both"), band(0.5, 0.5, "to"), band(0.5, 1, "to")], /band 1 .* is empty/],
  ["a band turned round", [band(0.5, 0, "both")], /band 0 .* is empty/],
  ["a missing start", [band(0.1, 1, "both")], /start at 0.1, scores at 0/],
  ["a start without its limit", [band(0, 1, "to")], /start after 0, scores at 0/],
  ["a missing end", [band(0, 0.9, "both")], /end at 0.9, scores at 1/],
  ["an end without its limit", [band(0, 1, "from")], /end before 1, scores at 1/],
])("%s is refused", (_, bands, message) => {
  assert.throws(() => new Bands(bands), { code: "KAPPA_RULES_INVALID", message });
});

function band(
  from: number | null,
  to: number | null,
  includes: Band["includes"],
  decision: Band["decision"] = "allow",
): Band {
  return { decision, from, to, includes };
}

test("raw scores need bands over all numbers", () => {
  const raw = [band(null, 0, "none"), band(0, null, "from", "decline")];
  const bands = new Bands(raw, "raw");
  assert.deepEqual(
    [-1e30, -1e-30, 0, 1e30].map((score) => bands.decide(score)),
    ["allow", "allow", "decline", "decline"],
  );
  assert.throws(() => new Bands("textbook-4", "raw"), { message: /start at 0, scores at -Infinity/ });
});

test("limits that are one float32 are one limit", () => {
  const bands = new Bands([band(0, 0.3, "from"), band(0.3 + 1e-12, 1, "both", "decline")]);
  assert.equal(bands.decide(0.3), "decline");
});

// Against a search that asks each band alone, on limits and their neighbours.
test("every score of a probability lies in exactly one band", () => {
  const limits = fc.uniqueArray(fc.float({ min: float32(0.01), max: float32(0.99), noNaN: true }), {
    minLength: 1,
    maxLength: 6,
  });
  fc.assert(
    fc.property(limits, fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }), (unsorted, belowOwns) => {
      const sorted = [0, ...unsorted.sort((a, b) => a - b), 1];
      const decisions = ["allow", "step-up", "decline", "review"] as const;
      const made = sorted.slice(1).map((to, i) => {
        const lower = i === 0 || belowOwns[i - 1] === false;
        const upper = i === sorted.length - 2 || belowOwns[i] === true;
        const includes = lower && upper ? "both" : lower ? "from" : upper ? "to" : "none";
        return band(sorted[i] as number, to, includes, decisions[i % 4] as Band["decision"]);
      });
      const bands = new Bands(made);
      for (const score of sorted.flatMap((limit) => [limit, neighbour(limit, 1), Math.max(0, neighbour(limit, -1))])) {
        if (score > 1 || Number.isNaN(score)) continue;
        const holding = made.filter(({ from, to, includes }) => {
          if (from === null || to === null) return false;
          const above = includes === "from" || includes === "both" ? score >= from : score > from;
          return above && (includes === "to" || includes === "both" ? score <= to : score < to);
        });
        assert.equal(holding.length, 1);
        assert.equal(bands.decide(score), holding[0]?.decision);
      }
    }),
  );
});
