import assert from "node:assert/strict";
import { appendFileSync, writeFileSync } from "node:fs";
import { parquetWriteFile } from "hyparquet-writer";
import { afterEach, beforeEach, test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { CommandFolder, csv, ndjson, paymentSchema, payments } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
});
afterEach(() => folder[Symbol.dispose]());

const options = "--key card_id --time ts --schema payment.avsc";

function writeParquet(name: string, rows: ReturnType<typeof payments>): void {
  parquetWriteFile({
    filename: folder.file(name),
    rowGroupSize: 700,
    columnData: [
      { name: "payment_id", type: "STRING", data: rows.map((row) => row.payment_id) },
      { name: "ts", type: "TIMESTAMP", data: rows.map((row) => new Date(row.ts)) },
      { name: "card_id", type: "STRING", data: rows.map((row) => row.card_id) },
      { name: "amount", type: "INT64", data: rows.map((row) => BigInt(row.amount)) },
      { name: "note", type: "STRING", data: rows.map((row) => row.note) },
    ],
  });
}

test("the same rows give the same topic, whatever file they came in and however it is partitioned", async () => {
  const rows = payments(2000);
  writeFileSync(folder.file("p.ndjson"), ndjson(rows));
  writeFileSync(folder.file("p.csv"), csv(rows));
  writeParquet("p.parquet", rows);
  const hashes: unknown[] = [];
  for (const [i, name] of ["p.ndjson", "p.csv", "p.parquet"].entries()) {
    const produced = await folder.run(`produce from-${i} ${name} ${options} --partitions ${i + 2}`);
    assert.equal(produced.code, 0, produced.err);
    assert.match(produced.err, /2,000 records/);
    const { rows: found } = await folder.run(`topics hash from-${i} --json`);
    assert.equal(found[0]?.records, 2000);
    hashes.push(found[0]?.hash);
  }
  assert.equal(new Set(hashes).size, 1);
});

test("rows come back as they were, in the order of their key", async () => {
  const rows = payments(50);
  writeFileSync(folder.file("p.csv"), csv(rows));
  await folder.run(`produce payments p.csv ${options} --partitions 3`);
  const { rows: read } = await folder.run("topics tail payments --from earliest --no-follow --json");
  for (const card of new Set(rows.map((row) => row.card_id))) {
    const values = read.filter(({ key }) => key === card).map(({ value }) => value);
    assert.deepEqual(
      values,
      rows.filter((row) => row.card_id === card),
    );
  }
});

test("a file that was produced is not produced again, unless it is asked for", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(20)));
  await folder.run(`produce payments p.ndjson ${options}`);
  const again = await folder.run(`produce payments p.ndjson ${options}`);
  assert.match(again.err, /p\.ndjson: 0 records.*20 rows before/);
  const wanted = await folder.run(`produce payments p.ndjson ${options} --first-row 16`);
  assert.match(wanted.err, /p\.ndjson: 5 records/);
  const { rows } = await folder.run("topics hash payments --json");
  assert.equal(rows[0]?.records, 25);
});

test("a row that does not fit ends it with the row and the field, and nothing of its chunk is in the log", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(9)));
  appendFileSync(folder.file("p.ndjson"), ndjson([{ ...payments(1)[0], amount: "much" }]));
  const stopped = await folder.run(`produce payments p.ndjson ${options}`);
  assert.equal(stopped.code, 1);
  assert.match(stopped.err, /row 10: field Payment\.amount must be long, got string/);
  assert.match(stopped.err, /the first 0 rows are in the log/);
  const skipped = await folder.run(`produce payments p.ndjson ${options} --on-error skip`);
  assert.equal(skipped.code, 0, skipped.err);
  assert.match(skipped.err, /9 records.*1 rows skipped, the first: row 10/);
  const { rows } = await folder.run("topics hash payments --json");
  assert.equal(rows[0]?.records, 9);
});

test("a row without its key, with a time that is none, or that is no object does not fit", async () => {
  const [payment] = payments(1);
  const faults: [string, RegExp][] = [
    [JSON.stringify({ ...payment, card_id: undefined }), /field card_id must be text or a number.*got nothing/],
    [JSON.stringify({ ...payment, ts: "yesterday" }), /field ts must be epoch milliseconds or an ISO 8601 time/],
    ["[1, 2]", /it is JSON, but no object/],
    ["{", /it is not JSON/],
  ];
  for (const [i, [line, message]] of faults.entries()) {
    writeFileSync(folder.file(`bad-${i}.ndjson`), `${line}\n`);
    const { code, err } = await folder.run(`produce payments bad-${i}.ndjson ${options}`);
    assert.equal(code, 1);
    assert.match(err, message);
    assert.doesNotMatch(err, /yesterday/, "values are personal data");
  }
});

test("without a schema rows are JSON as they are, and Avro needs one", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson([{ id: 7, any: { thing: [1] } }]));
  const refused = await folder.run("produce things p.ndjson --key id");
  assert.equal(refused.code, 2);
  assert.match(refused.err, /no schema is registered for things-value; add --schema FILE\.avsc, or --format json/);
  assert.equal((await folder.run("produce things p.ndjson --key id --format json")).code, 0);
  const { rows } = await folder.run("topics tail things --from earliest -n 1 --json");
  assert.deepEqual([rows[0]?.key, rows[0]?.value], ["7", { id: 7, any: { thing: [1] } }]);
});

test("another process that owns the log is written through", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(500)));
  const owner = await openFileLog({ directory: folder.file(".kappa/log") });
  try {
    const { code, err } = await folder.run(`produce payments p.ndjson ${options} --partitions 2`);
    assert.equal(code, 0, err);
    const held = await Promise.all([0, 1].map(async (p) => Number(await owner.endOffset("payments", p, "durable"))));
    assert.equal(
      held.reduce((sum, count) => sum + count),
      500,
    );
  } finally {
    await owner.close();
  }
});

test("wrong arguments are refused with what to type", async () => {
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(1)));
  writeFileSync(folder.file("p.txt"), "");
  writeFileSync(folder.file("empty.csv"), "");
  writeFileSync(folder.file("broken.parquet"), "PAR1");
  const faults: [string, RegExp][] = [
    ["produce payments p.ndjson", /required option '--key <field>'/],
    [
      "produce payments p.ndjson --key nope --schema payment.avsc",
      /schema Payment has no field nope; it has payment_id/,
    ],
    ["produce payments p.txt --key card_id --schema payment.avsc", /known are \.parquet, \.csv, \.ndjson, \.jsonl/],
    ["produce payments gone.ndjson --key card_id --schema payment.avsc", /cannot read .*gone\.ndjson/],
    ["produce payments empty.csv --key card_id --schema payment.avsc", /is empty/],
    ["produce payments broken.parquet --key card_id --schema payment.avsc", /cannot be read as Parquet/],
    ["produce payments p.ndjson --key card_id --schema gone.avsc", /cannot read the schema/],
    ["produce payments p.ndjson --key card_id --partitions 0", /It is no whole number from 1 on/],
    ["produce payments p.ndjson --key card_id --on-error cry", /Allowed choices are stop, skip/],
  ];
  for (const [line, message] of faults) {
    const { code, out, err } = await folder.run(line);
    assert.equal(code, 2, line);
    assert.equal(out, "", line);
    assert.match(err, message);
  }
});
