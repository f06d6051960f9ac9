import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, test, vi } from "vitest";
import { cachedFolder } from "../../scripts/stack/artifact-cache.ts";

let cache = "";

beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "kappa-cache-"));
  vi.stubEnv("KAPPA_STACK_CACHE", cache);
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
});

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(cache, { recursive: true });
});

/** Writes one file in two parts, as a fetch would. */
function fillWith(text: string, pauseMs: number) {
  return async (folder: string): Promise<void> => {
    await writeFile(join(folder, "jar"), text);
    await sleep(pauseMs);
    await writeFile(join(folder, "jar"), text, { flag: "a" });
  };
}

test("what is there is not fetched again", async () => {
  const place = await cachedFolder("kafka", fillWith("a", 0));
  assert.equal(place, join(cache, "kafka"));
  await cachedFolder("kafka", () => assert.fail("fetched again"));
});

test("of two that fetch at once the first to end makes the folder, and the other one takes it", async () => {
  const [slow, quick] = await Promise.all([
    cachedFolder("kafka", fillWith("slow", 200)),
    cachedFolder("kafka", fillWith("quick", 50)),
  ]);
  assert.equal(slow, quick);
  assert.equal(readFileSync(join(slow, "jar"), "utf8"), "quickquick");
  assert.deepEqual(readdirSync(cache), ["kafka"]);
});

test("a fetch that fails leaves nothing, and the next one fetches", async () => {
  const broken = async (folder: string) => {
    await writeFile(join(folder, "jar"), "half");
    throw new Error("the line is down");
  };
  await assert.rejects(cachedFolder("kafka", broken), /the line is down/);
  assert.deepEqual(readdirSync(cache), []);
  await cachedFolder("kafka", fillWith("a", 0));
});
