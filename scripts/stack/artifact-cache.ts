import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import process from "node:process";

/**
 * What was fetched once, kept outside the repository so that a fresh clone or another worktree finds it:
 * `KAPPA_STACK_CACHE`, else `~/.cache/kappa-streams`.
 */
export function cacheDirectory(): string {
  return process.env.KAPPA_STACK_CACHE || join(homedir(), ".cache", "kappa-streams");
}

/**
 * The folder of one artifact; `fill` makes it when it is not there yet. It is filled beside its place and renamed, so
 * that it is whole or absent, and of two processes that fetch at once the later one takes what the earlier one has made.
 *
 * @param name with everything in it that the content depends on: folders are never updated
 */
export async function cachedFolder(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const place = join(cacheDirectory(), name);
  if (existsSync(place)) return place;
  await mkdir(cacheDirectory(), { recursive: true });
  process.stderr.write(`fetching ${name} into ${cacheDirectory()}, once\n`);
  const unfinished = await mkdtemp(`${place}.unfinished-`);
  try {
    await fill(unfinished);
    await rename(unfinished, place).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return place;
}
