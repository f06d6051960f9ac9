import process from "node:process";
import { parseArgs } from "node:util";
import { table } from "../chaos/text-table.ts";
import { runPoisonSeries } from "./poison-series.ts";
import type { KindLine } from "./series-judge.ts";

// Sends a stream with every kind of poison through a running application, mends what can be mended, sends the dead
// letters again, and prints what became of each kind:
//
//   npm run poison
//   npm run poison -- --records 20000 --seed 2
//
// Ends with code 1 unless every demand is met.

const { values } = parseArgs({
  options: {
    records: { type: "string", default: "10000" },
    /** Of the records: kinds other than the plain ones. */
    share: { type: "string", default: "0.3" },
    partitions: { type: "string", default: "4" },
    threads: { type: "string", default: "2" },
    seed: { type: "string", default: "1" },
  },
});

const startMs = performance.now();
const say = (line: string): void => {
  process.stderr.write(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
};

function kindTable(lines: readonly KindLine[]): string[] {
  const head = ["topic", "kind", "reason", "sent", "decided", "dead", "decided after the mend", "dead again"];
  return table(
    head,
    lines.map(({ kind, sent, decided, dead, decidedLater, deadAgain }) => [
      kind.topic,
      kind.name,
      kind.reason ?? "",
      ...[sent, decided, dead, decidedLater, deadAgain].map(String),
    ]),
  );
}

function reasonTable(lines: readonly KindLine[]): string[] {
  const reasons = [...new Set(lines.map(({ kind }) => kind.reason))];
  const sums = reasons.map((reason) => {
    const of = lines.filter(({ kind }) => kind.reason === reason);
    const sum = (pick: (line: KindLine) => number): string => String(of.reduce((total, line) => total + pick(line), 0));
    return [
      reason ?? "(decided)",
      sum(({ sent }) => sent),
      sum(({ decided }) => decided),
      sum(({ dead }) => dead),
      sum(({ decidedLater }) => decidedLater),
      sum(({ deadAgain }) => deadAgain),
    ];
  });
  return table(["reason", "sent", "decided", "dead", "decided after the mend", "dead again"], sums);
}

const seed = Number(values.seed);
say(`seed ${seed}`);
const { lines, findings } = await runPoisonSeries({
  records: Number(values.records),
  poisonShare: Number(values.share),
  partitions: Number(values.partitions),
  threads: Number(values.threads),
  seed,
  say,
});
const checked = findings.map(({ demand, found, held }) => `${held ? "ok    " : "FAILED"}  ${demand}: ${found}`);
for (const block of [kindTable(lines), reasonTable(lines), checked]) process.stdout.write(`\n${block.join("\n")}\n`);
process.exitCode = findings.every(({ held }) => held) ? 0 : 1;
