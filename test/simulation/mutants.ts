import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

// The simulation is tried on bugs that are known: each patch under mutants/ puts one into a copy of the sources, and seeds
// are run until one fails. A bug that is not found, and a patch that does not apply any more, fail.

const seedsMax = 2000;
/** Longest that the seeds of one bug may take, in ms. */
const patienceMs = 600_000;

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = fileURLToPath(new URL("./mutants/", import.meta.url));

interface Hunt {
  readonly bug: string;
  readonly seed: string;
  readonly seconds: number;
  /** What was wrong, or why nothing was found. */
  readonly found: string;
  readonly caught: boolean;
}

function copied(): string {
  const copy = mkdtempSync(join(tmpdir(), "kappa-mutant-"));
  for (const part of ["src", "schemas", "package.json", "test/simulation"])
    cpSync(join(root, part), join(copy, part), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  return copy;
}

function hunt(patch: string): Hunt {
  const [bug = patch] = readFileSync(join(folder, patch), "utf8").split("\n");
  const copy = copied();
  const started = performance.now();
  const result = (caught: boolean, seed: string, found: string): Hunt => {
    return { bug, seed, found, caught, seconds: (performance.now() - started) / 1000 };
  };
  try {
    try {
      execFileSync("git", ["apply", "--whitespace=nowarn", join(folder, patch)], { cwd: copy, stdio: "pipe" });
    } catch (error) {
      return result(false, "-", `${patch} does not apply: ${error instanceof Error ? error.message : error}`);
    }
    const args = ["test/simulation/simulation.ts", "--stop", "--seeds", String(seedsMax)];
    const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: copy, encoding: "utf8", timeout: patienceMs });
    const [, seed, found] = /^seed (\d+): (.*)/m.exec(stdout) ?? [];
    if (seed !== undefined) return result(true, seed, found ?? "");
    return result(false, "-", stderr === "" ? "no seed fails" : stderr.slice(0, 500));
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

const wanted = process.argv.slice(2);
const patches = readdirSync(folder).filter((name) => wanted.length === 0 || wanted.some((each) => name.includes(each)));
const hunts: Hunt[] = [];
for (const patch of patches.sort()) {
  const each = hunt(patch);
  hunts.push(each);
  console.log(
    `${each.caught ? "found " : "MISSED"}  seed ${each.seed.padStart(4)}  ${each.seconds.toFixed(1).padStart(6)} s  ${each.bug}`,
  );
  console.log(`        ${each.found.slice(0, 160)}`);
}
const missed = hunts.filter(({ caught }) => !caught).length;
console.log(`${hunts.length - missed} of ${hunts.length} planted bugs found`);
if (missed > 0 || hunts.length === 0) process.exitCode = 1;
