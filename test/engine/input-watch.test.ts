import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { InputWatch } from "../../src/engine/input-watch.ts";
import type { Log, TopicIdentity } from "../../src/log/log.ts";

/** What a watch of one input with two partitions says of a log. */
async function saidOf(identify: () => Promise<TopicIdentity | undefined>): Promise<unknown[]> {
  const said: unknown[] = [];
  const log = { identify } as unknown as Log;
  const watch = new InputWatch({ log, topics: ["events"], partitions: 2, failed: (error) => said.push(error) });
  onTestFinished(() => watch.stop());
  watch.start();
  await sleep(5);
  return said;
}

test("a broker that is away is no fault of an input; any other failure to look at it is", async () => {
  const away = new KappaError("KAPPA_LOG_UNAVAILABLE", "no answer");
  assert.deepEqual(await saidOf(() => Promise.reject(away)), []);
  for (const error of [new KappaError("KAPPA_LOG_REFUSED", "no right"), new TypeError("a bug")])
    assert.deepEqual(await saidOf(() => Promise.reject(error)), [error]);
});

test("partitions that are added to an input are a fault, with both numbers and what to do", async () => {
  const [error] = await saidOf(() => Promise.resolve({ id: "a", partitions: 3 }));
  assert.ok(error instanceof KappaError);
  assert.equal(error.code, "KAPPA_TOPIC_MISMATCH");
  assert.match(error.message, /^topic events has 3 partitions, .* begun with 2; .* new application id/);
});
