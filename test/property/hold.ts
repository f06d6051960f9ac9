import { readFileSync } from "node:fs";
import fc from "fast-check";

/** How many times more cases than in a quick run: `PROPERTY_RUNS=100 npx vitest run test/property`. */
const times = Number(process.env.PROPERTY_RUNS ?? 1);

/** How long a property may take before it is cut short. */
const timeLimitMs = 15_000 * Math.max(1, times);

/** For vitest: longer than a property takes. */
export const timeoutMs = 4 * timeLimitMs;

interface Regression {
  readonly property: string;
  readonly seed: number;
  readonly path: string;
}

/** Lines `property | seed | path | what it was`; fast-check prints seed and path when a property fails. */
function regressions(): Regression[] {
  const lines = readFileSync(new URL("./regressions.txt", import.meta.url), "utf8").split("\n");
  return lines
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [property = "", seed, path = ""] = line.split("|").map((part) => part.trim());
      return { property, seed: Number(seed), path };
    });
}

/** Holds a property over the cases that once failed, then over `runs` new ones. A failure prints its seed and path. */
export async function hold<Case>(
  property: string,
  runs: number,
  cases: fc.Arbitrary<Case>,
  check: (each: Case) => Promise<void>,
): Promise<void> {
  const predicate = fc.asyncProperty(cases, check);
  for (const { property: name, seed, path } of regressions()) {
    if (name === property) await fc.assert(predicate, { seed, path });
  }
  // Time bounds the search for a smaller counterexample, which otherwise may take many minutes.
  await fc.assert(predicate, { numRuns: Math.ceil(runs * times), interruptAfterTimeLimit: timeLimitMs });
}
