import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const folder = new URL("./mutants/", import.meta.url);

/** A bug that is planted. */
export interface Patch {
  readonly name: string;
  /** What is wrong with it, in a line. */
  readonly bug: string;
}

export function patches(): Patch[] {
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, bug: readFileSync(new URL(name, folder), "utf8").split("\n")[0] ?? name }));
}

/**
 * Applies a patch to the sources in a folder, or only asks whether it does.
 *
 * @returns null, or why it does not apply
 */
export function refusalOf(patch: Patch, root: string, ...options: readonly ("--check" | "--reverse")[]): string | null {
  const { status, stderr, error } = spawnSync(
    "git",
    ["apply", "--whitespace=nowarn", ...options, fileURLToPath(new URL(patch.name, folder))],
    // In a folder of some repository git passes over a patch of files that lie elsewhere in it, and is content.
    { cwd: root, encoding: "utf8", env: { ...process.env, GIT_CEILING_DIRECTORIES: dirname(resolve(root)) } },
  );
  if (error !== undefined) throw error;
  return status === 0 ? null : stderr.trim();
}
