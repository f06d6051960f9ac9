import process from "node:process";
import type { Membership } from "../../src/engine/membership.ts";
import { Engine } from "../../src/index.ts";
import { groupMembership, KafkaLog } from "../../src/kafka.ts";
import { answer, orderOf, say } from "./child.ts";
import { sharedClockMs } from "./decision-reader.ts";
import { historiesTopic } from "./memory-topology.ts";

/** How to run one process of the application. */
export interface RestoreEngineOrder {
  readonly bootstrapServers: string;
  readonly dataDir: string;
  readonly partitions: number;
  readonly threads: number;
  readonly cacheMb: number;
}

/** That the tasks of an assignment are all running. */
export interface TakenOver {
  /** Tasks of the assignment that are new to the process. */
  readonly taken: number;
  /** On the clock that the processes share. */
  readonly assignedMs: number;
  readonly runningMs: number;
  /** What was told of state that could not be used. */
  readonly warnings: readonly string[];
}

// A process of the application that may be killed. It tells of each assignment when its tasks run.

const lookEveryMs = 2;
const { bootstrapServers, dataDir, partitions, threads, cacheMb } = orderOf<RestoreEngineOrder>();
const kafka = { bootstrapServers: [bootstrapServers], clientId: `restore-${process.pid}` };
const log = await KafkaLog.open(kafka);

let assigned: { readonly atMs: number; readonly tasks: readonly number[] } | null = null;
let running: readonly number[] = [];
const warnings: string[] = [];

/** As the group's, and notes when tasks are assigned. */
function watched(inner: Membership): Membership {
  return new Proxy(inner, {
    get(target, name) {
      if (name === "join") {
        return (events: Parameters<Membership["join"]>[0]) =>
          target.join({
            ...events,
            owned: (ownership) => {
              const tasks = ownership.partitions;
              running = running.filter((task) => tasks.includes(task));
              // One that changes before its tasks run is the same wait: it counts from the first.
              if (assigned !== null || tasks.length > running.length)
                assigned = { atMs: assigned?.atMs ?? sharedClockMs(), tasks };
              events.owned(ownership);
            },
          });
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const engine = await Engine.start({
  topology: { module: new URL("./memory-topology.ts", import.meta.url).href, parameters: {} },
  log,
  dataDir,
  threads,
  settings: { cacheBytes: cacheMb * 2 ** 20 },
  onWarning: (fields, message) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
  membership: (...application) => watched(groupMembership({ kafka })(...application)),
});
engine.finished.catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
  process.exit(1);
});

const looking = setInterval(() => {
  if (assigned === null || engine.state !== "RUNNING") return;
  const { atMs, tasks } = assigned;
  const taken = tasks.filter((task) => !running.includes(task)).length;
  assigned = null;
  running = tasks;
  const told: TakenOver = {
    taken,
    assignedMs: atMs,
    runningMs: sharedClockMs(),
    warnings: warnings.splice(0),
  };
  void say("taken over", told);
}, lookEveryMs);

answer({
  answered: async () => {
    let count = 0;
    for (let p = 0; p < partitions; p++) count += Number(await log.endOffset(historiesTopic, p, "durable"));
    return count;
  },
  stop: async () => {
    clearInterval(looking);
    await engine.stop();
    await log.close();
  },
});
