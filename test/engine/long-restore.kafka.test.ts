import assert from "node:assert/strict";
import { globSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Kafka, logLevel } from "kafkajs";
import { afterAll, beforeAll, onTestFinished, test } from "vitest";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { EngineSources } from "../../src/cli/engine-sources.ts";
import { systemClock } from "../../src/core/clock.ts";
import { Engine } from "../../src/engine/engine.ts";
import { GroupMembership } from "../../src/engine/group-membership.ts";
import { KafkaClient } from "../../src/log/kafka-client.ts";
import { coordinatorAt } from "../../src/log/kafka-coordinator.ts";
import type { GroupClient } from "../../src/log/kafka-group.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";
import { sectionOf } from "../../src/testing/log-records.ts";
import { runTool } from "../chaos/kafka-tools.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";

// Goal: a process that restores for longer than its session stays a member, and says how long it will take. kafkajs' own
// consumer would be out: it sends no heartbeat while its handler works.

const name = "long-restore";
const partitions = 2;
const sessionTimeoutMs = 3000;
/** The broker hands out the commits no faster, but for what it allows at once: any machine is longer than two sessions. */
const restoreMs = 4 * sessionTimeoutMs;
/** All of other keys: as many entities are restored, more than fit into the memory below. */
const records = 500_000;
const recordsAtOnce = 20_000;
const cacheBytes = 8 * 1024 * 1024;

const brokerDir = temporaryDirectory();
let broker: KafkaBroker;
beforeAll(async () => {
  const session = { "group.min.session.timeout.ms": String(sessionTimeoutMs) };
  // What a client may read at once before its rate counts: of the last second and this one.
  const quota = { "quota.window.num": "2", "quota.window.size.seconds": "1" };
  broker = await KafkaBroker.start({ dataDir: brokerDir, properties: { ...session, ...quota } });
});
afterAll(async () => {
  await broker.stop();
  removeDirectory(brokerDir);
});

const kafkaOf = () => ({ bootstrapServers: [broker.bootstrapServers], clientId: name });

/** What a member and its coordinator say to each other. */
class GroupTalk {
  readonly #kafka = new KafkaClient(kafkaOf());
  /** Generations that were joined, in their order. */
  readonly joined: number[] = [];
  heartbeats = 0;

