import assert from "node:assert/strict";
import type { ErrorCode } from "../core/errors.ts";
import { KappaError } from "../core/errors.ts";
import type { Log } from "../log/log.ts";
import { transactionBytesMax } from "../log/transaction.ts";
import { eventually, type PlainRecord, readRecords, readVisible, sectionOf } from "./log-records.ts";

/** One log, fresh for one test. */
export interface LogUnderTest {
  readonly log: Log;
  /** Closes the log and opens it again over the same data. */
  reopen?(): Promise<Log>;
  /** Lets nothing become durable until the function it returns is called. */
  holdDurability?(): () => void;
  dispose(): Promise<void>;
}

export interface LogConformanceOptions {
  /** Begins the name of every test. */
  readonly name: string;
  /** Registers a test: `test` of vitest, node:test or another runner. */
  readonly test: (name: string, run: () => Promise<void>) => void;
  readonly open: () => Promise<LogUnderTest>;
  /** Begins the name of every topic; for a broker that other tests share. Default none. */
  readonly topicPrefix?: string;
  /** Size of the largest record that is tried, in bytes. Default 5 MiB. */
  readonly largeRecordBytes?: number;
  /** What the adapter can show besides the port: see `LogUnderTest`. */
  readonly capabilities: { readonly reopen: boolean; readonly holdDurability: boolean };
}

type Case = readonly [rule: string, run: (under: LogUnderTest, topic: (name: string) => string) => Promise<void>];

/** The suite that every adapter of the log must pass. Registers one test for each rule. */
export function logConformance(options: LogConformanceOptions): void {
  const { name, test, open, topicPrefix = "", capabilities, largeRecordBytes = 5 * 1024 * 1024 } = options;
  let opened = 0;
  const cases = [
    ...topicCases,
    ...readCases,
    ...appendCases,
    largeRecordCase(largeRecordBytes),
    ...(capabilities.reopen ? reopenCases : []),
    ...(capabilities.holdDurability ? durabilityCases : []),
  ];
  for (const [rule, run] of cases)
    test(`${name}: ${rule}`, async () => {
      const under = await open();
      opened++;
      try {
        await run(under, (topic) => `${topicPrefix}${topic}-${opened}`);
      } finally {
        await under.dispose();
      }
    });
}

const at = (timestamp: number, value: string | null = `v${timestamp}`, key: string | null = "k"): PlainRecord => ({
  timestamp,
  key,
  value,
});

async function rejectsWith(code: ErrorCode, promise: Promise<unknown>): Promise<KappaError> {
  let thrown: unknown;
  await assert.rejects(promise, (error) => {
    thrown = error;
    return error instanceof KappaError && error.code === code;
  });
  assert.ok(thrown instanceof KappaError);
  return thrown;
}

function throwsWith(code: ErrorCode, run: () => unknown): void {
  assert.throws(run, (error) => error instanceof KappaError && error.code === code);
}

/** Appends one transaction of one section, by a writer of its own. */
async function append(log: Log, topic: string, partition: number, records: readonly PlainRecord[]): Promise<bigint> {
  const writer = await log.openWriter(`${topic}-${partition}-writer`);
  const appended = await writer.append([sectionOf(topic, partition, records)]);
  await writer.close();
  const [baseOffset] = appended.baseOffsets;
  assert.ok(baseOffset !== undefined);
  return baseOffset;
}

const values = (records: readonly PlainRecord[]) => records.map((record) => record.value);

