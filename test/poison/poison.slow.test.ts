import assert from "node:assert/strict";
import { test } from "vitest";
import { runPoisonSeries } from "./poison-series.ts";

// Goal: what is bad in a stream is put aside, by its reason, and nothing else is touched by it; what was mended comes
// back, exactly. Method: every kind of poison among good records, through a running process and back by its verbs.
test("of a poisoned stream every record is decided or dead; mended ones are decided on retry, the others come back", async () => {
  const seed = Date.now() % 100_000;
  const said: string[] = [];
  const options = { records: 600, poisonShare: 0.4, partitions: 3, threads: 2, seed };
  const { lines, findings } = await runPoisonSeries({ ...options, say: (line) => said.push(line) });
  assert.ok(
    lines.every(({ sent }) => sent >= 2),
    "every kind was sent",
  );
  const failed = findings.filter(({ held }) => !held);
  assert.deepEqual(failed, [], `seed=${seed}\n${said.join("\n")}`);
  assert.ok(findings.length > 15, `${findings.length} findings`);
});
