import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../../src/core/clock.ts";
import { KappaError, messageOf } from "../../src/core/errors.ts";
import { Engine } from "../../src/engine/engine.ts";
import { GroupMembership } from "../../src/engine/group-membership.ts";
import type { MembershipEvents } from "../../src/engine/membership.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { partitionedInputs } from "../../src/task/application.ts";
import {
  type ProcessorOrder,
  type ProcessorReport,
  type ProcessorRequest,
  processorOrderVariable,
} from "./kafka-steps.ts";
import { arm } from "./kafka-tap.ts";
import { eventsTopic } from "./kafka-topology.ts";

// One processor of the chaos: the engine over a real broker, as a member of its group, told by its parent when to die and
// telling it where it is.

/** Between two looks at the engine, in ms, and how many of them between two reports of progress. */
const lookMs = 10;
const looksPerReport = 20;

const order = JSON.parse(process.env[processorOrderVariable] ?? "") as ProcessorOrder;
const tell = (report: ProcessorReport): void => void process.send?.(report);

/** The membership in the group, with what it decides noted on its way to the engine. */
class NotedMembership extends GroupMembership {
  owned: readonly number[] = [];
  gained = 0;
  toldMs = 0;
  /** Whether the engine has not yet been seen to run what it was told. */
  pending = false;

  override join(events: MembershipEvents): Promise<void> {
    return super.join({
      ...events,
      owned: (ownership) => {
        this.#note(ownership.partitions);
        events.owned(ownership);
      },
    });
  }

  #note(partitions: readonly number[]): void {
    if (!this.pending) {
      this.gained = 0;
      this.toldMs = performance.now();
    }
    this.pending = true;
    this.gained += partitions.filter((partition) => !this.owned.includes(partition)).length;
    this.owned = partitions;
    tell({ kind: "owned", partitions });
  }
}

async function main(): Promise<void> {
  const { bootstrapServers, name, dataDir, stateDir, sessionTimeoutMs, commitIntervalMs, threads } = order;
  const kafka = { bootstrapServers: [bootstrapServers], clientId: name };
  const log = await KafkaLog.open(kafka);
  let noted: NotedMembership | undefined;
  const engine = await Engine.start({
    topology: { module: new URL("./kafka-topology.ts", import.meta.url).href, parameters: {} },
    log,
    dataDir,
    stateDir,
    threads,
    // State batches are steps to be killed at: often.
    settings: { commitIntervalMs, flushIntervalMs: 1000, cacheBytes: 64 * 1024 * 1024 },
    membership: (topology, partitions, stateFolder) => {
      const topics = partitionedInputs(topology).map(({ topic }) => topic);
      const { applicationId } = topology;
      const own = { kafka, applicationId, topics, partitions, stateDir: stateFolder };
      noted = new NotedMembership({ ...own, sessionTimeoutMs, clock: systemClock, url: () => null });
      return noted;
    },
  });
  let ended = false;
  const finished = engine.finished.finally(() => {
    ended = true;
  });
  process.on("message", (request: ProcessorRequest) => {
    if (request.kind === "stop") engine.stop().catch(() => {});
    else arm(request.kind === "arm" ? request.kill : null);
  });
  for (let look = 0; !ended; look++) {
    if (noted !== undefined) watch(engine, noted, look % looksPerReport === 0);
    await sleep(lookMs);
  }
  await finished;
  await log.close();
}

function watch(engine: Engine, noted: NotedMembership, reports: boolean): void {
  if (noted.pending && engine.state === "RUNNING") {
    noted.pending = false;
    const ms = performance.now() - noted.toldMs;
    tell({ kind: "running", partitions: noted.owned, gained: noted.gained, ms });
  }
  if (!reports) return;
  const tasks = engine.tasks.map(({ partition, sequence, positions }) => {
    return { partition, offset: positions[eventsTopic] ?? -1, commits: sequence };
  });
  tell({ kind: "progress", tasks });
}

// Nobody is left to say when to end.
process.once("disconnect", () => process.exit(3));
main().then(
  () => process.exit(0),
  (error: unknown) => {
    tell({ kind: "failed", code: error instanceof KappaError ? error.code : "", message: messageOf(error) });
    setTimeout(() => process.exit(1), 100);
  },
);
