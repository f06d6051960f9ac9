import type { HitKind, Step } from "./faults.ts";
import { type Outcome, runScenario } from "./run.ts";
import { type Scenario, scenarioOf } from "./scenario.ts";

/** What one seed came to, as it travels between threads. */
export interface SeedReport {
  readonly seed: number;
  /** Null when all was as it must be. */
  readonly failure: string | null;
  readonly virtualMs: number;
  readonly realMs: number;
  readonly events: number;
  /** Decisions and dead letters that were judged. */
  readonly outcomes: number;
  readonly faults: number;
  /** Tasks that were open at the end. */
  readonly tasks: number;
  /** States that databases were put to, each compared with the log. */
  readonly positions: number;
  readonly deaths: readonly (readonly [Step, number])[];
  readonly hits: readonly (readonly [HitKind, number])[];
}

/** One seed in so many is run twice: the simulation must be a function of its seed. */
export const twiceEvery = 100;

export async function reportOf(seed: number): Promise<SeedReport> {
  const startedMs = performance.now();
  const scenario = scenarioOf(seed);
  const outcome = await runScenario(scenario);
  const { world, virtualMs, outcomes, tasks } = outcome;
  return {
    seed,
    failure: outcome.failure?.message ?? (seed % twiceEvery === 0 ? await differenceTo(outcome, scenario) : null),
    virtualMs,
    realMs: performance.now() - startedMs,
    events: world.scheduler.events,
    outcomes,
    faults: world.hits,
    tasks,
    positions: world.tally.positions,
    deaths: [...world.tally.deaths],
    hits: [...world.tally.hits],
  };
}

/** Runs a scenario again. @returns what is wrong with the simulation itself, or with what it runs */
export async function differenceTo({ world }: Outcome, scenario: Scenario): Promise<string | null> {
  const again = await runScenario(scenario, world.trace !== null);
  const [first, second] = [world.scheduler.traceHash, again.world.scheduler.traceHash];
  return first === second ? null : `two runs differ: traces ${first} and ${second}`;
}

/** A failing scenario with fewer faults and records, if one still fails. */
export async function shrunk(scenario: Scenario): Promise<Scenario> {
  let smallest = scenario;
  for (let i = scenario.faults.length - 1; i >= 0; i--) {
    const faults = smallest.faults.filter((_, at) => at !== i);
    const smaller = { ...smallest, faults };
    if ((await runScenario(smaller)).failure !== null) smallest = smaller;
  }
  for (let share = 0.5; share < 1; share += 0.25) {
    const smaller = { ...smallest, arrivals: smallest.arrivals.slice(0, Math.ceil(smallest.arrivals.length * share)) };
    if ((await runScenario(smaller)).failure === null) continue;
    smallest = smaller;
    break;
  }
  return smallest;
}
