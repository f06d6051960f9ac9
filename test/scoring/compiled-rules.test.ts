import assert from "node:assert/strict";
import { test } from "vitest";
import { noMeter } from "../../src/core/meter.ts";
import { type CompiledRules, compileRules, lintRules } from "../../src/scoring/compiled-rules.ts";
import type { RuleColumn } from "../../src/scoring/rule-expression.ts";
import { levelOf, parseRules } from "../../src/scoring/rules.ts";
import { CountingMeter } from "./fixture.ts";

const columns: RuleColumn[] = [
  { name: "amount", type: "number", nullable: false },
  { name: "count_1h", type: "integer", nullable: false },
  { name: "country", type: "text", nullable: false },
  { name: "ip_country", type: "text", nullable: true },
  { name: "speed", type: "number", nullable: true },
  { name: "new_device", type: "boolean", nullable: false },
  { name: "amounts", type: "json", nullable: true },
  { name: "terminal_id", type: "text", nullable: false },
  { name: "type", type: "text", nullable: false },
];

const row = {
  amount: 200,
  count_1h: 5,
  country: "CH",
  ip_country: "CH" as string | null,
  speed: 30 as number | null,
  new_device: true,
  amounts: [1, 2, 3] as number[] | null,
  terminal_id: "T1",
  type: "x",
};

interface Entry {
  readonly id?: string;
  readonly when: string;
  readonly then?: string;
}

function file(entries: readonly Entry[], rest: object = {}): string {
  const rules = entries.map((entry, i) => ({ id: `r${i}`, then: "decline", reason: "test", ...entry }));
  return JSON.stringify({ version: 1, rules, ...rest });
}

function compile(entries: readonly Entry[], rest: object = {}, meter = noMeter): CompiledRules {
  return compileRules(parseRules(file(entries, rest), "rules.json"), columns, meter);
}

function holds(when: string, change: Partial<typeof row> = {}, rest: object = {}): boolean {
  return compile([{ when }], rest).first({ ...row, ...change }) !== undefined;
}

test("the first rule that holds decides, and later ones are not asked", () => {
  const rules = compile([
    { id: "large", when: "amount > 1000", then: "decline" },
    { id: "small", when: "amount < 10", then: "allow" },
    { id: "device", when: "new_device", then: "step-up" },
    { id: "any", when: "true", then: "score" },
  ]);
  const idOf = (change: Partial<typeof row>): string | undefined => rules.first({ ...row, ...change })?.id;
  assert.equal(idOf({ amount: 1001 }), "large");
  assert.equal(idOf({ amount: 9 }), "small");
  assert.equal(idOf({}), "device");
  assert.equal(idOf({ new_device: false }), "any");
});

test("a rule that declines is HIGH, one that allows is LOW, all else is MEDIUM", () => {
  assert.deepEqual([levelOf("decline"), levelOf("allow")], ["HIGH", "LOW"]);
  for (const outcome of ["step-up", "review", "score", undefined] as const) assert.equal(levelOf(outcome), "MEDIUM");
});

test.each([
  ["amount > 100", true],
  ["amount == 200", true],
  ["200 == amount", true],
  ["amount != 200", false],
  ["amount * 2 == 400", true],
  ["(1 - amount) * 2 < -300", true],
  ["amount / 3 > 66.6 && amount / 3 < 66.7", true],
  ["amount % 100 == 0", true],
  ["count_1h >= 5 && country == 'CH'", true],
  ["country in ['AT', 'CH']", true],
  ["country in home", true],
  ["country in away", false],
  ["!(country in away)", true],
  ["amount in round", true],
  ["!new_device || country.startsWith('C')", true],
  ["amounts.exists(a, a > 2)", true],
  ["size(amounts) == 3", true],
])("%s gives %s", (when, expected) => {
  assert.equal(holds(when, {}, { lists: { home: ["CH"], away: ["US"], round: [100, 200] } }), expected);
});

// A missing country is not "not CH".
test("a rule that reads an absent column does not hold, unless it asks for null itself", () => {
  const absent = { ip_country: null, speed: null };
  assert.equal(holds("ip_country != country", { ip_country: "US" }), true);
  assert.equal(holds("ip_country != country", absent), false);
  assert.equal(holds("!(speed > 900.0)", absent), false);
  assert.equal(holds("amount > 1 && speed < 900.0", absent), false);
  assert.equal(holds("ip_country == null", absent), true);
  assert.equal(holds("ip_country == null", {}), false);
  assert.equal(holds("null != ip_country", {}), true);
  assert.equal(holds("speed == null || speed > 900", absent), true);
  assert.equal(holds("speed == null || speed > 900", { speed: 901 }), true);
  assert.equal(holds("speed == null || speed * 2 > 900", { speed: 30 }), false);
});

