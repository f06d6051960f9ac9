import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { Engine } from "../../src/engine/engine.ts";
import { SoleMembership } from "../../src/engine/membership.ts";
import { openFileLog } from "../../src/log/file-log.ts";
import { loadingMs } from "./slow-topology.ts";

test("a process asks for a share of the tasks when its threads could run them, not before", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "kappa-engine-"));
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  const log = await openFileLog({ directory: join(dataDir, "log") });
  await log.createTopic("in", { partitions: 2 });
  const startMs = performance.now();
  let folder: string | undefined;
  const joined = Promise.withResolvers<number>();
  const engine = await Engine.start({
    topology: { module: new URL("./slow-topology.ts", import.meta.url).href, parameters: {} },
    log,
    dataDir,
    threads: 2,
    membership: (_topology, _partitions, stateFolder) => {
      folder = stateFolder;
      joined.resolve(performance.now() - startMs);
      return new SoleMembership({ partitions: [0, 1], generation: 1 });
    },
  });
  const joinedMs = await joined.promise;
  assert.ok(joinedMs >= loadingMs, `joined after ${joinedMs} ms`);
  while (engine.state !== "RUNNING") await log.changed(10);
  assert.deepEqual(engine.owned, [0, 1]);
  assert.equal(folder, join(dataDir, "state", engine.topology.applicationId), "where the state of its tasks is");
  await engine.stop();
  await log.close();
});
