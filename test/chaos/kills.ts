import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { handbookData, writeHandbookFiles } from "./handbook-data.ts";
import { killSteps } from "./kill-plan.ts";
import { type Kill, type KillSeriesOptions, runKillSeries } from "./kill-series.ts";
import { table } from "./text-table.ts";

// Kills the handbook's job over and over and compares what it leaves with what an undisturbed run leaves:
//
//   npm run kills
//   npm run kills -- --transactions TX.parquet --labels LABELS.parquet --model MODEL.onnx --kills 30 --partitions 8
//
// Without files it invents `--rows` payments. Ends with code 1 unless every demand is met.

const { values } = parseArgs({
  options: {
    transactions: { type: "string", multiple: true },
    labels: { type: "string", multiple: true },
    model: { type: "string", default: join(import.meta.dirname, "../fixtures/handbook.onnx") },
    rows: { type: "string", default: "1000000" },
    kills: { type: "string", default: "30" },
    partitions: { type: "string", default: "8" },
    "cache-mb": { type: "string", default: "32" },
    seed: { type: "string", default: "1" },
    /** Of the runs; default: a temporary one, removed afterwards. */
    directory: { type: "string" },
  },
});

const startMs = performance.now();
const say = (line: string): void => {
  process.stderr.write(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}\n`);
};

async function main(): Promise<number> {
  const root = values.directory === undefined ? mkdtempSync(join(tmpdir(), "kappa-kills-")) : resolve(values.directory);
  try {
    mkdirSync(root, { recursive: true });
    const seed = Number(values.seed);
    const kills = Number(values.kills);
    const { transactions, labels } = await inputFiles(root, seed);
    const earlyKills = Math.floor(kills / 5);
    const options: KillSeriesOptions = {
      ...{ transactions, labels, model: resolve(values.model), partitions: Number(values.partitions) },
      ...{ cacheMb: Number(values["cache-mb"]), seed, directory: join(root, "runs"), say },
      ...{
        lateKills: kills - earlyKills,
        recordsMin: 10_000,
        earlyKills,
        earlyMs: 1000,
        soonKills: Math.floor(kills / 10),
        appendKills: 2,
      },
      stepHitsMin: kills >= 30 ? 2 : 1,
      nodeArguments: process.execArgv,
    };
    say(`seed ${seed}, ${kills} kills`);
    const { kills: struck, findings } = await runKillSeries(options);
    print(
      killTable(struck),
      stepTable(struck),
      findings.map(({ demand, found, held }) => `${held ? "ok    " : "FAILED"}  ${demand}: ${found}`),
    );
    return findings.every(({ held }) => held) ? 0 : 1;
  } finally {
    if (values.directory === undefined) rmSync(root, { recursive: true, force: true });
  }
}

async function inputFiles(
  directory: string,
  seed: number,
): Promise<{ readonly transactions: string[]; readonly labels: string[] }> {
  const { transactions, labels } = values;
  if (transactions !== undefined && labels !== undefined) {
    return { transactions: transactions.map((file) => resolve(file)), labels: labels.map((file) => resolve(file)) };
  }
  if (transactions !== undefined || labels !== undefined)
    throw new Error("give both --transactions and --labels, or neither");
  const files = await writeHandbookFiles(handbookData(Number(values.rows), seed), directory);
  return { transactions: [files.transactions], labels: [files.labels] };
}

function killTable(kills: readonly Kill[]): string[] {
  const head = [
    "kill",
    "kind",
    "step",
    "task",
    "commit",
    "offsets",
    "records taken",
    "since recovery",
    "ms since start",
    "since engine start",
  ];
  const rows = kills.map((kill, i) => [
    String(i + 1),
    kill.kind,
    kill.step,
    kill.task,
    String(kill.sequence),
    Object.entries(kill.offsets)
      .map(([topic, offset]) => `${topic} ${offset}`)
      .join(", "),
    String(kill.taken),
    String(kill.records),
    kill.processMs.toFixed(0),
    kill.engineMs < 0 ? "" : kill.engineMs.toFixed(0),
  ]);
  return table(head, rows);
}

function stepTable(kills: readonly Kill[]): string[] {
  const rows = [...killSteps, "restart" as const].map((step) => {
    const at = kills.filter((kill) => kill.step === step);
    const count = (kind: Kill["kind"]): string => String(at.filter((kill) => kill.kind === kind).length);
    return [step, String(at.length), count("late"), count("early"), count("soon"), count("append")];
  });
  return table(["step", "kills", "late", "early", "soon", "append"], rows);
}

function print(...blocks: readonly (readonly string[])[]): void {
  for (const block of blocks) process.stdout.write(`\n${block.join("\n")}\n`);
}

process.exitCode = await main();
