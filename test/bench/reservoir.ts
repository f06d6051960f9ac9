// How long one event takes: `node test/bench/reservoir.ts [keys] [events a key]`. Random access over cached keys, 2
// number columns, 3 sliding windows with a count and a mean each. Prints nanoseconds an event and bytes a key.

import { days } from "../../src/core/time.ts";
import { MemoryBackend } from "../../src/state/memory-backend.ts";
import { Reservoir } from "../../src/state/reservoir.ts";
import type { ReservoirOptions } from "../../src/state/reservoir-plan.ts";
import { StateDatabase } from "../../src/state/state-database.ts";

const keys = Number(process.argv[2] ?? 15_000);
const held = Number(process.argv[3] ?? 60);
const type = process.argv[4] === "integer" ? "integer" : "number";

const options: ReservoirOptions = {
  name: "customers",
  columns: [
    { name: "id", type: "integer", nullable: false },
    { name: "amount", type, nullable: false },
  ],
  marks: [],
  idColumn: null,
  windows: [1, 7, 30].map((count) => ({
    kind: "sliding",
    sizeMs: days(count),
    delayMs: 0,
    closed: "right",
    excludeCurrent: false,
  })),
  features: [0, 1, 2].flatMap((window) => [
    { name: `count_${window}`, window, aggregate: { kind: "count" } } as const,
    { name: `mean_${window}`, window, aggregate: { kind: "mean", column: "amount", per: 100 } } as const,
  ]),
  graceMs: 3_600_000,
};

const database = await StateDatabase.open({ backend: new MemoryBackend(), cacheBytes: 8 * 2 ** 30 });
const reservoir = new Reservoir(database, options);
const names = Array.from({ length: keys }, (_, i) => `C${String(i).padStart(7, "0")}`);
const numbers = new Float64Array(2);
const texts: (string | null)[] = [];
const out: unknown[] = new Array(options.features.length).fill(null);

let state = 12_345;
function random(): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

const stepMs = days(30) / (keys * held);
let timeMs = 1_700_000_000_000;

function observe(i: number): void {
  timeMs += stepMs;
  numbers[0] = i;
  numbers[1] = type === "integer" ? Math.floor(random() * 20_000) : random() * 200;
  const key = names[Math.floor(random() * keys)] as string;
  reservoir.observe(key, Math.floor(timeMs), Math.floor(timeMs), false, numbers, texts, out);
  if (i % 1000 === 999) database.takeChangelog();
}

/** Nanoseconds of this thread's CPU time an event: other work on the machine counts only by what it does to the caches. */
function run(events: number): number {
  const before = process.threadCpuUsage();
  for (let i = 0; i < events; i++) observe(i);
  const spent = process.threadCpuUsage(before);
  return ((spent.user + spent.system) * 1000) / events;
}

globalThis.gc?.();
const before = process.memoryUsage().rss;
if (held === 1) {
  for (const key of names) {
    numbers[1] = 1;
    reservoir.observe(key, timeMs, timeMs, false, numbers, texts, out);
    if (key.endsWith("000")) database.takeChangelog();
  }
  globalThis.gc?.();
  const grown = process.memoryUsage().rss - before;
  process.stdout.write(`${keys} keys of one event: ${Math.round(grown / keys)} bytes of process memory a key, `);
  process.stdout.write(`${Math.round(database.cachedBytes / keys)} accounted\n`);
} else {
  run(keys * held);
  const rounds = Array.from({ length: 15 }, () => Math.round(run(200_000))).sort((a, b) => a - b);
  process.stdout.write(
    `${keys} keys, ${held} events each: ${rounds[0]} ns an event at best, ${rounds[7]} in the middle; `,
  );
  process.stdout.write(`${Math.round(database.cachedBytes / keys)} bytes a key accounted\n`);
}