test("an absent column is no failure of the rule", () => {
  const meter = new CountingMeter();
  const rules = compile([{ when: "speed > 900.0" }, { when: "size(amounts) > 9" }], {}, meter);
  assert.equal(rules.first({ ...row, speed: null, amounts: null }), undefined);
  assert.deepEqual([...meter.counts], []);
});

test("a rule that fails on a row does not hold, is counted, and the next ones are asked", () => {
  const meter = new CountingMeter();
  const rules = compile(
    [
      { id: "ninth", when: "amounts[9] > 1.0" },
      { id: "other", when: "amount > 1" },
    ],
    {},
    meter,
  );
  assert.equal(rules.first(row)?.id, "other");
  assert.equal(meter.counts.get("kappa_rule_failures_total ninth"), 1);
  assert.equal(meter.counts.has("kappa_rule_failures_total other"), false);
});

test.each([
  ["amuont > 1", /rule r0: unknown variable: amuont, at character 1/],
  ["amount > 1 &&\n country > 5", /rule r0: no such overload: string > int, at character 16/],
  ["amount > 'x'", /no such overload: double > string/],
  ["ip_country == null && ip_country > 5", /no such overload: string > int, at character 23/],
  ["amount", /rule r0: gives double, needed: bool/],
  ["amount >", /rule r0: unexpected token: eof, at character 9/i],
  ["amount in [100, 200]", /numbers are doubles, write 100.0 in a list/],
  ["amount in home", /no such overload: double in TextList, at character 1/],
  ["type == 'x'", /type is a word of CEL; give the column or list another name, at character 1/],
  ["__proto__ == 1", /reserved identifier/],
  ["constructor == 1", /unknown variable: constructor/],
])("%s is refused when the set is loaded", (when, message) => {
  const act = (): unknown => compile([{ when }], { lists: { home: ["CH"] } });
  assert.throws(act, { code: "KAPPA_RULES_INVALID", message });
});

test("the properties of built-in objects are not reachable", () => {
  const meter = new CountingMeter();
  const rules = compile([{ id: "reach", when: "amounts.constructor == 1" }], {}, meter);
  assert.equal(rules.first(row), undefined);
});

test.each([
  ["not JSON", "{", /rule file rules.json: it is not JSON/],
  ["an unknown outcome", file([{ when: "true", then: "block" }]), /rules.0.then/],
  [
    "an id twice",
    file([
      { id: "a", when: "true" },
      { id: "a", when: "false" },
    ]),
    /rule a is listed twice/,
  ],
  ["no version", JSON.stringify({ rules: [] }), /version/],
  ["a mixed list", file([], { lists: { a: ["x", 1] } }), /lists.a/],
  [
    "bands with a gap",
    file([], { bands: [{ decision: "allow", from: 0, to: 1, includes: "to" }] }),
    /bands: the bands start after 0/,
  ],
])("a file with %s is refused", (_, text, message) => {
  assert.throws(() => parseRules(text, "rules.json"), { code: "KAPPA_RULES_INVALID", message });
});

test("a set carries its bands", () => {
  const set = parseRules(file([], { bands: "textbook-0" }), "rules.json");
  assert.equal(set.bands?.decide(0.9), "review");
});

test("lint tells every error and what looks wrong, each with its rule", () => {
  const entries = [
    { id: "a", when: "nope > 1" },
    { id: "b", when: "amount > 1 || speed > 900.0" },
    { id: "c", when: "true" },
    { id: "d", when: "country == 5" },
    { id: "e", when: "true" },
  ];
  const findings = lintRules(file(entries), "rules.json", columns);
  assert.deepEqual(
    findings.map(({ severity, rule, message }) => `${severity} ${rule}: ${message.slice(0, 40)}`),
    [
      "error a: unknown variable: nope",
      "warning b: does not hold where speed is absent, wha",
      "warning d: is never reached: rule c before it alway",
      "error d: no such overload: string == int",
      "warning e: is never reached: rule c before it alway",
      "warning e: is never reached: rule c before it has t",
    ],
  );
  assert.deepEqual(lintRules(file([{ when: "amount > 1" }]), "rules.json", columns), []);
});

test("lint reports a file that cannot be read and a list that hides a column", () => {
  assert.match(lintRules("[]", "rules.json", columns)[0]?.message ?? "", /rules\.json/);
  const hidden = lintRules(file([], { lists: { amount: [1] } }), "rules.json", columns);
  assert.match(hidden[0]?.message ?? "", /list amount has the name of a column/);
});
