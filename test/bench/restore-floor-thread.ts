import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { type BatchOperation, ClassicLevel } from "classic-level";
import { assert } from "../../src/core/assert.ts";
import { RecordBatchReader } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { nextBatch } from "../../src/log/record-at.ts";
import { ByteReader } from "../../src/state/bytes.ts";
import { splitCommit } from "../../src/task/commit-record.ts";
import type { RestoreFloorOrder } from "./restore-floor-process.ts";

type Level = ClassicLevel<Buffer, Buffer>;

const batchBytes = 1024 * 1024;

/** Puts the rows of one partition. @returns how many there were */
async function put(log: KafkaLog, level: Level, topic: string, partition: number): Promise<number> {
  const end = Number(await log.endOffset(topic, partition));
  const cursor = await log.openCursor(topic, partition, await log.startOffset(topic, partition), "durable");
  const reader = new RecordBatchReader();
  const changes = new ByteReader();
  let operations: BatchOperation<Level, Buffer, Buffer>[] = [];
  let [rows, bytes] = [0, 0];
  while (Number(cursor.position) < end) {
    const batch = await nextBatch(cursor);
    if (batch === undefined) break;
    reader.reset(batch.bytes);
    while (reader.next()) {
      const { changelog } = splitCommit(reader.value() as Buffer);
      if (changelog.length === 0) continue;
      openSection(changes.reset(changelog));
      while (changes.at < changes.end) {
        const start = changes.at;
        changes.at += 1;
        const keyLength = changes.u16();
        const key = changelog.subarray(changes.at, changes.at + keyLength);
        changes.at += keyLength + 8 + 8; // event time and amount
        operations.push({ type: "put", key, value: changelog.subarray(start, changes.at) });
        bytes += changes.at - start;
        rows++;
      }
      if (bytes < batchBytes) continue;
      await level.batch(operations, { sync: false });
      operations = [];
      bytes = 0;
    }
  }
  await level.batch(operations, { sync: false });
  cursor.close();
  return rows;
}

/** Goes to the changes of the one store there is. */
function openSection(reader: ByteReader): void {
  const [version, sections] = [reader.u8(), reader.u8()];
  assert(version === 1 && sections === 1, () => `a changelog of version ${version} with ${sections} sections`);
  reader.text();
  reader.at += 4 + 8; // fingerprint and order time
  reader.end = reader.at + reader.u32() + 4;
}

const { order, thread } = workerData as { readonly order: RestoreFloorOrder; readonly thread: number };
const log = await KafkaLog.open({ bootstrapServers: [order.bootstrapServers], clientId: `restore-floor-${thread}` });
const own = Array.from({ length: order.partitions }, (_, p) => p).filter((p) => p % order.threads === thread);
const levels: Level[] = [];
for (const partition of own) {
  const options = { keyEncoding: "buffer", valueEncoding: "buffer", writeBufferSize: 1024 * 1024 } as const;
  const level: Level = new ClassicLevel(join(order.directory, String(partition)), options);
  await level.open();
  levels.push(level);
}
parentPort?.postMessage({ kind: "ready", rows: 0 });
parentPort?.once("message", async () => {
  const counts = await Promise.all(own.map((p, i) => put(log, levels[i] as Level, order.topic, p)));
  parentPort?.postMessage({ kind: "done", rows: counts.reduce((sum, each) => sum + each, 0) });
  for (const level of levels) await level.close();
  await log.close();
  parentPort?.close();
});
