import assert from "node:assert/strict";
import { test } from "vitest";
import { deadLetterOf, retryHeaders } from "../../src/cli/dead-letter-record.ts";
import { RecordBatchReader, RecordBatchWriter, type RecordHeader } from "../../src/log/record-batch.ts";

const header = (name: string, value: string): RecordHeader => ({ name, value: Buffer.from(value) });

function letterOf(...headers: readonly RecordHeader[]) {
  const writer = new RecordBatchWriter();
  const place = ["topic", "partition", "offset"].map((each) => header(`__streams.errors.${each}`, "7"));
  writer.append(0, Buffer.from("k"), null, [...place, ...headers]);
  const reader = new RecordBatchReader();
  reader.reset(writer.take());
  reader.next();
  return deadLetterOf(reader, 0, 0);
}

const told = (headers: readonly RecordHeader[]) => headers.map(({ name, value }) => `${name}=${String(value)}`);

test("a retry keeps the record's headers, and of its death the attempts and that a dedup knows it", () => {
  const letter = letterOf(header("kappa.dlq.attempts", "2"), header("kappa.dlq.passed", "dedup"));
  const own = [header("trace", "t1"), header("kappa.dlq.attempts", "1"), header("__streams.errors.offset", "9")];
  assert.deepEqual(told(retryHeaders(own, letter)), ["trace=t1", "kappa.dlq.attempts=2", "kappa.dlq.passed=dedup"]);
  assert.deepEqual(told(retryHeaders([], letterOf())), ["kappa.dlq.attempts=1"]);
});

test("a record with all the headers there can be is sent again too", () => {
  const own = Array.from({ length: 65_535 }, (_, i) => header(`h${i}`, ""));
  const headers = retryHeaders(own, letterOf(header("kappa.dlq.passed", "dedup")));
  const writer = new RecordBatchWriter();
  writer.append(0, Buffer.from("k"), null, headers);
  const reader = new RecordBatchReader();
  reader.reset(writer.take());
  assert.equal(reader.next(), true);
  assert.equal(String(reader.header(Buffer.from("kappa.dlq.attempts"))), "1");
  assert.equal(String(reader.header(Buffer.from("h3"))), "");
  assert.equal(reader.header(Buffer.from("kappa.dlq")), undefined, "a name is not found by its beginning");
});
