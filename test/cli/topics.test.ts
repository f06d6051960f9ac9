import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { afterEach, beforeEach, test } from "vitest";
import { openFileLog } from "../../src/log/file-log.ts";
import { sectionOf } from "../../src/testing/log-records.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(40)));
});
afterEach(() => folder[Symbol.dispose]());

const produce = () =>
  folder.run("produce payments p.ndjson --key card_id --time ts --schema payment.avsc --partitions 2");

test("topics are listed with what they hold, and what is ours is marked", async () => {
  await produce();
  const { rows, err } = await folder.run("topics list --bytes --json");
  assert.deepEqual(
    rows.map(({ topic, partitions, records, internal }) => [topic, partitions, records, internal]),
    [
      ["__kappa-produce", 1, 1, true],
      ["payments", 2, 40, false],
    ],
  );
  assert.ok(Number(rows[1]?.bytes) > 40 * 30);
  assert.match(err, /next: kappa topics tail payments --from earliest -n 5\n$/);
});

test("a topic is created once, and its partition count stays", async () => {
  assert.match(
    (await folder.run("topics create a b --partitions 3 --retention 7d")).err,
    /a: created with 3 partitions\nb: created/,
  );
  assert.match((await folder.run("topics create a --partitions 3")).err, /a: is there, with 3 partitions/);
  const mismatch = await folder.run("topics create a --partitions 4");
  assert.equal(mismatch.code, 2);
  assert.match(mismatch.err, /topic a has 3 partitions, 4 are wanted/);
  const { rows } = await folder.run("topics list --json");
  assert.deepEqual(rows[0], { topic: "a", partitions: 3, records: 0, retentionMs: 604_800_000, internal: false });
});

test("a dry run creates nothing", async () => {
  assert.match((await folder.run("topics create a --dry-run")).err, /a: would be created with 8 partitions/);
  assert.equal((await folder.run("topics list --json")).rows.length, 0);
});

test("tail starts where it is told: at an offset, at a time, at the end", async () => {
  await produce();
  const tail = async (from: string) =>
    (await folder.runWords(["topics", "tail", "payments", "--from", from, "--no-follow", "--json"])).rows;
  assert.equal((await tail("earliest")).length, 40);
  assert.equal((await tail("latest")).length, 0);
  assert.equal((await tail("-1m")).length, 0);
  assert.equal((await tail("2026-01-01T00:00:30Z")).length, 10);
  const [first] = (await folder.run("topics tail payments --from 5 --partition 1 -n 1 --json")).rows;
  assert.deepEqual([first?.partition, first?.offset], [1, 5]);
});

test("a value that the mode cannot read is shown as its bytes, with why", async () => {
  const log = await openFileLog({ directory: folder.file(".kappa/log") });
  await log.createTopic("odd", { partitions: 1 });
  const writer = await log.openWriter("w");
  const values = ["\0\0\0\0\x09x", "not json \x9b", null, '{"a":"\x1b[2J"}'];
  await writer.append([
    sectionOf(
      "odd",
      0,
      values.map((value) => ({ timestamp: 0, key: "k\x1b", value })),
    ),
  ]);
  await log.close();
  const auto = await folder.run("topics tail odd --from earliest --no-follow --json");
  assert.match(JSON.stringify(auto.rows[0]?.value), /"undecodable":"schema id 9 is not in the registry"/);
  assert.deepEqual(Object.keys(auto.rows[1]?.value ?? {}), ["base64"]);
  assert.equal(auto.rows[2]?.value, null);
  const plain = await folder.run("topics tail odd --from earliest --no-follow");
  assert.doesNotMatch(plain.out, /(?!\n)\p{Cc}/u, "control characters do not reach a terminal");
  const json = await folder.run("topics tail odd --from earliest --no-follow --decode json --json");
  assert.deepEqual(Object.keys(json.rows[1]?.value ?? {}), ["undecodable", "base64"]);
});

test("an export holds every record, in each format", async () => {
  await produce();
  for (const name of ["out.parquet", "out.csv", "out.ndjson"]) {
    const { code, err } = await folder.run(`topics export payments --out ${name}`);
    assert.equal(code, 0, err);
    assert.match(err, /wrote 40 records/);
    assert.ok(!existsSync(folder.file(`${name}.part`)));
  }
  const byId = (a: { payment_id: string }, b: { payment_id: string }) =>
    Number(a.payment_id.slice(1)) - Number(b.payment_id.slice(1));
  const lines = readFileSync(folder.file("out.ndjson"), "utf8").trim().split("\n");
  assert.deepEqual(lines.map((line) => JSON.parse(line).value).sort(byId), payments(40));
  const table = await parquetReadObjects({ file: await asyncBufferFromFile(folder.file("out.parquet")) });
  const found = table.map(({ payment_id, ts, card_id, amount, note }) => ({
    payment_id,
    ts: ts.getTime(),
    card_id,
    amount: Number(amount),
    note,
  }));
  assert.deepEqual(found.sort(byId), payments(40));
});

test("what was exported as CSV can be produced again, and is the same topic", async () => {
  await produce();
  await folder.run("topics export payments --out out.csv");
  const produced = await folder.run(
    "produce again out.csv --key card_id --time ts --schema payment.avsc --partitions 3",
  );
  assert.equal(produced.code, 0, produced.err);
  const { rows } = await folder.run("topics hash payments again --json");
  assert.equal(rows[0]?.hash, rows[1]?.hash);
});

test("an export that fails leaves no file, and an older one as it was", async () => {
  await folder.run("produce things p.ndjson --key card_id --format json");
  writeFileSync(folder.file("out.csv"), "old");
  const { code, err } = await folder.run("topics export things --out out.csv");
  assert.equal(code, 2);
  assert.match(err, /no schema is registered for things-value.*write a file\.ndjson instead/);
  assert.equal(readFileSync(folder.file("out.csv"), "utf8"), "old");
});

test("wrong arguments are refused with what to type", async () => {
  await produce();
  const faults: [string, RegExp][] = [
    ["topics tail nope", /topic nope does not exist; there are payments/],
    ["topics tail payments --from someday", /"someday" is no position; write earliest, latest/],
    ["topics tail payments --from -2y", /"2y" is no length of time/],
    ["topics tail payments --partition 2 --from earliest", /has partitions 0 to 1, there is no 2/],
    ["topics tail payments -n 0", /no whole number from 1 on/],
    ["topics tail payments --decode xml", /Allowed choices are auto, avro, json/],
    ["topics export payments --out x.xlsx", /unknown ending; name a file\.parquet, file\.csv or file\.ndjson/],
    ["topics export payments", /required option '--out <file>'/],
    ["topics create", /no topic is named; type: kappa topics create NAME/],
    ["topics create a/b", /is not 1 to 249 of/],
    ["topics create a --retention ever", /"ever" is no length of time/],
    ["topics hash nope", /topic nope does not exist/],
    ["topics lst", /Did you mean list\?/],
    ["--data-dir elsewhere topics list", /there is no log in .*elsewhere; name another folder with --data-dir/],
  ];
  for (const [line, message] of faults) {
    const { code, out, err } = await folder.run(line);
    assert.equal(code, 2, `${line}: ${err}`);
    assert.equal(out, "", line);
    assert.match(err, message);
  }
});