const topicCases: readonly Case[] = [
  [
    "a topic is known once it is created, with its defaults; an unknown one is undefined",
    async ({ log }, topic) => {
      assert.equal(log.topic(topic("orders")), undefined);
      await log.createTopic(topic("orders"), { partitions: 3 });
      const expected = { name: topic("orders"), partitions: 3, retentionMs: -1, retentionBytes: -1 };
      assert.deepEqual(log.topic(topic("orders")), expected);
      assert.ok(log.topics().some((known) => known.name === topic("orders")));
    },
  ],
  [
    "creating a topic again is fine, also at once; with other partitions it is a mismatch and changes nothing",
    async ({ log }, topic) => {
      const name = topic("orders");
      await Promise.all([log.createTopic(name, { partitions: 2 }), log.createTopic(name, { partitions: 2 })]);
      await log.createTopic(name, { partitions: 2 });
      await append(log, name, 1, [at(1)]);
      await rejectsWith("KAPPA_TOPIC_MISMATCH", log.createTopic(name, { partitions: 3 }));
      assert.equal(log.topic(name)?.partitions, 2);
      assert.equal(await append(log, name, 1, [at(2)]), 1n);
    },
  ],
  [
    "names that no file or broker could hold are refused",
    async ({ log }) => {
      for (const name of ["", ".", "..", "a/b", "a b", "ü", "x".repeat(250)])
        await rejectsWith("KAPPA_CONFIG_INVALID", log.createTopic(name, { partitions: 1 }));
      await rejectsWith("KAPPA_CONFIG_INVALID", log.createTopic("none", { partitions: 0 }));
    },
  ],
  [
    "a topic or partition that does not exist is an error wherever it is named",
    async ({ log }, topic) => {
      const [known, unknown] = [topic("orders"), topic("nowhere")];
      await log.createTopic(known, { partitions: 1 });
      for (const [name, partition] of [
        [unknown, 0],
        [known, 1],
        [known, -1],
      ] as const) {
        throwsWith("KAPPA_TOPIC_UNKNOWN", () => log.cursor(name, partition, 0n, "durable"));
        throwsWith("KAPPA_TOPIC_UNKNOWN", () => log.startOffset(name, partition));
        throwsWith("KAPPA_TOPIC_UNKNOWN", () => log.endOffset(name, partition, "durable"));
        throwsWith("KAPPA_TOPIC_UNKNOWN", () => log.offsetForTime(name, partition, 0));
        const writer = await log.openWriter("lost");
        const first = await rejectsWith("KAPPA_TOPIC_UNKNOWN", writer.append([sectionOf(name, partition, [at(1)])]));
        const second = await rejectsWith("KAPPA_TOPIC_UNKNOWN", writer.append([sectionOf(known, 0, [at(1)])]));
        assert.equal(second, first, "a writer that failed goes on failing with the same error");
      }
      assert.equal(log.endOffset(known, 0, "written"), 0n);
    },
  ],
];

