import process from "node:process";
import { atEnd, expectedIn, judgeCommits, judgeOutputs, judgePosition, judgeStores, stateOf } from "./judge.ts";
import type { Expected } from "./oracle.ts";
import type { Scenario } from "./scenario.ts";
import { World } from "./world.ts";

/** How long a run may go on after nothing goes wrong any more, until everything is decided, in ms. */
const mendedWithinMs = 30_000;
/** How long it then goes on, to see whether more comes, in ms. */
const settledMs = 400;

/** One seed in so many is restored from nothing at its end. */
const restoredEvery = 4;

/** What a run came to. */
export interface Outcome {
  readonly world: World;
  readonly virtualMs: number;
  /** Decisions and dead letters that were judged. */
  readonly outcomes: number;
  /** Tasks that were open at the end. */
  readonly tasks: number;
  /** Null when all is as it must be. */
  readonly failure: Error | null;
}

/** Runs one scenario to its end and judges it. */
export async function runScenario(scenario: Scenario, traced = false): Promise<Outcome> {
  const world: World = new World(scenario, traced, (path, values) => judgePosition(world, path, values));
  let failure: Error | null = null;
  let outcomes = 0;
  const unhandled = (error: unknown): void => {
    unexpected ??= error;
  };
  let unexpected: unknown = null;
  process.on("unhandledRejection", unhandled);
  // Most errors of a run are part of it, and nobody looks at where they came from.
  if (!traced) Error.stackTraceLimit = 0;
  try {
    await untilDecided(world);
    const expected = expectedIn(world);
    judgeCommits(world);
    outcomes = judgeOutputs(world, expected);
    judgeStores(world, expected);
    if (scenario.seed % restoredEvery === 0) await judgeRestored(world, expected);
    if (unexpected !== null) throw unexpected;
  } catch (error) {
    failure = error instanceof Error ? error : new Error(String(error));
  } finally {
    process.off("unhandledRejection", unhandled);
    Error.stackTraceLimit = 10;
  }
  const tasks = world.processes.reduce((sum, process) => sum + process.tasks.length, 0);
  return { world, virtualMs: world.scheduler.monotonic(), outcomes, tasks, failure };
}

/** What a restore from the log alone brings back is what there was, and it writes nothing anew. */
async function judgeRestored(world: World, expected: Expected): Promise<void> {
  world.startFromNothing();
  await untilDecided(world);
  judgeCommits(world);
  judgeOutputs(world, expected);
  judgeStores(world, expected);
}

/** Between two looks at whether a run has come to its end, in ms. */
const lookMs = 25;

async function untilDecided(world: World): Promise<void> {
  const { scheduler } = world;
  /** From when on the run has to come to its end. */
  let beganMs = -1;
  let firstAtMs = -1;
  let ended = false;
  let lookedMs = 0;
  await scheduler.run(() => {
    const nowMs = scheduler.monotonic();
    if (world.failure !== null) return true;
    if (world.healedMs < 0) return false;
    if (beganMs < 0) beganMs = nowMs;
    if (nowMs < lookedMs + lookMs) return false;
    lookedMs = nowMs;
    const end = atEnd(world);
    if (!end) firstAtMs = -1;
    else if (firstAtMs < 0) firstAtMs = nowMs;
    ended = end && nowMs >= firstAtMs + settledMs;
    return ended || nowMs > beganMs + mendedWithinMs;
  });
  if (world.failure !== null) throw world.failure;
  if (!ended) throw new Error(`not at the end ${mendedWithinMs} ms after all was well: ${stateOf(world)}`);
}
