import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { noMeter } from "../../src/core/meter.ts";
import type { MemoryLog } from "../../src/log/memory-log.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { StateDatabase } from "../../src/state/state-database.ts";
import { defaultSettings } from "../../src/task/settings.ts";
import type { Task } from "../../src/task/task.ts";
import { openTask, type TaskSurroundings } from "../../src/task/task-opener.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import type { Topology } from "../../src/topology/graph.ts";

/** Opens one task of a topology whose topics exist and hold JSON; its state is in memory, new unless told otherwise. */
export function openedTask(
  topology: Topology,
  log: MemoryLog,
  partition: number,
  options: Partial<TaskSurroundings> = {},
): Promise<Task> {
  return openTask(partition, {
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
    openDatabase: () => StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 1 << 20 }),
    tap: () => {},
    ...options,
  });
}
