import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type FileLogHandle, openFileLog } from "../../src/log/file-log.ts";
import { ThreadFileLog } from "../../src/log/file-log-thread.ts";
import type { Log } from "../../src/log/log.ts";
import { sectionOf } from "../../src/testing/log-records.ts";

// How fast the embedded log takes frames from an engine thread, with an fsync behind every acknowledgement, and gives
// them back. Usage: node test/bench/log.ts [MB per run, default 512] [directory]
// `window` is how many transactions the writer leaves unacknowledged: 1 is a task that waits for every commit.

const runs = [
  { frameBytes: 1024, window: 1 },
  { frameBytes: 1024, window: 64 },
  { frameBytes: 65_536, window: 1 },
  { frameBytes: 65_536, window: 8 },
  { frameBytes: 1_048_576, window: 4 },
];

interface Order {
  readonly handle: FileLogHandle;
  readonly topic: string;
  readonly frameBytes: number;
  readonly window: number;
  readonly frames: number;
}

interface Measured {
  readonly appendSeconds: number;
  readonly readSeconds: number;
  /** Sorted, of each append from call to acknowledgement. */
  readonly appendMs: readonly number[];
}

async function append(log: Log, { topic, frameBytes, window, frames }: Order): Promise<number[]> {
  const writer = await log.openWriter(topic);
  const value = "x".repeat(100);
  const records = Array.from({ length: Math.ceil(frameBytes / 130) }, (_, i) => ({
    timestamp: i,
    key: `key-${i}`,
    value,
  }));
  const section = sectionOf(topic, 0, records);
  const appendMs: number[] = [];
  let next = 0;
  const one = async () => {
    while (next < frames) {
      next++;
      const start = performance.now();
      await writer.append([section]);
      appendMs.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: window }, one));
  return appendMs.sort((a, b) => a - b);
}

async function work(order: Order): Promise<Measured> {
  const log = ThreadFileLog.of(order.handle);
  while ((await log.topic(order.topic)) === undefined) await log.changed(100);
  const start = performance.now();
  const appendMs = await append(log, order);
  const appended = performance.now();
  const cursor = await log.openCursor(order.topic, 0, 0n, "durable");
  let batches = 0;
  while (cursor.next() !== undefined) batches++;
  if (batches !== order.frames) throw new Error(`${batches} of ${order.frames} frames were read`);
  const read = performance.now();
  await log.close();
  return { appendSeconds: (appended - start) / 1000, readSeconds: (read - appended) / 1000, appendMs };
}

async function main(): Promise<void> {
  const megabytes = Number(process.argv[2] ?? 512);
  const directory = mkdtempSync(join(process.argv[3] ?? tmpdir(), "kappa-bench-"));
  const log = await openFileLog({ directory });
  console.log("frame bytes  window   frames/s     MB/s   p50 ms   p99 ms   read MB/s");
  for (const { frameBytes, window } of runs) {
    const topic = `bench-${frameBytes}-${window}`;
    await log.createTopic(topic, { partitions: 1 });
    const frames = Math.min(20_000, Math.ceil((megabytes * 1e6) / frameBytes));
    const handle = log.threadHandle();
    const order: Order = { handle, topic, frameBytes, window, frames };
    const worker = new Worker(fileURLToPath(import.meta.url), { workerData: order, transferList: [handle.port] });
    const measured = await new Promise<Measured>((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
    const { appendSeconds, readSeconds, appendMs } = measured;
    const total = (frames * frameBytes) / 1e6;
    const quantile = (q: number) => (appendMs[Math.floor(appendMs.length * q)] ?? 0).toFixed(2).padStart(9);
    console.log(
      String(frameBytes).padStart(11) +
        String(window).padStart(8) +
        (frames / appendSeconds).toFixed(0).padStart(11) +
        (total / appendSeconds).toFixed(0).padStart(9) +
        quantile(0.5) +
        quantile(0.99) +
        (total / readSeconds).toFixed(0).padStart(12),
    );
  }
  await log.close();
  rmSync(directory, { recursive: true });
}

if (isMainThread) await main();
else parentPort?.postMessage(await work(workerData as Order));
