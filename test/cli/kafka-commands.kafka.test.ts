import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, inject, test } from "vitest";
import { cardCountTopology } from "./card-count.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";

const brokers = inject("kafkaBootstrapServers");

let folder: CommandFolder;
/** A name that nothing else has on the shared broker. */
let prefix = "";
beforeEach(() => {
  prefix = `cli-${randomUUID().slice(0, 8)}`;
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(500)));
  writeFileSync(folder.file("topology.ts"), cardCountTopology(prefix));
});
afterEach(() => folder[Symbol.dispose]());

const onKafka = (line: string) => folder.run(`${line} --bootstrap-servers ${brokers}`);
const produce = "produce PREFIX-payments p.ndjson --key card_id --time ts --schema payment.avsc --partitions 2";
const named = (line: string): string => line.replaceAll("PREFIX", prefix);

test("a topology gives the same topic on Kafka as on the embedded log", async () => {
  const hashes: unknown[] = [];
  for (const run of [onKafka, (line: string) => folder.run(`${line} --data-dir embedded`)]) {
    const produced = await run(named(produce));
    assert.equal(produced.code, 0, produced.err);
    const ended = await run("run topology.ts --until-end --http-port 0 --threads 1");
    assert.equal(ended.code, 0, ended.err);
    const hashed = await run(named("topics hash PREFIX-payments PREFIX-counts --json"));
    assert.deepEqual(
      hashed.rows.map(({ records, keys }) => [records, keys]),
      [
        [500, 13],
        [500, 13],
      ],
      hashed.err,
    );
    hashes.push(hashed.rows.map(({ hash }) => hash));
  }
  assert.deepEqual(hashes[0], hashes[1]);
});

test("what was produced once is not produced again", async () => {
  assert.match((await onKafka(named(produce))).err, /500 records/);
  const again = await onKafka(named(produce));
  assert.match(again.err, /0 records in .*500 rows before were left as they are/);
  const { rows } = await onKafka(named("topics hash PREFIX-payments --json"));
  assert.equal(rows[0]?.records, 500);
});

test("what is produced is the same topic, however it is compressed", async () => {
  const hashes = new Set<unknown>();
  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"]) {
    writeFileSync(folder.file(".env"), `KAFKA_COMPRESSION=${compression}\n`);
    const produced = await onKafka(named(produce.replace("PREFIX-payments", `PREFIX-${compression}`)));
    assert.equal(produced.code, 0, produced.err);
    const { rows } = await onKafka(named(`topics hash PREFIX-${compression} --json`));
    assert.equal(rows[0]?.records, 500);
    hashes.add(rows[0]?.hash);
  }
  assert.equal(hashes.size, 1);
});

test("topics are created for a topology, listed, followed and exported", async () => {
  const created = await onKafka("topics create --topology topology.ts --partitions 2 --retention 7d");
  assert.match(created.err, /-payments: created with 2 partitions/);
  await onKafka(named(produce));
  await onKafka("run topology.ts --until-end --http-port 0 --threads 1");
  const list = await onKafka("topics list --json");
  const own = list.rows.filter(({ topic }) => String(topic).startsWith(prefix));
  assert.deepEqual(
    own.map(({ topic, partitions, internal }) => [String(topic).slice(prefix.length + 1), partitions, internal]),
    [
      ["app-choices", 2, true],
      ["app-commits", 2, true],
      ["app-dead-letters", 2, false],
      ["app-late", 2, false],
      ["counts", 2, false],
      ["payments", 2, false],
    ],
  );
  assert.equal(own.find(({ topic }) => topic === `${prefix}-payments`)?.retentionMs, 604_800_000);
  const tail = await onKafka(named("topics tail PREFIX-counts --from 2026-01-01T00:08:00Z --no-follow --json"));
  assert.equal(tail.rows.length, 20);
  const exported = await onKafka(named("topics export PREFIX-counts --out counts.ndjson"));
  assert.match(exported.err, /wrote 500 records/);
  const state = await folder.run("state get --store card-count --key c1 --topology topology.ts --json");
  assert.equal((state.rows[0]?.value as { count_1h: number } | undefined)?.count_1h, 39);
});

test("a record that cannot be read is a dead letter, and can be sent again", async () => {
  await onKafka(named(produce));
  writeFileSync(folder.file("odd.ndjson"), ndjson([{ card_id: "c1", ts: Date.UTC(2026, 0, 1) }]));
  await onKafka(named("produce PREFIX-payments odd.ndjson --key card_id --time ts --format json"));
  await onKafka("run topology.ts --until-end --http-port 0 --threads 1");
  const listed = await onKafka(named("dlq list --app PREFIX-app --json"));
  assert.deepEqual(
    listed.rows.map(({ count }) => count),
    [1],
    listed.err,
  );
  const sent = await onKafka(named("dlq retry --app PREFIX-app --yes"));
  assert.match(sent.out, /1 sent to/);
  assert.match((await onKafka(named("dlq retry --app PREFIX-app --yes"))).out, /none sent/);
});
