import assert from "node:assert/strict";
import { KappaError } from "../../src/core/errors.ts";
import { RecordBatchReader, type RecordHeader } from "../../src/log/record-batch.ts";
import type { Task } from "../../src/task/task.ts";
import { choicesTopic, commitsTopic, deadLettersTopic } from "../../src/topology/graph.ts";
import { type Expected, expectedOf, type InputRecord, type RecordedChoice, type StoreView } from "./oracle.ts";
import { type Arrival, unluckyAmount } from "./scenario.ts";
import type { Entry } from "./simulated-partition.ts";
import { type Decision, scoreOf, variants } from "./topologies.ts";
import type { World } from "./world.ts";

/** What a commit record says that the judge looks at. */
interface CommitSummary {
  readonly sequence: number;
  readonly inputs: Readonly<Record<string, { readonly offset: number }>>;
  readonly lanes: Readonly<Record<string, { readonly offset: number; readonly consumed: readonly number[] }>>;
  readonly restoreFrom: number;
  readonly newerFrom: number;
}

interface FoundRecord {
  readonly offset: number;
  readonly value: Buffer;
  readonly headers: readonly RecordHeader[];
}

/** Records of a partition that read-committed readers may see, what was trimmed as well. */
function recordsOf(world: World, topic: string, partition: number): FoundRecord[] {
  const entries = world.cluster.held(topic)?.partitions[partition]?.entries ?? [];
  return entries.filter(({ state }) => state === "committed").flatMap(recordsIn);
}

function recordsIn({ bytes, baseOffset }: Entry): FoundRecord[] {
  const found: FoundRecord[] = [];
  if (bytes === null) return found;
  const reader = new RecordBatchReader();
  reader.reset(bytes);
  for (let offset = baseOffset; reader.next(); offset++)
    found.push({ offset, value: reader.value() as Buffer, headers: reader.headerCount > 0 ? reader.headers() : [] });
  return found;
}

/** What the documents say must have come of the inputs as they were appended. */
export function expectedIn(world: World): Expected {
  const { partitions, variant } = world.scenario;
  const all = Array.from({ length: partitions }, (_, p) => p);
  const inputs = <Value>(topic: Arrival["topic"]): InputRecord<Value>[][] =>
    all.map((p) => world.producers.fed(topic, p).map(({ offset, value }) => ({ offset, value: parsed<Value>(value) })));
  const choices: RecordedChoice[][][] = [all.map(() => []), all.map(() => [])];
  for (const p of all) {
    for (const { value } of recordsOf(world, choicesTopic("sim"), p)) {
      const { stage, rows } = JSON.parse(value.toString()) as { stage: number; rows: RecordedChoice[] };
      choices[stage]?.[p]?.push(...rows);
    }
  }
  return expectedOf({
    variant: variants[variant],
    partitions,
    payments: inputs("payments"),
    cards: inputs("cards"),
    choices,
    unluckyAmount,
    scoreOf,
  });
}

function parsed<Value>(text: string): Value | null {
  try {
    return JSON.parse(text) as Value;
  } catch {
    return null;
  }
}

/** Whether all that lies in the log was taken by tasks that are open, and all that they did is committed. */
export function atEnd(world: World): boolean {
  const tasks = world.processes.flatMap(({ tasks }) => tasks);
  // A process that has not heard of it yet still has tasks that another one runs.
  if (new Set(tasks.map(({ partition }) => partition)).size !== tasks.length) return false;
  if (tasks.length !== world.scenario.partitions) return false;
  return tasks.every((task) => {
    if (!task.finished) return false;
    return task.stages.every(
      ({ inputs, lanes }) =>
        inputs.every(({ node, position }) => position >= lastRecordEnd(world, node.topic, task.partition)) &&
        (lanes === null || lanes.position >= lastRecordEnd(world, lanes.topic, task.partition)),
    );
  });
}

/** One past the last record that is committed or may still be. */
function lastRecordEnd(world: World, topic: string, partition: number): number {
  const entries = world.cluster.held(topic)?.partitions[partition]?.entries ?? [];
  const last = entries.findLast(({ bytes, state }) => bytes !== null && state !== "aborted");
  return last === undefined ? 0 : last.baseOffset + last.count;
}

/** Where a run stands, for people. */
export function stateOf(world: World): string {
  const lines = world.processes.map(({ incarnation, tasks }) => {
    const each = tasks.map(
      (task) => `${task.id} at ${task.sequence}, lag ${task.lag}${task.finished ? "" : ", at work"}`,
    );
    return `${incarnation.name}${incarnation.stopped ? " (stopped)" : ""}: ${each.join("; ")}`;
  });
  return lines.join(" | ");
}

/**
 * Each input record had its outcome once, with the right numbers, in an order that the log tells.
 *
 * @returns decisions and dead letters that were found
 */
