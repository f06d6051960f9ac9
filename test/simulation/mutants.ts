import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { type Patch, patches, refusalOf } from "./patches.ts";

// The simulation is tried on bugs that are known: each patch under mutants/ puts one into a copy of the sources, and seeds
// are run until one fails. Found is a bug whose seed passes in a copy without it: a simulation that always fails finds
// nothing. A bug that is not found, and a patch that does not apply any more, fail.

const seedsMax = 2000;
/** Longest that the seeds of one bug may take, in ms. */
const patienceMs = 600_000;

const root = fileURLToPath(new URL("../..", import.meta.url));

interface Hunt {
  readonly caught: boolean;
  readonly seed: string;
  /** What was wrong, or why nothing was found. */
  readonly found: string;
}

function copied(): string {
  const copy = mkdtempSync(join(tmpdir(), "kappa-mutant-"));
  for (const part of ["src", "schemas", "package.json", "test/simulation"])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

function simulate(copy: string, ...args: readonly string[]) {
  const command = ["test/simulation/simulation.ts", ...args];
  const { status, signal, stdout, stderr, error } = spawnSync(process.execPath, command, {
    cwd: copy,
    encoding: "utf8",
    timeout: patienceMs,
    // A run in an endless loop hears no SIGTERM.
    killSignal: "SIGKILL",
  });
  const late = error !== undefined && "code" in error && error.code === "ETIMEDOUT";
  const ending = late ? `not done after ${patienceMs / 1000} s` : `ended with ${signal ?? status}`;
  return { passed: status === 0, stdout, ending: `${ending} ${stderr.slice(0, 500)}`.trim() };
}

/** Whether seeds pass in a copy without any bug, by seed. */
const passing = new Map<string, boolean>();
const sound = copied();

function passes(seed: string): boolean {
  const known = passing.get(seed) ?? simulate(sound, "--seed", seed).passed;
  passing.set(seed, known);
  return known;
}

function hunt(patch: Patch): Hunt {
  const missed = (seed: string, found: string): Hunt => ({ caught: false, seed, found });
  const copy = copied();
  try {
    const refusal = refusalOf(patch, copy);
    if (refusal !== null) return missed("-", `${patch.name} does not apply: ${refusal}`);
    const { passed, stdout, ending } = simulate(copy, "--stop", "--seeds", String(seedsMax));
    const [, seed, found = ""] = /^seed (\d+): (.*)/m.exec(stdout) ?? [];
    if (seed === undefined) return missed("-", passed ? "no seed fails" : ending);
    return passes(seed) ? { caught: true, seed, found } : missed(seed, "the seed fails without the bug too");
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
const planted = patches().filter(({ name }) => wanted.length === 0 || wanted.some((each) => name.includes(each)));
let caughtCount = 0;
try {
  for (const patch of planted) {
    const started = performance.now();
    const { caught, seed, found } = hunt(patch);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    if (caught) caughtCount++;
    console.log(
      `${caught ? "found " : "MISSED"}  seed ${seed.padStart(4)}  ${seconds.padStart(6)} s  ${patch.bug}\n` +
        `        ${found.slice(0, 160)}`,
    );
  }
} finally {
  rmSync(sound, { recursive: true, force: true });
}
console.log(`${caughtCount} of ${planted.length} planted bugs found; the seeds that found them pass without them`);
if (caughtCount < planted.length || planted.length === 0) process.exitCode = 1;
