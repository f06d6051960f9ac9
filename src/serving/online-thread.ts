import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";
import { openSchemaRegistry } from "../codec/registry-place.ts";
import { assert } from "../core/assert.ts";
import { systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { openThreadLog, type ThreadLog } from "../log/thread-log.ts";
import { ThreadMeter } from "../observability/thread-meter.ts";
import { type OnlineEnding, OnlineFeed } from "./online-feed.ts";
import type { OnlineOrder, OnlineReport, OnlineRequest } from "./online-protocol.ts";
import { RedisOnlineStore } from "./redis-online-store.ts";

/** How often it tells how it is getting on, in ms. */
const reportMs = 250;

/** Between two attempts at a log that is away, in ms. */
const reopenMs = 1000;

const port = parentPort;
assert(port !== null, () => "online-thread.ts runs as a worker thread");

const { applicationId, tables, tasks, log: handle, registry: place, address } = workerData as OnlineOrder;
const meter = new ThreadMeter();
let feed: OnlineFeed | undefined;
let owned: readonly number[] = [];
let ending: OnlineEnding | undefined;

port.on("message", (request: OnlineRequest) => {
  if (request.kind === "own") owned = request.tasks;
  else ending = request.ending;
  tell();
});

const complete = await serve();
port.postMessage({ kind: "ended", complete } satisfies OnlineReport);
port.close();

async function serve(): Promise<boolean> {
  const store = new RedisOnlineStore({ ...address, applicationId });
  const registry = await openSchemaRegistry(place, { clock: systemClock, meter: meter.open() });
  const log = await openLog();
  if (log === undefined) return false;
  feed = new OnlineFeed({ tables, tasks, log, store, registry, clock: systemClock, meter });
  tell();
  const reports = setInterval(report, reportMs);
  try {
    return await feed.run();
  } finally {
    clearInterval(reports);
    report();
    feed.close();
    await store.close();
    await registry.close();
    await log.close();
  }
}

/** Hands on what was said, also what came before there was a feed to hear it. */
function tell(): void {
  feed?.own(owned);
  if (ending !== undefined) feed?.end(ending);
}

function report(): void {
  if (feed === undefined) return;
  feed.sample();
  const metrics = meter.report();
  port?.postMessage({ kind: "status", status: feed.status, metrics } satisfies OnlineReport, [metrics.values.buffer]);
}

/** @returns undefined when it was told to end while the log was away */
async function openLog(): Promise<ThreadLog | undefined> {
  while (ending === undefined) {
    try {
      return await openThreadLog(handle);
    } catch (error) {
      if (!(error instanceof KappaError) || error.recovery !== "retry") throw error;
      await sleep(reopenMs);
    }
  }
  return undefined;
}
