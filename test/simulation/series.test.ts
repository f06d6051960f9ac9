import assert from "node:assert/strict";
import { test } from "vitest";
import { runSeries } from "./series.ts";

const threadOf = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`);

test("a series in which a thread ends before it has told of its seeds fails", async () => {
  const seeds = [1, 2, 3];
  const silent = runSeries({ seeds, threads: 2, script: threadOf("") });
  await assert.rejects(silent, /0 of 3 seeds were reported/);
  const killed = runSeries({ seeds, threads: 2, script: threadOf("process.exit(3)") });
  await assert.rejects(killed, /a thread of seeds ended with 3/);
  const broken = runSeries({ seeds, threads: 2, script: threadOf("throw new Error('out of memory')") });
  await assert.rejects(broken, /out of memory/);
});