const readCases: readonly Case[] = [
  [
    "offsets of a partition are contiguous from 0, whatever the other partitions do",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 2 });
      assert.equal(await append(log, name, 0, [at(1), at(2)]), 0n);
      assert.equal(await append(log, name, 1, [at(3)]), 0n);
      assert.equal(await append(log, name, 0, [at(4)]), 2n);
      const found = await readRecords(log, log.cursor(name, 0, 0n, "durable"), 3);
      assert.deepEqual(
        found.map(({ offset, value }) => [offset, value]),
        [
          [0n, "v1"],
          [1n, "v2"],
          [2n, "v4"],
        ],
      );
    },
  ],
  [
    "records come back as they went in: null is not empty, headers keep their order, times may be negative",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const records: PlainRecord[] = [
        { timestamp: 0, key: null, value: null },
        { timestamp: -1, key: "", value: "" },
        { timestamp: 2 ** 45 + 1, key: "ключ", value: "värde", headers: { b: "2", a: "", traceparent: "00-é" } },
        { timestamp: 1, key: null, value: "v" },
        { timestamp: 1, key: "k", value: null, headers: { tombstone: "yes" } },
      ];
      await append(log, name, 0, records);
      const found = await readRecords(log, log.cursor(name, 0, 0n, "durable"), records.length);
      assert.deepEqual(
        found.map(({ offset: _, ...record }) => record),
        records,
      );
    },
  ],
  [
    "a seek into the middle of a batch returns the batch cut",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(0), at(1), at(2), at(3)]);
      await append(log, name, 0, [at(4), at(5)]);
      for (let from = 0; from <= 6; from++) {
        const cursor = log.cursor(name, 0, BigInt(from), "durable");
        assert.equal(cursor.position, BigInt(from));
        const found = await readRecords(log, cursor, 6 - from);
        assert.deepEqual(values(found), ["v0", "v1", "v2", "v3", "v4", "v5"].slice(from), `from ${from}`);
        assert.deepEqual(
          found.map(({ offset }) => Number(offset)),
          [0, 1, 2, 3, 4, 5].slice(from),
        );
        assert.equal(cursor.position, 6n);
        cursor.close();
      }
    },
  ],
  [
    "a cursor is caught up when everything visible was returned, and goes on when more comes",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const cursor = log.cursor(name, 0, 0n, "durable");
      assert.equal(cursor.next(), undefined);
      assert.equal(cursor.caughtUp(), true);
      await append(log, name, 0, [at(1)]);
      await eventually(
        log,
        () => !cursor.caughtUp(),
        () => "the cursor never saw the append",
      );
      assert.deepEqual(values(await readRecords(log, cursor, 1)), ["v1"]);
      assert.equal(cursor.caughtUp(), true);
      await append(log, name, 0, [at(2)]);
      assert.deepEqual(values(await readRecords(log, cursor, 1)), ["v2"]);
    },
  ],
  [
    "start and end offsets bound what is held",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      assert.equal(log.startOffset(name, 0), 0n);
      assert.equal(log.endOffset(name, 0, "durable"), 0n);
      await append(log, name, 0, [at(1), at(2), at(3)]);
      const end = () => log.endOffset(name, 0, "durable");
      await eventually(
        log,
        () => end() === 3n,
        () => `the end is ${end()}, not 3`,
      );
      assert.equal(log.endOffset(name, 0, "written"), 3n);
      assert.equal(log.startOffset(name, 0), 0n);
      throwsWith("KAPPA_LOG_TRUNCATED", () => log.cursor(name, 0, 4n, "durable"));
    },
  ],
  [
    "offsetForTime finds the first offset at or after a time, also when times run out of order",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(10), at(30), at(20)]);
      await append(log, name, 0, [at(15)]);
      await append(log, name, 0, [at(40), at(50)]);
      await eventually(
        log,
        () => log.endOffset(name, 0, "durable") === 6n,
        () => "the appends never showed",
      );
      const expected = [
        [0, 0n],
        [10, 0n],
        [11, 1n],
        [30, 1n],
        [31, 4n],
        [41, 5n],
        [50, 5n],
        [51, 6n],
      ] as const;
      for (const [timeMs, offset] of expected) assert.equal(log.offsetForTime(name, 0, timeMs), offset, `${timeMs}`);
    },
  ],
  [
    "trimTo keeps every record from the offset on",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      for (let i = 0; i < 6; i++) await append(log, name, 0, [at(2 * i), at(2 * i + 1)]);
      await log.trimTo(name, 0, 5n);
      assert.ok(log.startOffset(name, 0) <= 5n, `start ${log.startOffset(name, 0)}`);
      const found = await readRecords(log, log.cursor(name, 0, 5n, "durable"), 7);
      assert.deepEqual(values(found), ["v5", "v6", "v7", "v8", "v9", "v10", "v11"]);
    },
  ],
  [
    "changed() resolves on an append, at once for one that nobody waited for, and after its timeout",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const cursor = log.cursor(name, 0, 0n, "durable");
      const forever = 2 ** 30;
      const appended = append(log, name, 0, [at(1)]);
      while (cursor.caughtUp()) await log.changed(forever);
      assert.deepEqual(values(readVisible(cursor)), ["v1"]);
      await appended;
      await append(log, name, 0, [at(2)]);
      while (cursor.caughtUp()) await log.changed(forever);
      assert.deepEqual(values(readVisible(cursor)), ["v2"]);
      await log.changed(1);
      await log.changed(1);
    },
  ],
];

