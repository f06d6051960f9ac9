import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "vitest";
import type { FraudDecision, Transaction } from "../../schemas/records.ts";
import { FraudSimulator } from "../../topologies/fraud/simulator.ts";
import { dayMs, decide, eventsByTopic, hourMs, payment, profile, startMs } from "./fraud-town.ts";

/** Three weeks of a small town: enough that every window has filled and frauds have become known. */
const town = eventsByTopic(
  new FraudSimulator({ seed: 5, startMs, customerCount: 60, terminalCount: 100, paymentsPerCustomerDay: 4 }).until(
    startMs + 21 * dayMs,
  ),
);
let townDecided: Promise<FraudDecision[]> | undefined;
/** The town's decisions, made once. */
const decided = (): Promise<FraudDecision[]> => {
  townDecided ??= decide(town);
  return townDecided;
};

const by = (decisions: readonly FraudDecision[], id: string): FraudDecision => {
  const found = decisions.filter(({ tx_id }) => tx_id === id);
  assert.equal(found.length, 1, `${id} is decided ${found.length} times`);
  return found[0] as FraudDecision;
};

const within = (all: readonly Transaction[], atMs: number, sizeMs: number): Transaction[] =>
  all.filter(({ ts }) => ts > atMs - sizeMs && ts <= atMs);

const sumOf = (all: readonly Transaction[]): number => all.reduce((sum, { amount }) => sum + amount, 0) / 100;

test("every transaction is decided once", async () => {
  const decisions = await decided();
  assert.ok(decisions.length > 4000, `${decisions.length} decisions`);
  assert.deepEqual(decisions.map(({ tx_id }) => tx_id).sort(), town.transactions.map(({ tx_id }) => tx_id).sort());
});

test("velocity is what counting the customer's payments one by one gives", async () => {
  const decisions = await decided();
  const ofCustomer = Map.groupBy(town.transactions, ({ customer_id }) => customer_id);
  for (const decision of decisions) {
    const all = ofCustomer.get(decision.customer_id) ?? [];
    for (const [name, sizeMs] of [
      ["1h", hourMs],
      ["24h", dayMs],
      ["7d", 7 * dayMs],
    ] as const) {
      const counted = within(all, decision.ts, sizeMs);
      assert.equal(decision[`customer_count_${name}`], counted.length, `${decision.tx_id} count ${name}`);
      assert.equal(decision[`customer_sum_${name}`], sumOf(counted), `${decision.tx_id} sum ${name}`);
      if (name === "1h") continue;
      const merchants = new Set(counted.map(({ merchant_id }) => merchant_id)).size;
      assert.equal(decision[`customer_merchants_${name}`], merchants, `${decision.tx_id} merchants ${name}`);
    }
  }
});

test("the amount is measured against the customer's payments before it", async () => {
  const decisions = await decided();
  const ofCustomer = Map.groupBy(town.transactions, ({ customer_id }) => customer_id);
  let measured = 0;
  for (const decision of decisions) {
    const all = ofCustomer.get(decision.customer_id) ?? [];
    const before = within(all, decision.ts, 30 * dayMs).filter(({ tx_id }) => tx_id !== decision.tx_id);
    if (before.some(({ ts }) => ts === decision.ts)) continue;
    const mean = sumOf(before) / before.length;
    const sd = Math.sqrt(before.reduce((sum, { amount }) => sum + (amount / 100 - mean) ** 2, 0) / (before.length - 1));
    if (before.length < 5) assert.equal(decision.amount_z, null);
    else {
      measured++;
      assert.ok(Math.abs((decision.amount_z ?? Number.NaN) - (decision.amount - mean) / sd) < 1e-9, decision.tx_id);
    }
    const lastTen = before.slice(-10);
    if (lastTen.length === 0) assert.equal(decision.customer_mean_last_10, null);
    else assert.ok(Math.abs((decision.customer_mean_last_10 ?? Number.NaN) - sumOf(lastTen) / lastTen.length) < 1e-9);
  }
  assert.ok(measured > 3000, `${measured} measured`);
});

