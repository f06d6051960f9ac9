import { hitKinds, steps } from "./faults.ts";
import type { Series } from "./series.ts";
import { faultsMin } from "./world.ts";

const recordsMin = 300;
const tasksMin = 3;

/** A series of so many seeds has to have met everything that it can meet. */
const completeSeries = 1000;
/** Deaths at each step, and hits of each kind of fault, in a complete series. */
const oftenEnough = 20;

/** What a series would have to show, whether or not its seeds failed, and did not, a line each: it proves too little. */
export function unmetDemands({ reports, deaths, hits }: Series): string[] {
  const unmet: string[] = [];
  for (const { seed, tasks, records, faults, failure } of reports) {
    // One that failed has ended early.
    if (failure !== null || (tasks >= tasksMin && records >= recordsMin && faults >= faultsMin)) continue;
    unmet.push(
      `seed ${seed} had ${tasks} tasks, ${records} records and ${faults} faults; ` +
        `wanted are ${tasksMin}, ${recordsMin} and ${faultsMin}`,
    );
  }
  if (reports.length < completeSeries) return unmet;
  const count = (what: string, times = 0): void => {
    if (times < oftenEnough) unmet.push(`${what} ${times} times, wanted are ${oftenEnough}`);
  };
  for (const step of steps) count(`processes died at ${step}`, deaths.get(step));
  for (const kind of hitKinds) count(`faults hit of kind ${kind}`, hits.get(kind));
  return unmet;
}