const appendCases: readonly Case[] = [
  [
    "a transaction over several topics becomes visible whole, one that fails not at all",
    async ({ log }, topic) => {
      const [a, b] = [topic("a"), topic("b")];
      await log.createTopic(a, { partitions: 2 });
      await log.createTopic(b, { partitions: 1 });
      const writer = await log.openWriter("task-0");
      const { baseOffsets } = await writer.append([
        sectionOf(a, 1, [at(1), at(2)]),
        sectionOf(b, 0, [at(3)]),
        sectionOf(a, 0, [at(4)]),
        sectionOf(a, 1, [at(5)]),
      ]);
      assert.deepEqual(baseOffsets, [0n, 0n, 0n, 2n]);
      const failing = writer.append([sectionOf(a, 0, [at(6)]), sectionOf(topic("nowhere"), 0, [at(7)])]);
      await rejectsWith("KAPPA_TOPIC_UNKNOWN", failing);
      await append(log, a, 0, [at(8)]);
      assert.deepEqual(values(await readRecords(log, log.cursor(a, 0, 0n, "durable"), 2)), ["v4", "v8"]);
      assert.deepEqual(values(await readRecords(log, log.cursor(a, 1, 0n, "durable"), 3)), ["v1", "v2", "v5"]);
      assert.deepEqual(values(await readRecords(log, log.cursor(b, 0, 0n, "durable"), 1)), ["v3"]);
    },
  ],
  [
    "appends of a writer keep their order while other writers append",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const [writers, appends] = [4, 25];
      const offsets = await Promise.all(
        Array.from({ length: writers }, async (_, w) => {
          const writer = await log.openWriter(`writer-${w}`);
          const all = Array.from({ length: appends }, (_, i) =>
            writer.append([sectionOf(name, 0, [{ timestamp: i, key: `${w}`, value: `${i}` }])]),
          );
          return (await Promise.all(all)).flatMap((appended) => appended.baseOffsets);
        }),
      );
      const found = await readRecords(log, log.cursor(name, 0, 0n, "durable"), writers * appends);
      assert.deepEqual(
        found.map(({ offset }) => Number(offset)),
        [...found.keys()],
      );
      for (let w = 0; w < writers; w++) {
        const own = found.filter(({ key }) => key === `${w}`);
        assert.deepEqual(
          values(own),
          Array.from({ length: appends }, (_, i) => `${i}`),
          `writer ${w}`,
        );
        assert.deepEqual(
          own.map(({ offset }) => offset),
          offsets[w],
          `offsets told to writer ${w}`,
        );
      }
    },
  ],
  [
    "a new writer of an id fences the old one for good, and only that id",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const [old, other] = [await log.openWriter("task-0"), await log.openWriter("task-1")];
      await old.append([sectionOf(name, 0, [at(1)])]);
      const young = await log.openWriter("task-0");
      const first = await rejectsWith("KAPPA_TASK_FENCED", old.append([sectionOf(name, 0, [at(2)])]));
      await young.append([sectionOf(name, 0, [at(3)])]);
      assert.equal(await rejectsWith("KAPPA_TASK_FENCED", old.append([sectionOf(name, 0, [at(4)])])), first);
      await other.append([sectionOf(name, 0, [at(5)])]);
      assert.deepEqual(values(await readRecords(log, log.cursor(name, 0, 0n, "durable"), 3)), ["v1", "v3", "v5"]);
    },
  ],
  [
    "a new writer sees what its predecessor left behind settled",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const old = await log.openWriter("task-0");
      const outcomes = Array.from({ length: 10 }, (_, i) =>
        old.append([sectionOf(name, 0, [at(i)])]).then(
          () => true,
          () => false,
        ),
      );
      const young = await log.openWriter("task-0");
      const { baseOffsets } = await young.append([sectionOf(name, 0, [at(100)])]);
      const succeeded = (await Promise.all(outcomes)).filter(Boolean).length;
      assert.deepEqual(baseOffsets, [BigInt(succeeded)]);
      assert.equal((await readRecords(log, log.cursor(name, 0, 0n, "durable"), succeeded + 1)).length, succeeded + 1);
    },
  ],
  [
    "a transaction beyond the limit is refused and leaves its writer usable",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const writer = await log.openWriter("task-0");
      const huge = { ...sectionOf(name, 0, [at(1)]), bytes: Buffer.alloc(transactionBytesMax + 1) };
      await rejectsWith("KAPPA_TRANSACTION_TOO_LARGE", writer.append([huge]));
      assert.deepEqual((await writer.append([sectionOf(name, 0, [at(2)])])).baseOffsets, [0n]);
    },
  ],
  [
    "close() settles what is under way and refuses what comes after",
    async ({ log }, topic) => {
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      const writer = await log.openWriter("task-0");
      const underWay = [writer.append([sectionOf(name, 0, [at(1)])]), writer.append([sectionOf(name, 0, [at(2)])])];
      await log.close();
      assert.deepEqual(
        (await Promise.all(underWay)).flatMap(({ baseOffsets }) => baseOffsets),
        [0n, 1n],
      );
      await rejectsWith("KAPPA_LOG_CLOSED", writer.append([sectionOf(name, 0, [at(3)])]));
    },
  ],
];

