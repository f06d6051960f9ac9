import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "vitest";
import { noMeter } from "../../src/core/meter.ts";
import type { OwnedFileLog } from "../../src/log/file-log.ts";
import { openFileLog } from "../../src/log/file-log.ts";
import { RecordBatchReader, RecordBatchWriter } from "../../src/log/record-batch.ts";
import { DeadLetters } from "../../src/task/dead-letter.ts";
import { Outputs } from "../../src/task/outputs.ts";
import { sectionOf } from "../../src/testing/log-records.ts";
import { CommandFolder } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => folder[Symbol.dispose]());

async function withLog<Answer>(use: (log: OwnedFileLog) => Promise<Answer>): Promise<Answer> {
  const log = await openFileLog({ directory: folder.file(".kappa/log") });
  try {
    return await use(log);
  } finally {
    await log.close();
  }
}

interface Death {
  readonly key: string;
  readonly value: string;
  readonly offset: number;
  readonly reason?: "decode" | "limits";
  readonly attempts?: number;
}

/** Buries records as a task of application "app" does, partition 1 of topic "in". */
function bury(deaths: readonly Death[], values: readonly unknown[] = []): Promise<void> {
  return withLog(async (log) => {
    for (const topic of ["in", "app-dead-letters"]) await log.createTopic(topic, { partitions: 2 });
    const outputs = new Outputs();
    const dead = new DeadLetters("app-dead-letters", 1, "app", outputs, noMeter);
    const reader = new RecordBatchReader();
    for (const { key, value, offset, reason = "decode", attempts } of deaths) {
      const headers = [{ name: "trace", value: Buffer.from("t1") }];
      if (attempts !== undefined) headers.push({ name: "kappa.dlq.attempts", value: Buffer.from(String(attempts)) });
      const writer = new RecordBatchWriter();
      writer.append(1000, Buffer.from(key), Buffer.from(value), headers);
      reader.reset(writer.take());
      reader.next();
      dead.bury(reader, { topic: "in", partition: 1, offset, stage: "in-source", reason, message: "bad bytes" });
    }
    for (const value of values) {
      dead.buryValue(2000, "k", value, {
        topic: "app-x-repartition",
        partition: 0,
        offset: 0,
        stage: "marks",
        reason: "orphan",
        message: "no event",
      });
    }
    const writer = await log.openWriter("app-1");
    await writer.append(outputs.sections());
  });
}

const sentRecords = () => folder.run("topics tail in --from earliest --no-follow --json");

test("dead letters are counted by topic, stage and reason", async () => {
  await bury([
    { key: "a", value: "1", offset: 0 },
    { key: "b", value: "2", offset: 1 },
    { key: "c", value: "3", offset: 2, reason: "limits" },
  ]);
  const { rows, err } = await folder.run("dlq list --json");
  assert.deepEqual(rows, [
    { topic: "in", stage: "in-source", reason: "decode", count: 2, newest: "1970-01-01T00:00:01.000Z" },
    { topic: "in", stage: "in-source", reason: "limits", count: 1, newest: "1970-01-01T00:00:01.000Z" },
  ]);
  assert.match(err, /next: kappa dlq show --app app --where reason=decode --max 3/);
  const shown = await folder.run("dlq show --reason limits --json");
  assert.deepEqual(
    shown.rows.map(({ key, value, sourceOffset }) => [key, value, sourceOffset]),
    [["c", 3, 2]],
  );
});

test("a retry sends the record as it was, to its partition, once, with how often it died", async () => {
  await bury([{ key: "a", value: "payload", offset: 7 }]);
  const dry = await folder.run("dlq retry --dry-run");
  assert.equal(dry.out, "1 to be sent to in\n");
  assert.equal((await sentRecords()).rows.length, 0);
  assert.equal((await folder.run("dlq retry")).out, "1 to be sent to in\n", "without --yes nothing is sent");
  assert.equal((await sentRecords()).rows.length, 0);
  assert.equal((await folder.run("dlq retry --yes")).out, "1 sent to in\n");
  const again = await folder.run("dlq retry --yes");
  assert.equal(again.out, "none sent\n");
  assert.match(again.err, /1 were sent again before/);
  const { rows } = await sentRecords();
  assert.deepEqual(rows, [
    {
      partition: 1,
      offset: 0,
      time: "1970-01-01T00:00:01.000Z",
      key: "a",
      value: { base64: Buffer.from("payload").toString("base64") },
      headers: { trace: "t1", "kappa.dlq.attempts": "1" },
    },
  ]);
});

test("a record that died too often is left alone", async () => {
  await bury([{ key: "a", value: "1", offset: 0, attempts: 2 }]);
  const left = await folder.run("dlq retry --yes");
  assert.equal(left.out, "none sent\n");
  assert.match(left.err, /1 died 3 times or more: mend the cause, then raise --max-attempts/);
  assert.equal((await folder.run("dlq retry --yes --max-attempts 4")).out, "1 sent to in\n");
});

test("a row of an internal stage is not sent again, and that is said", async () => {
  await bury([], [{ id: 1 }]);
  const { out, err } = await folder.run("dlq retry --yes");
  assert.equal(out, "none sent\n");
  assert.match(err, /1 are rows of an internal stage/);
});

test("a value that was cut is sent whole, from where it came", async () => {
  const long = "x".repeat((1 << 20) + 1);
  await withLog(async (log) => {
    await log.createTopic("in", { partitions: 2 });
    const writer = await log.openWriter("w");
    await writer.append([
      sectionOf("in", 1, [
        { timestamp: 1000, key: "a", value: "before" },
        { timestamp: 1000, key: "a", value: long },
      ]),
    ]);
  });
  await bury([
    { key: "a", value: long, offset: 1 },
    { key: "a", value: long, offset: 99 },
  ]);
  const { out, err } = await folder.run("dlq retry --yes");
  assert.equal(out, "1 sent to in\n");
  assert.match(err, /1 are cut, or their topic is gone/);
  const sent = (await folder.run("topics tail in --partition 1 --from 2 -n 1 --json")).rows[0];
  assert.deepEqual(sent?.value, { base64: Buffer.from(long).toString("base64") });
});

test("filters and --max choose what is sent", async () => {
  await bury([
    { key: "a", value: "1", offset: 0 },
    { key: "b", value: "2", offset: 1, reason: "limits" },
    { key: "c", value: "3", offset: 2, reason: "limits" },
  ]);
  await folder.run("dlq retry --where reason=limits --where stage=in-source --max 1 --yes");
  assert.deepEqual(
    (await sentRecords()).rows.map(({ key }) => key),
    ["b"],
  );
});

test("wrong arguments are refused with what to type", async () => {
  const none = await folder.run("--data-dir other dlq list");
  assert.equal(none.code, 2);
  await bury([{ key: "a", value: "1", offset: 0 }]);
  const faults: [string, RegExp][] = [
    ["dlq list --where colour=red", /"colour=red" is no condition; write one of topic, partition, stage, reason, task/],
    ["dlq list --app other", /topic other-dead-letters does not exist/],
    ["dlq retry --yes --dry-run", /cannot be used with option '--yes'/],
    ["dlq retry --max-attempts none", /no whole number/],
    ["dlq retyr", /Did you mean retry\?/],
  ];
  for (const [line, message] of faults) {
    const { code, err } = await folder.run(line);
    assert.equal(code, 2, `${line}: ${err}`);
    assert.match(err, message);
  }
});