test("a terminal's hour and its known frauds are what counting one by one gives", async () => {
  const decisions = await decided();
  const ofTerminal = Map.groupBy(town.transactions, ({ terminal_id }) => terminal_id);
  const knownMs = new Map(town.labels.filter(({ fraud }) => fraud).map(({ tx_id, ts }) => [tx_id, ts]));
  let risky = 0;
  for (const decision of decisions) {
    const all = ofTerminal.get(decision.terminal_id) ?? [];
    const hour = within(all, decision.ts, hourMs);
    assert.equal(decision.terminal_count_1h, hour.length, decision.tx_id);
    assert.equal(decision.terminal_customers_1h, new Set(hour.map(({ customer_id }) => customer_id)).size);
    for (const [name, sizeMs] of [
      ["1d", dayMs],
      ["7d", 7 * dayMs],
      ["30d", 30 * dayMs],
    ] as const) {
      const old = within(all, decision.ts - 7 * dayMs, sizeMs);
      const frauds = old.filter(({ tx_id }) => (knownMs.get(tx_id) ?? Number.POSITIVE_INFINITY) <= decision.ts);
      assert.equal(decision[`terminal_count_${name}`], old.length, decision.tx_id);
      assert.equal(decision[`terminal_risk_${name}`], old.length === 0 ? 0 : frauds.length / old.length);
      if (frauds.length > 0) risky++;
    }
  }
  assert.ok(risky > 0, "no terminal was ever risky");
});

// day   0      3          7          8             14
//       paid   reported   visible    leaves 1 d    still in 7 d
test("a fraud counts against its terminal 7 days after it was made", async () => {
  const paid = payment("paid", 0);
  const label = {
    tx_id: "paid",
    ts: startMs + 3 * dayMs,
    tx_ts: startMs,
    customer_id: "C1",
    terminal_id: "T1",
    fraud: true,
  };
  const decisions = await decide({
    labels: [label],
    transactions: [
      paid,
      payment("early", 7 * dayMs - 1),
      payment("on-the-day", 7 * dayMs),
      payment("next-day", 8 * dayMs),
    ],
  });
  const risks = (id: string) => {
    const { terminal_count_1d, terminal_risk_1d, terminal_risk_7d, terminal_risk_30d } = by(decisions, id);
    return [terminal_count_1d, terminal_risk_1d, terminal_risk_7d, terminal_risk_30d];
  };
  assert.deepEqual(risks("paid"), [0, 0, 0, 0]);
  assert.deepEqual(risks("early"), [0, 0, 0, 0]);
  assert.deepEqual(risks("on-the-day"), [1, 1, 1, 1]);
  assert.deepEqual(risks("next-day"), [0, 0, 1, 1]);
});

test("a dispute that was found genuine counts against nobody", async () => {
  const label = {
    tx_id: "paid",
    ts: startMs + dayMs,
    tx_ts: startMs,
    customer_id: "C1",
    terminal_id: "T1",
    fraud: false,
  };
  const decisions = await decide({ labels: [label], transactions: [payment("paid", 0), payment("later", 7 * dayMs)] });
  assert.equal(by(decisions, "later").terminal_count_7d, 1);
  assert.equal(by(decisions, "later").terminal_risk_7d, 0);
});

test("a card that is far away too soon is asked for a second proof, and an airliner is not", async () => {
  const newYork = { country: "US", lat: 40.7128, lon: -74.006 } as const;
  const decisions = await decide({
    profiles: [profile],
    transactions: [
      payment("home", 0),
      payment("impossible", hourMs, newYork),
      payment("online", 1.5 * hourMs, { channel: "online" }),
      payment("flown", 9 * hourMs, newYork),
    ],
  });
  const impossible = by(decisions, "impossible");
  assert.equal(impossible.impossible_travel, true);
  assert.deepEqual([impossible.decision, impossible.rule], ["step-up", "impossible-travel"]);
  // 5,837 km by the haversine formula with the earth's mean radius, 6371.007 km.
  assert.ok(Math.abs((impossible.km_from_last ?? 0) - 5837) < 2, `${impossible.km_from_last} km`);
  assert.ok(Math.abs((impossible.speed_kmh ?? 0) - 5837) < 2);
  assert.equal(impossible.country_mismatch, true);
  assert.equal(by(decisions, "online").rule, null);
  assert.equal(by(decisions, "flown").impossible_travel, false);
  assert.equal(by(decisions, "home").km_from_last, null);
});

