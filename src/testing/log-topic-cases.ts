import assert from "node:assert/strict";
import { append, at, type Case, rejectsWith } from "./log-case.ts";
import { sectionOf } from "./log-records.ts";

/** Rules of topics: how they come to be, and what happens where there is none. */
export const topicCases: readonly Case[] = [
  [
    "a topic is known once it is created, with its defaults; an unknown one is undefined",
    async ({ log, named }) => {
      const name = named("orders");
      assert.equal(await log.topic(name), undefined);
      await log.createTopic(name, { partitions: 3 });
      const expected = { name, partitions: 3, retentionMs: -1, retentionBytes: -1 };
      assert.deepEqual(await log.topic(name), expected);
      assert.ok((await log.topics()).some((known) => known.name === name));
    },
  ],
  [
    "creating a topic again is fine, also at once; with other partitions it is a mismatch and changes nothing",
    async ({ log, named, contiguousOffsets }) => {
      const name = named("orders");
      await Promise.all([log.createTopic(name, { partitions: 2 }), log.createTopic(name, { partitions: 2 })]);
      await log.createTopic(name, { partitions: 2 });
      const first = await append(log, name, 1, [at(1)]);
      await rejectsWith("KAPPA_TOPIC_MISMATCH", log.createTopic(name, { partitions: 3 }));
      assert.equal((await log.topic(name))?.partitions, 2);
      const second = await append(log, name, 1, [at(2)]);
      assert.ok(contiguousOffsets ? second === first + 1n : second > first, `${first}, then ${second}`);
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
    async ({ log, named }) => {
      const [known, unknown] = [named("orders"), named("nowhere")];
      await log.createTopic(known, { partitions: 1 });
      for (const [name, partition] of [
        [unknown, 0],
        [known, 1],
        [known, -1],
      ] as const) {
        await rejectsWith("KAPPA_TOPIC_UNKNOWN", log.openCursor(name, partition, 0n, "durable"));
        await rejectsWith("KAPPA_TOPIC_UNKNOWN", log.startOffset(name, partition));
        await rejectsWith("KAPPA_TOPIC_UNKNOWN", log.endOffset(name, partition, "durable"));
        await rejectsWith("KAPPA_TOPIC_UNKNOWN", log.offsetForTime(name, partition, 0));
        const writer = await log.openWriter(named("lost"));
        const first = await rejectsWith("KAPPA_TOPIC_UNKNOWN", writer.append([sectionOf(name, partition, [at(1)])]));
        const second = await rejectsWith("KAPPA_TOPIC_UNKNOWN", writer.append([sectionOf(known, 0, [at(1)])]));
        assert.equal(second, first, "a writer that failed goes on failing with the same error");
      }
      assert.equal(await log.endOffset(known, 0, "written"), 0n);
    },
  ],
];
