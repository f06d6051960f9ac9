import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { afterEach, beforeEach, test } from "vitest";
import { CommandFolder, csv, ndjson, paymentSchema, payments } from "./command.ts";
import { eventually, KappaProcess } from "./kappa-process.ts";

const root = join(import.meta.dirname, "..", "..");

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
});
afterEach(() => folder[Symbol.dispose]());

const options = "--key card_id --time ts --schema payment.avsc --partitions 3";

test("a produce that is killed again and again appends every row once", async () => {
  const rows = payments(120_000);
  writeFileSync(folder.file("p.csv"), csv(rows));
  writeFileSync(folder.file("p.ndjson"), ndjson(rows));
  for (const file of ["p.csv", "p.ndjson"]) {
    const topic = `killed-${file}`;
    let kills = 0;
    // The first records show when the process has come to appending: kills before that would prove nothing.
    for (let target = 1; target < rows.length; target += 25_000) {
      const kappa = new KappaProcess(folder.path, `produce ${topic} ${file} ${options}`);
      while (kappa.process.exitCode === null && (await recordsOf(topic)) < target) await after(5);
      if (kappa.process.exitCode === null) kills++;
      kappa.process.kill("SIGKILL");
      await kappa.exit;
    }
    const last = new KappaProcess(folder.path, `produce ${topic} ${file} ${options}`);
    assert.equal(await last.exit, 0, last.said);
    assert.ok(kills > 0, "no process was killed while it appended");
  }
  assert.equal((await folder.run(`produce whole p.ndjson ${options}`)).code, 0);
  const { rows: hashes } = await folder.run("topics hash whole killed-p.csv killed-p.ndjson --json");
  assert.deepEqual(
    hashes.map(({ records }) => records),
    [120_000, 120_000, 120_000],
  );
  assert.equal(new Set(hashes.map(({ hash }) => hash)).size, 1);
});

async function recordsOf(topic: string): Promise<number> {
  const { rows } = await folder.run("topics list --json");
  return Number(rows.find((row) => row.topic === topic)?.records ?? 0);
}

test("a running application answers, takes records from other processes, sends dead letters again, and drains on SIGTERM", async () => {
  for (const topic of ["transactions", "fraud-labels"]) await folder.run(`topics create ${topic} --partitions 2`);
  const topology = join(root, "topologies", "handbook.ts");
  const kappa = new KappaProcess(
    folder.path,
    `run ${topology} --param model=${join(root, "test", "fixtures", "handbook.onnx")} --http-port 0`,
  );
  try {
    const [, url] = await kappa.saying(/"url":"(http:[^"]+)"/);
    await kappa.saying(/"state":"RUNNING"/);
    const ready = (await (await fetch(`${url}/readyz`)).json()) as { readonly status: string };
    assert.equal(ready.status, "RUNNING");
    assert.match(await (await fetch(`${url}/metrics`)).text(), /kappa_stream_state\{state="RUNNING"\} 1/);

    writeFileSync(
      folder.file("tx.ndjson"),
      ndjson([{ tx_id: 1, ts: Date.UTC(2026, 0, 1), customer_id: 7, terminal_id: 1, amount_cents: 500 }]),
    );
    writeFileSync(
      folder.file("label.ndjson"),
      ndjson([{ tx_id: 1, ts: Date.UTC(2026, 0, 2), tx_ts: Date.UTC(2026, 0, 1), customer_id: 7, terminal_id: 1 }]),
    );
    writeFileSync(folder.file("bad.ndjson"), ndjson([{ customer_id: 7 }]));
    const schema = (name: string): string => join(root, "schemas", `${name}.avsc`);
    await folder.run(
      `produce transactions tx.ndjson --key customer_id --time ts --schema ${schema("handbook-transaction")}`,
    );
    await folder.run(
      `produce fraud-labels label.ndjson --key customer_id --time ts --schema ${schema("handbook-label")}`,
    );
    await folder.run("produce transactions bad.ndjson --key customer_id --format json");
    await eventually(async () => (await recordsOf("fraud-decisions")) === 1);
    const state = await folder.run(
      `state get --store customer-history --key 7 --as-of 2026-01-01T00:00:00Z --url ${url} --json`,
    );
    assert.equal((state.rows[0] as unknown as { value: { cust_nb_1d: number } }).value.cust_nb_1d, 1, state.err);
    assert.equal((await folder.run(`state get --store nope --key 7 --url ${url}`)).code, 2);

    const second = await folder.run(`run ${topology} --param model=x --http-port 0`);
    assert.equal(second.code, 2);
    assert.match(second.err, /is owned by process \d+/);

    await eventually(async () => (await recordsOf("handbook-dead-letters")) === 1);
    assert.equal((await folder.run("dlq retry --yes")).out, "1 sent to transactions\n");
    await eventually(async () => (await recordsOf("handbook-dead-letters")) === 2);
    const letters = await folder.run("dlq show --json");
    assert.deepEqual(letters.rows.map(({ attempts }) => attempts).sort(), [1, 2]);

    kappa.process.kill("SIGTERM");
    assert.equal(await kappa.exit, 0, kappa.said);
    assert.match(kappa.said, /"message":"draining"/);
    assert.match(kappa.said, /"message":"closed"/);
  } finally {
    kappa.process.kill("SIGKILL");
  }
});

test("an end of the reader is an end of the command, not a failure", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(50_000)));
  await folder.run(`produce payments p.ndjson ${options}`);
  const kappa = new KappaProcess(folder.path, "topics tail payments --from earliest --no-follow");
  await kappa.saying(/p1/);
  kappa.process.stdout.destroy();
  assert.equal(await kappa.exit, 0, kappa.said.slice(-500));
});