test("the profile of the time is compared: a device counts as known from when it was registered", async () => {
  const online = { channel: "online", device_id: "D2", ip_country: "DE" } as const;
  const decisions = await decide({
    profiles: [profile, { ...profile, ts: startMs + 2 * hourMs, device_ids: ["D1", "D2"] }],
    transactions: [payment("new", hourMs, online), payment("known", 2 * hourMs, online), payment("till", 3 * hourMs)],
  });
  assert.deepEqual([by(decisions, "new").device_mismatch, by(decisions, "known").device_mismatch], [true, false]);
  assert.equal(by(decisions, "new").ip_country_mismatch, true);
  assert.deepEqual([by(decisions, "till").device_mismatch, by(decisions, "till").ip_country_mismatch], [null, null]);
  assert.ok(Math.abs((by(decisions, "new").account_age_days ?? 0) - (100 + 1 / 24)) < 1e-9);
});

test("without a profile nothing is said about home", async () => {
  const [decision] = await decide({ transactions: [payment("p", 0, { channel: "online", device_id: "D1" })] });
  const { km_from_home, country_mismatch, device_mismatch, account_age_days } = decision as FraudDecision;
  assert.deepEqual([km_from_home, country_mismatch, device_mismatch, account_age_days], [null, null, null, null]);
});

test("lists decide from when an entry is made until it is taken off", async () => {
  const block = { entry: "terminal:T1", ts: startMs + hourMs, kind: "block", reason: "test" } as const;
  const decisions = await decide({
    lists: [block, { entry: "customer:C1", ts: startMs + 4 * hourMs, kind: "allow", reason: "test" }],
    delisted: [{ entry: "terminal:T1", timeMs: startMs + 3 * hourMs }],
    transactions: [
      payment("before", hourMs - 1),
      payment("blocked", hourMs),
      payment("delisted", 3 * hourMs),
      payment("allowed", 5 * hourMs),
      payment("too-much", 5 * hourMs, { amount: 5001 }),
    ],
  });
  const outcome = (id: string) => [by(decisions, id).decision, by(decisions, id).rule];
  assert.deepEqual(outcome("before"), ["review", null]);
  assert.deepEqual(outcome("blocked"), ["decline", "terminal-blocked"]);
  assert.equal(by(decisions, "blocked").terminal_list, "block");
  assert.deepEqual(outcome("delisted"), ["review", null]);
  assert.deepEqual(outcome("allowed"), ["allow", "customer-allowed"]);
  assert.deepEqual(outcome("too-much"), ["review", null]);
});

test("a payment sent twice is decided once and counted once", async () => {
  const twice = payment("twice", hourMs);
  const decisions = await decide({ transactions: [payment("first", 0), twice, twice, payment("after", 1.5 * hourMs)] });
  assert.deepEqual(
    decisions.map(({ tx_id }) => tx_id),
    ["first", "twice", "after"],
  );
  assert.equal(by(decisions, "after").customer_count_24h, 3);
  assert.equal(by(decisions, "after").terminal_count_1h, 2);
});

// hour    0       0.5      3
//         paid    late     ahead, of another customer; grace is 1 hour
test("a payment beyond grace is decided as of its time, flagged, and counted by nobody", async () => {
  const ahead = payment("ahead", 3 * hourMs, { customer_id: "C2" });
  const transactions = [payment("paid", 0), ahead, payment("late", hourMs / 2), payment("after", 3 * hourMs)];
  const decisions = await decide({ transactions }, { partitions: 1 });
  assert.deepEqual(
    decisions.filter(({ late }) => late).map(({ tx_id }) => tx_id),
    ["late"],
  );
  assert.equal(by(decisions, "late").customer_count_1h, 2);
  assert.equal(by(decisions, "after").customer_count_24h, 2);
});