  get client(): GroupClient {
    return {
      coordinator: async (kind, id) => {
        const coordinator = coordinatorAt(await this.#kafka.coordinator(kind, id));
        return {
          ...coordinator,
          joinGroup: async (request) => {
            const answer = await coordinator.joinGroup(request);
            this.joined.push(answer.generationId);
            return answer;
          },
          heartbeat: async (request) => {
            const answer = await coordinator.heartbeat(request);
            this.heartbeats++;
            return answer;
          },
        };
      },
      refresh: () => this.#kafka.refresh(),
      close: () => this.#kafka.close(),
    };
  }
}

function start(log: KafkaLog, dataDir: string, talk: GroupTalk, threads: number): Promise<Engine> {
  return Engine.start({
    topology: { module: new URL("../chaos/kafka-trap-topology.ts", import.meta.url).href, parameters: { name } },
    log,
    dataDir,
    threads,
    settings: { cacheBytes },
    membership: (_topology, _partitions, stateDir) =>
      new GroupMembership({
        kafka: kafkaOf(),
        applicationId: name,
        topics: [`${name}-in`],
        partitions,
        stateDir,
        sessionTimeoutMs,
        clock: systemClock,
        client: talk.client,
        url: () => null,
      }),
  });
}

async function produce(log: KafkaLog): Promise<void> {
  await log.createTopic(`${name}-in`, { partitions });
  const writer = await log.openWriter(`${name}-producer`);
  for (let from = 0; from < records; from += recordsAtOnce) {
    const own = Array.from({ length: recordsAtOnce }, (_, i) => {
      const key = `key-${from + i}`;
      return { timestamp: Date.UTC(2026, 0, 5) + from + i, key, value: JSON.stringify({ key }) };
    });
    const half = recordsAtOnce / partitions;
    const sections = Array.from({ length: partitions }, (_, p) =>
      sectionOf(`${name}-in`, p, own.slice(p * half, (p + 1) * half)),
    );
    await writer.append(sections);
  }
  await writer.close();
}

/** From now on the broker gives each client so many bytes a second. */
async function throttle(bytesPerSecond: number): Promise<void> {
  const to = ["--entity-type", "clients", "--entity-default", "--add-config", `consumer_byte_rate=${bytesPerSecond}`];
  await runTool({
    mainClass: "kafka.admin.ConfigCommand",
    args: ["--bootstrap-server", broker.bootstrapServers, "--alter", ...to],
  });
}

/** What all commits take on the broker's disk, and over the wire. */
function commitBytes(): number {
  let bytes = 0;
  for (const file of globSync(join(brokerDir, "log", `${name}-commits-*`, "*.log"))) bytes += statSync(file).size;
  assert.ok(bytes > 0, `no commits in ${brokerDir}`);
  return bytes;
}

/** Ids of the members, as the coordinator has them. */
async function membersOf(): Promise<string[]> {
  const admin = new Kafka({ brokers: [broker.bootstrapServers], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  try {
    const { groups } = await admin.describeGroups([name]);
    return groups.flatMap(({ members }) => members.map(({ memberId }) => memberId));
  } finally {
    await admin.disconnect();
  }
}

interface Sample {
  readonly atMs: number;
  /** Commits that are left, by task. */
  readonly left: ReadonlyMap<number, number>;
  readonly joined: boolean;
  /** The seconds that are told. */
  readonly told: number | null;
}

/** Commits that are left, what the group says, and the seconds that are told, for as long as a restore lasts. */
async function watched(engine: Engine, talk: GroupTalk) {
  const meter = new PrometheusMeter();
  const [engineOf, heardMs] = [() => engine, systemClock.monotonic];
  const sources = new EngineSources({
    topology: engine.topology,
    engine: engineOf,
    meter,
    clock: systemClock,
    version: "0",
    heardMs,
  });
  const samples: Sample[] = [];
  const members = new Set<string>();
  let heartbeats = 0;
  for (const endMs = performance.now() + 120_000; engine.state !== "RUNNING"; await sleep(50)) {
    assert.ok(performance.now() < endMs, `the engine is ${engine.state}`);
    if (engine.restoring.size === 0) continue;
    if (samples.length === 0) heartbeats = talk.heartbeats;
    const left = new Map([...engine.restoring].map(([task, { applied, total }]) => [task, total - applied]));
    const { restoreSecondsLeft } = sources.health();
    samples.push({ atMs: performance.now(), left, joined: engine.group.joined, told: restoreSecondsLeft });
    if (samples.length % 10 === 0) for (const member of await membersOf()) members.add(member);
  }
  sources.close();
  return { samples, members, heartbeats: talk.heartbeats - heartbeats };
}

test("a restore that is longer than the session keeps the membership, and says how long it will take", {
  timeout: 240_000,
}, async () => {
  const log = await KafkaLog.open(kafkaOf());
  const dataDir = temporaryDirectory();
  onTestFinished(async () => {
    await log.close();
    removeDirectory(dataDir);
  });
  await produce(log);
  const before = await start(log, dataDir, new GroupTalk(), 2);
  const read = ({ tasks }: Engine) =>
    tasks.filter((task) => (task.positions[`${name}-in`] ?? 0) >= records / partitions);
  while (read(before).length < partitions) await sleep(100);
  await before.stop();
  rmSync(join(dataDir, "state"), { recursive: true });
  await throttle(Math.floor((commitBytes() * 1000) / restoreMs));

  const talk = new GroupTalk();
  // One thread: it has both restores to do, and no time in between.
  const engine = await start(log, dataDir, talk, 1);
  onTestFinished(() => engine.stop().catch(() => {}));
  const { samples, members, heartbeats } = await watched(engine, talk);
  const tookMs = (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
  assert.ok(tookMs > 2 * sessionTimeoutMs, `the restore took ${tookMs} ms, the session is ${sessionTimeoutMs}`);
  assert.ok(samples.every(({ joined }) => joined));
  assert.equal(talk.joined.length, 1, `generations ${talk.joined.join(", ")}`);
  assert.equal(members.size, 1, "the coordinator has the same member all the time");
  assert.ok(heartbeats >= tookMs / sessionTimeoutMs, `${heartbeats} heartbeats in ${tookMs} ms`);
  for (let task = 0; task < partitions; task++) {
    const left = samples.map((sample) => sample.left.get(task)).filter((each) => each !== undefined);
    assert.ok(new Set(left).size > 5, `${left.join(" ")} of task ${task}`);
    assert.deepEqual(
      left,
      [...left].sort((a, b) => b - a),
      `what is left of task ${task} only falls`,
    );
  }
  const told = samples.filter((sample) => sample.told !== null);
  assert.ok(told.length > 5, `${told.length} times a number of seconds was told`);
  const numbers = told.map((sample) => Number(sample.told));
  assert.ok(
    numbers.every((each) => each >= 0 && Number.isFinite(each)),
    numbers.join(" "),
  );
  // From the middle on as much is done as is left, so that what is left cannot be said to take longer than all of it. Tasks
  // begin one behind the other: what each had left at first stands in the first sample of its own.
  const first = new Map(samples.toReversed().flatMap(({ left }) => [...left]));
  const middle = told.filter(({ left }) => [...left].every(([task, each]) => each <= Number(first.get(task)) / 2));
  assert.ok(middle.length > 0, "nothing was told behind the middle");
  assert.ok(
    middle.every((sample) => Number(sample.told) <= Math.ceil(tookMs / 1000)),
    `${numbers.join(" ")} in ${tookMs} ms`,
  );
  assert.equal(await engine.count("history"), records);
});