const largeRecordCase = (bytes: number): Case => [
  `a record of ${bytes} bytes comes back whole, among small ones`,
  async ({ log }, topic) => {
    const name = topic("orders");
    await log.createTopic(name, { partitions: 1 });
    const large = "0123456789abcdef".repeat(bytes / 16);
    await append(log, name, 0, [at(1), at(2, large), at(3)]);
    await append(log, name, 0, [at(4)]);
    const found = await readRecords(log, log.cursor(name, 0, 0n, "durable"), 4);
    assert.ok(found[1]?.value === large, "the large value differs");
    assert.deepEqual(values(found).toSpliced(1, 1), ["v1", "v3", "v4"]);
  },
];

const reopenCases: readonly Case[] = [
  [
    "everything is there after a reopen, and offsets go on where they were",
    async ({ log, reopen }, topic) => {
      assert.ok(reopen !== undefined, "the adapter claims the capability reopen");
      const [a, b] = [topic("a"), topic("b")];
      await log.createTopic(a, { partitions: 2, retentionMs: 86_400_000 });
      await log.createTopic(b, { partitions: 1 });
      await append(log, a, 1, [at(1), at(2)]);
      const again = await reopen();
      assert.deepEqual(again.topic(a), { name: a, partitions: 2, retentionMs: 86_400_000, retentionBytes: -1 });
      assert.equal(await append(again, a, 1, [at(3)]), 2n);
      assert.equal(await append(again, b, 0, [at(4)]), 0n);
      assert.deepEqual(values(await readRecords(again, again.cursor(a, 1, 0n, "durable"), 3)), ["v1", "v2", "v3"]);
      assert.deepEqual(values(await readRecords(again, again.cursor(b, 0, 0n, "durable"), 1)), ["v4"]);
    },
  ],
];

const durabilityCases: readonly Case[] = [
  [
    "what is written but not durable shows to written readers only, and is not acknowledged",
    async ({ log, holdDurability }, topic) => {
      assert.ok(holdDurability !== undefined, "the adapter claims the capability holdDurability");
      const name = topic("orders");
      await log.createTopic(name, { partitions: 1 });
      await append(log, name, 0, [at(1)]);
      const writer = await log.openWriter("task-0");
      const release = holdDurability();
      let acknowledged = false;
      const appended = writer.append([sectionOf(name, 0, [at(2)])]).then(() => {
        acknowledged = true;
      });
      const [written, durable] = [log.cursor(name, 0, 0n, "written"), log.cursor(name, 0, 0n, "durable")];
      assert.deepEqual(values(await readRecords(log, written, 2)), ["v1", "v2"]);
      await log.changed(20);
      assert.deepEqual(values(readVisible(durable)), ["v1"]);
      assert.equal(durable.caughtUp(), true);
      assert.equal(log.endOffset(name, 0, "written"), 2n);
      assert.equal(log.endOffset(name, 0, "durable"), 1n);
      assert.equal(log.offsetForTime(name, 0, 2), 1n, "offsetForTime speaks of durable records");
      assert.equal(acknowledged, false);
      release();
      await appended;
      assert.deepEqual(values(await readRecords(log, durable, 1)), ["v2"]);
    },
  ],
];