test("the calendar is UTC, and weeks begin on Monday", async () => {
  const decisions = await decide({
    transactions: [payment("monday", 0), payment("sunday", 7 * dayMs - 1), payment("tuesday", 8 * dayMs + 5 * hourMs)],
  });
  const calendar = (id: string) => [by(decisions, id).weekday, by(decisions, id).hour];
  assert.deepEqual(
    [calendar("monday"), calendar("sunday"), calendar("tuesday")],
    [
      [0, 0],
      [6, 23],
      [1, 5],
    ],
  );
});

test("the score's band decides, and what stands out from the training median is the reason", async () => {
  const often = [0, 1, 2, 3, 4].map((minute) =>
    payment(`often-${minute}`, hourMs + minute * 60_000, { customer_id: "C2" }),
  );
  const events = {
    transactions: [payment("usual", 0), ...often, payment("large", 2 * hourMs, { customer_id: "C2", amount: 50_000 })],
  };
  const decisions = await decide(events, { model: "by-hand" });

  const usual = by(decisions, "usual");
  assert.deepEqual([usual.decision, usual.reasons, usual.level], ["allow", [], 0]);
  assert.ok(Math.abs((usual.score ?? 0) - 1 / (1 + Math.exp(5))) < 1e-7);

  const large = by(decisions, "large");
  // 5 payments are within the hour: z = -5 + 3 + (5 - 1) = 2.
  assert.equal(large.customer_count_1h, 5);
  assert.deepEqual([large.decision, large.model_version, large.rule], ["decline", "by-hand@7", null]);
  assert.deepEqual(
    large.reasons.map(({ feature, value }) => [feature, value]),
    [
      ["customer_count_1h", 5],
      ["amount", 500],
    ],
  );
  const [first, second] = large.reasons.map(({ change }) => change) as [number, number];
  assert.ok(Math.abs(first - (1 / (1 + Math.exp(-2)) - 1 / (1 + Math.exp(2)))) < 1e-6);
  assert.ok(first >= second && second > 0);
  assert.deepEqual(await decide(events, { model: "by-hand" }), decisions);
});

test("a rule that decides spares the model, and the decision says so", async () => {
  const lists = [{ entry: "customer:C1", ts: startMs, kind: "block", reason: "test" }] as const;
  const [decision] = await decide({ lists, transactions: [payment("p", 0)] }, { model: "by-hand" });
  const { decision: outcome, rule, score, model_version, rules_version } = decision as FraudDecision;
  assert.deepEqual(
    [outcome, rule, score, model_version, rules_version],
    ["decline", "customer-blocked", null, null, "1"],
  );
});

test("without a model rules decide, the rest is for a person, and features are the same", async () => {
  const transactions = town.transactions.slice(0, 500);
  const strip = ({ score, decision, reasons, level, model_version, ...rest }: FraudDecision) => rest;
  const without = await decide({ ...town, transactions });
  const with_ = await decide({ ...town, transactions }, { model: "by-hand" });
  assert.deepEqual(without.map(strip), with_.map(strip));
  assert.ok(
    without.every(({ level, score, model_version }) => level === 1 && score === null && model_version === null),
  );
  assert.ok(without.some(({ decision }) => decision === "review"));
});

test("decisions do not depend on the number of partitions", async () => {
  const few = { ...town, transactions: town.transactions.slice(0, 800) };
  assert.deepEqual(await decide(few, { partitions: 1 }), await decide(few, { partitions: 3 }));
});

// When this fails and the values were meant to change, raise `revision` in formulas.ts: then the version changes too.
test("features of one version have one meaning", async () => {
  const hash = createHash("sha256");
  const decisions = await decided();
  for (const decision of decisions) {
    const {
      score,
      decision: outcome,
      level,
      rule,
      reasons,
      model_version,
      rules_version,
      feature_version,
      ...features
    } = decision;
    hash.update(JSON.stringify(features));
  }
  const versions = new Set(decisions.map(({ feature_version }) => feature_version));
  assert.deepEqual([...versions, hash.digest("hex").slice(0, 12)], ["e7a513d02efe", "e18625d496e1"]);
});
