import assert from "node:assert/strict";
import { test } from "vitest";
import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { RecordSchema } from "../../src/codec/record-schema.ts";
import { KappaError } from "../../src/core/errors.ts";
import { noMeter } from "../../src/core/meter.ts";
import type { Cursor, Visibility, Writer } from "../../src/log/log.ts";
import { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { createTopics } from "../../src/task/application.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import { openTask } from "../../src/task/task-opener.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { TopologyBuilder } from "../../src/topology/builder.ts";

const schema = new RecordSchema<{ key: string; ts: number }>({
  type: "record",
  name: "Event",
  fields: [
    { name: "key", type: "string" },
    { name: "ts", type: "long" },
  ],
});

/** A log that cannot be read from for one topic, and counts what is open. */
class HalfLog extends MemoryLog {
  open = 0;

  override async openWriter(id: string): Promise<Writer> {
    return this.#counted(await super.openWriter(id));
  }

  override async openCursor(topic: string, partition: number, from: bigint, visibility: Visibility): Promise<Cursor> {
    if (topic === "second") throw new KappaError("KAPPA_LOG_UNAVAILABLE", "no leader at present");
    return this.#counted(await super.openCursor(topic, partition, from, visibility));
  }

  #counted<Closable extends { close(): unknown }>(closable: Closable): Closable {
    this.open++;
    const close = closable.close.bind(closable);
    closable.close = () => {
      this.open--;
      return close();
    };
    return closable;
  }
}

test("a task that cannot be opened leaves nothing open: not its database, its writer or a cursor", async () => {
  const builder = new TopologyBuilder("half");
  const json = { schema, key: "key", time: "ts", format: "json" } as const;
  builder
    .stream("first", json)
    .merge("both", builder.stream("second", json))
    .to("out", { schema, key: "key", format: "json" });
  const topology = builder.build();
  const log = new HalfLog();
  for (const topic of ["first", "second"]) await log.createTopic(topic, { partitions: 1 });
  await createTopics(topology, log, 1);
  let databases = 0;
  const opening = openTask(0, {
    topology,
    partitions: 1,
    log,
    registry: new MemorySchemaRegistry(),
    schemaIds: {},
    settings: defaultSettings,
    clock: new ManualClock(),
    meter: noMeter,
    globalTables: new Map(),
    scorers: new Map(),
    generation: 1,
    ends: {},
    openDatabase: async () => {
      databases++;
      const database = await StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 });
      const close = database.close.bind(database);
      database.close = () => {
        databases--;
        return close();
      };
      return database;
    },
    tap: () => {},
  });
  await assert.rejects(opening, { code: "KAPPA_LOG_UNAVAILABLE" });
  assert.deepEqual([databases, log.open], [0, 0]);
});
