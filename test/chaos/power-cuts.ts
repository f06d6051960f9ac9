import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { type PowerCut, runPowerCuts } from "./power-cut-series.ts";
import { table } from "./text-table.ts";

// Cuts the power of the handbook's job at drawn moments and checks what is there afterwards:
//
//   npm run power-cuts
//   npm run power-cuts -- --without-fsync     with the fsync of the journal's commits left out: must end with code 1
//
// Ends with code 1 when a decision that a reader was shown is gone or changed, or a finished run differs.

const { values } = parseArgs({
  options: {
    cuts: { type: "string", default: "200" },
    rows: { type: "string", default: "3000" },
    partitions: { type: "string", default: "4" },
    seed: { type: "string", default: "1" },
    "without-fsync": { type: "boolean", default: false },
    /** Of the runs; default: a temporary one, removed afterwards. */
    directory: { type: "string" },
  },
});

const startMs = performance.now();

async function main(): Promise<number> {
  const directory =
    values.directory === undefined ? mkdtempSync(join(tmpdir(), "kappa-power-")) : resolve(values.directory);
  try {
    const cuts = await runPowerCuts({
      ...{
        cuts: Number(values.cuts),
        cutsPerRun: 20,
        rows: Number(values.rows),
        partitions: Number(values.partitions),
      },
      ...{ seed: Number(values.seed), withoutFsync: values["without-fsync"], directory: join(directory, "runs") },
      model: join(import.meta.dirname, "../fixtures/handbook.onnx"),
      say: (line) =>
        process.stderr.write(`${((performance.now() - startMs) / 1000).toFixed(1).padStart(7)} s  ${line}\n`),
    });
    print(cutTable(cuts), summaryOf(cuts));
    return cuts.every(({ failure }) => failure === null) ? 0 : 1;
  } finally {
    if (values.directory === undefined) rmSync(directory, { recursive: true, force: true });
  }
}

function cutTable(cuts: readonly PowerCut[]): string[] {
  const head = [
    "cut",
    "seed",
    "step",
    "file calls",
    "shown",
    "written",
    "recovered",
    "state bytes lost",
    "discarded",
    "again",
    "failure",
  ];
  const rows = cuts.map((cut, i) => [
    ...[String(i + 1), String(cut.seed), cut.step, String(cut.calls), String(cut.shown), String(cut.written)],
    ...[
      String(cut.recovered),
      String(cut.stateBytesLost),
      String(cut.discarded),
      cut.again ? "again" : "",
      cut.failure?.slice(0, 200) ?? "",
    ],
  ]);
  return table(head, rows);
}

function summaryOf(cuts: readonly PowerCut[]): string[] {
  const count = (matches: (cut: PowerCut) => boolean): number => cuts.filter(matches).length;
  const shown = cuts.reduce((sum, cut) => sum + cut.shown, 0);
  const failed = count(({ failure }) => failure !== null);
  return [
    `${cuts.length} cuts, ${count(({ again }) => again)} of them in a run that recovered from another`,
    `${count(({ written, recovered }) => recovered < written)} took decisions that were written and not yet shown`,
    `${count(({ stateBytesLost }) => stateBytesLost > 0)} took or damaged state written since the last synced batch`,
    `${cuts.reduce((sum, cut) => sum + cut.discarded, 0)} databases were thrown away and restored from the log`,
    `${shown} decisions shown before a cut were looked for after it`,
    failed === 0 ? "ok      every promise held" : `FAILED  ${failed} cuts broke a promise`,
  ];
}

function print(...blocks: readonly (readonly string[])[]): void {
  for (const block of blocks) process.stdout.write(`\n${block.join("\n")}\n`);
}

process.exitCode = await main();
