import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { CommandFolder, ndjson } from "./command.ts";

const root = join(import.meta.dirname, "..", "..");
const topology = join(root, "topologies", "handbook.ts");
const model = join(root, "test", "fixtures", "handbook.onnx");
const schema = (name: string): string => join(root, "schemas", `${name}.avsc`);

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => folder[Symbol.dispose]());

const run = (line: string) => folder.run(line.replace("TOPOLOGY", `${topology} --param model=${model}`));

async function produceInputs(): Promise<void> {
  const startMs = Date.UTC(2026, 0, 1);
  const transactions = Array.from({ length: 300 }, (_, i) => ({
    tx_id: i,
    ts: startMs + i * 60_000,
    customer_id: i % 11,
    terminal_id: i % 5,
    amount_cents: 100 + ((i * 37) % 9000),
  }));
  const labels = transactions
    .filter(({ tx_id }) => tx_id % 40 === 0)
    .map(({ tx_id, ts, customer_id, terminal_id }) => ({
      tx_id,
      ts: ts + 3_600_000,
      tx_ts: ts,
      customer_id,
      terminal_id,
    }));
  writeFileSync(folder.file("tx.ndjson"), ndjson(transactions));
  writeFileSync(folder.file("labels.ndjson"), ndjson(labels));
  for (const [topic, file, avsc] of [
    ["transactions", "tx.ndjson", "handbook-transaction"],
    ["fraud-labels", "labels.ndjson", "handbook-label"],
  ]) {
    const { code, err } = await folder.run(
      `produce ${topic} ${file} --key customer_id --time ts --schema ${schema(String(avsc))} --partitions 2`,
    );
    assert.equal(code, 0, err);
  }
}

test("an application runs to its end, and its decisions and state can be looked at", async () => {
  const missing = await run("doctor TOPOLOGY --json");
  assert.equal(missing.code, 4);
  const faults = missing.rows.filter(({ ok }) => ok === false);
  assert.deepEqual(faults[0], {
    name: "topic transactions",
    ok: false,
    detail: "is missing",
    fix: "kappa topics create transactions --partitions 8",
  });
  assert.match(missing.err, /next: kappa topics create transactions --partitions 8\n$/);

  await produceInputs();
  const well = await run("doctor TOPOLOGY --json");
  assert.equal(well.code, 0, well.out);

  const ended = await run("run TOPOLOGY --until-end --http-port 0 --threads 1");
  assert.equal(ended.code, 0, ended.err);
  assert.match(ended.err, /"message":"started"/);
  assert.match(ended.err, /"message":"closed"/);

  const explained = await run("explain 17 --topology TOPOLOGY --json");
  assert.equal(explained.code, 0, explained.err);
  const [decision] = explained.rows as unknown as [
    { decision: { tx_id: number; cust_nb_1d: number }; check: { equal: boolean } },
  ];
  assert.equal(decision.decision.tx_id, 17);
  assert.equal(decision.decision.cust_nb_1d, 2, "6 and 17 are the transactions of customer 6 so far");
  assert.equal(decision.check.equal, true);
  assert.match((await run("explain 17 --topology TOPOLOGY")).out, /gives the same score again, bit for bit/);
  assert.equal((await folder.run("explain 99999")).code, 4);

  const state = await run(
    "state get --store customer-history --key 6 --as-of 2026-01-01T00:17:30Z --topology TOPOLOGY --json",
  );
  assert.equal((state.rows[0] as unknown as { value: { cust_nb_1d: number } }).value.cust_nb_1d, 2);
  const scanned = await run("state scan --store customer-history --topology TOPOLOGY --json");
  assert.deepEqual(
    scanned.rows.map(({ key }) => Number(key)).sort((a, b) => a - b),
    Array.from({ length: 11 }, (_, i) => i),
  );
  const stats = await run("state stats --topology TOPOLOGY --json");
  const keys = (store: string) =>
    stats.rows.filter((row) => row.store === store).reduce((sum, row) => sum + Number(row.keys), 0);
  assert.deepEqual([keys("customer-history"), keys("terminal-history")], [11, 5]);

  const { rows } = await folder.run("topics list --json");
  assert.ok(rows.find(({ topic }) => topic === "handbook-commits")?.internal);
  assert.equal(rows.find(({ topic }) => topic === "fraud-decisions")?.records, 300);
});

test("an application that cannot start says why", async () => {
  const faults: [string, number, RegExp][] = [
    ["run TOPOLOGY --until-end", 2, /topic "transactions" does not exist; type: kappa topics create transactions/],
    ["run nowhere.ts", 2, /cannot load .*nowhere\.ts/],
    ["run TOPOLOGY --threads many", 2, /--threads/],
    ["run TOPOLOGY --param nothing", 2, /Write name=value/],
    ["run TOPOLOGY --cache-mb 0", 2, /--cache-mb/],
    ["state get --store a --key b --url http://127.0.0.1:1", 3, /no application answers at http:\/\/127\.0\.0\.1:1/],
    ["state get --store a --key b --topology TOPOLOGY", 2, /application handbook has no state in/],
    ["state scan --store a", 2, /required option '--topology <file>'/],
    ["rules lint gone.json --topology TOPOLOGY", 2, /there is no such rules node/],
    ["rules lint gone.json", 2, /required option '--topology <file>'/],
    ["topology describe TOPOLOGY --format xml", 2, /Allowed choices are text, mermaid, json/],
    ["explain", 2, /missing required argument 'id'/],
  ];
  for (const [line, expected, message] of faults) {
    const { code, err } = await run(line);
    assert.equal(code, expected, `${line}: ${err}`);
    assert.match(err, message);
  }
});

test("a topology is described in each format", async () => {
  assert.match((await run("topology describe TOPOLOGY")).out, /^Topologies:\n {3}Sub-topology: 0/);
  assert.match((await run("topology describe TOPOLOGY --format mermaid")).out, /^flowchart/);
  assert.ok(JSON.parse((await run("topology describe TOPOLOGY --json")).out));
});
