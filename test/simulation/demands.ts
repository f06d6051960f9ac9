import { hitKinds, steps } from "./faults.ts";
import type { Series } from "./series.ts";
import { faultsMin } from "./world.ts";

/** Of a run: tasks open at its end, outcomes and states on disk that were judged; not what its plan says. */
const tasksMin = 3;
const outcomesMin = 300;
const positionsMin = 1;

/** A series of so many seeds has to have met everything that it can meet. */
const completeSeries = 1000;
/** Deaths at each step, and hits of each kind of fault, in a complete series. */
const oftenEnough = 20;

/** What a series would have to show, whether or not its seeds failed, and did not, a line each: it proves too little. */
export function unmetDemands({ reports, deaths, hits }: Series): string[] {
  const unmet: string[] = [];
  for (const { seed, tasks, outcomes, faults, positions, failure } of reports) {
    // One that failed has ended early.
    if (failure !== null) continue;
    const enough = tasks >= tasksMin && outcomes >= outcomesMin && faults >= faultsMin && positions >= positionsMin;
    if (enough) continue;
    unmet.push(
      `seed ${seed} had ${tasks} tasks, ${outcomes} outcomes, ${faults} faults and ${positions} states on disk; ` +
        `wanted are ${tasksMin}, ${outcomesMin}, ${faultsMin} and ${positionsMin}`,
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