export function judgeOutputs(world: World, expected: Expected): number {
  const { partitions } = world.scenario;
  let outcomes = 0;
  for (let p = 0; p < partitions; p++) {
    const found = recordsOf(world, "decisions", p).map(({ value }) => JSON.parse(value.toString()) as Decision);
    const wanted = expected.decisions[p] ?? [];
    assert.deepEqual(
      found.map(({ id }) => id),
      wanted.map(({ id }) => id),
      `payments of decisions[${p}]`,
    );
    assert.deepEqual(found, wanted, `decisions[${p}]`);
    outcomes += found.length;
  }
  const name = (partition: unknown, offset: unknown, reason: unknown): string => `${partition} ${offset} ${reason}`;
  const dead = Array.from({ length: partitions }, (_, p) => recordsOf(world, deadLettersTopic("sim"), p)).flat();
  const text = ({ headers }: FoundRecord, wanted: string): string =>
    String(headers.find((header) => header.name === wanted)?.value);
  assert.deepEqual(
    dead
      .map((letter) =>
        name(
          text(letter, "__streams.errors.partition"),
          text(letter, "__streams.errors.offset"),
          text(letter, "kappa.dlq.reason"),
        ),
      )
      .sort(),
    expected.dead.map(({ partition, offset, reason }) => name(partition, offset, reason)).sort(),
    "dead letters",
  );
  return outcomes + dead.length;
}

function commitsOf(world: World, task: number): CommitSummary[] {
  return recordsOf(world, commitsTopic("sim"), task).map(({ value }) => {
    const end = 4 + value.readUInt32LE(0);
    return JSON.parse(value.toString("utf8", 4, end)) as CommitSummary;
  });
}

/** Commits of a task follow each other without a gap or a double, and positions never go back. */
export function judgeCommits(world: World): void {
  for (let task = 0; task < world.scenario.partitions; task++) {
    let last: CommitSummary | undefined;
    for (const commit of commitsOf(world, task)) {
      assert.equal(commit.sequence, (last?.sequence ?? -1) + 1, `commits of task ${task}`);
      if (last !== undefined) {
        const where = `after commit ${last.sequence} of task ${task}`;
        assert.ok(commit.restoreFrom >= last.restoreFrom, `restoreFrom goes back ${where}`);
        for (const [topic, { offset }] of Object.entries(last.inputs))
          assert.ok((commit.inputs[topic]?.offset ?? -1) >= offset, `${topic} goes back ${where}`);
        for (const [topic, { offset, consumed }] of Object.entries(last.lanes)) {
          const lanes = commit.lanes[topic];
          assert.ok((lanes?.offset ?? -1) >= offset, `${topic} goes back ${where}`);
          for (const [lane, count] of consumed.entries())
            assert.ok((lanes?.consumed[lane] ?? -2) >= count, `lane ${lane} of ${topic} goes back ${where}`);
        }
      }
      last = commit;
    }
  }
}

/** How the copy of a commit record begins, among what is put into a database. */
const positionBegins = '{"version":1,"sequence":';

/**
 * What a database is put to was committed before: its state is never ahead of the log.
 *
 * @param path of the database: the number of its task, and of the folder where it has several
 * @returns offset behind which the commits are that the database lacks
 */
export function judgePosition(world: World, path: string, values: readonly Buffer[]): number {
  // Behind a checksum and the number of the flush.
  const textAt = 12;
  const position = values.find(
    (value) => value.toString("latin1", textAt, textAt + positionBegins.length) === positionBegins,
  );
  assert.ok(position !== undefined, `what is put into database ${path} says of no commit that it is at`);
  const { sequence, newerFrom } = JSON.parse(position.toString("utf8", textAt)) as CommitSummary;
  const entries = world.cluster.held(commitsTopic("sim"))?.partitions[Number.parseInt(path, 10)]?.entries ?? [];
  const wanted = `${positionBegins}${sequence},`;
  const committed = entries.findLast(
    ({ state, bytes }) => (state === "committed" || state === "decided") && bytes?.includes(wanted),
  );
  assert.ok(committed !== undefined, `database ${path} is put to commit ${sequence}, which is not in the log`);
  world.tally.positions++;
  return newerFrom;
}

/** A task where it runs. */
interface Owner {
  readonly task: Task;
  /** Whether its database was damaged. */
  readonly harmed: boolean;
}

const damaged = Symbol("damaged");

/** What a store shows; damage of the disk may lie there until somebody looks, and is then found. */
function readOrDamaged({ task, harmed }: Owner, store: string, key: string, asOfMs: number): unknown {
  try {
    return task.stores.read(store, key, asOfMs);
  } catch (error) {
    if (harmed && error instanceof KappaError && error.code === "KAPPA_STATE_CORRUPT") return damaged;
    throw error;
  }
}

/** Stores of the running tasks show what the events say that they hold. */
export function judgeStores(world: World, expected: Expected): void {
  const owners = world.processes.flatMap((process) =>
    process.tasks.map((task): Owner => ({ task, harmed: process.harmed(task.partition) })),
  );
  for (let partition = 0; partition < world.scenario.partitions; partition++) {
    const [owner, ...others] = owners.filter(({ task }) => task.partition === partition);
    assert.ok(owner !== undefined, `task ${partition} has no owner`);
    assert.equal(others.length, 0, `other owners of task ${partition}`);
    for (const store of ["customer", "terminal"] as const) {
      const views = store === "customer" ? expected.customers : expected.terminals;
      const { asOfMs, features } = views[partition] as StoreView;
      for (const [key, { count, sum }] of features) {
        const value = readOrDamaged(owner, store, key, asOfMs);
        if (value === damaged) continue;
        const wanted = { [`${store}_count`]: count, [`${store}_sum`]: sum };
        assert.deepEqual(value, wanted, `store ${store} of task ${partition}, key ${key}`);
      }
    }
  }
}
