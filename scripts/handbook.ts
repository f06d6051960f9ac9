import { existsSync, rmSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Command, Option } from "@commander-js/extra-typings";
import { Engine, KappaError, messageOf, openFileLog } from "../src/index.ts";
import { appendInput } from "./handbook-append.ts";
import { labelColumns, mergeOrder, readColumns, transactionColumns } from "./handbook-input.ts";
import { writeDecisions } from "./handbook-output.ts";

/**
 * Runs the handbook's fraud job over files of transactions and labels: appends both to the embedded log, merged by time,
 * runs the topology to their end, and writes one decision for each transaction. Started again after a kill, it goes on
 * where it was.
 */
const command = new Command("handbook")
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .showHelpAfterError("(npm run handbook -- --help lists the options)")
  .requiredOption("--transactions <files...>", "Parquet files: tx_id, ts_ms, customer_id, terminal_id, amount_cents")
  .requiredOption("--labels <files...>", "Parquet files: tx_id, ts_ms, tx_ts_ms, customer_id, terminal_id")
  .requiredOption("--model <file>", "ONNX model over the handbook's 15 columns")
  .requiredOption("--data-dir <dir>", "folder of the log and the state")
  .option("--out <file>", "Parquet file for the decisions")
  .option("--state-dir <dir>", "folder of the state alone; default <data-dir>/state")
  .addOption(new Option("--partitions <count>", "partitions of the topics").default(8).argParser(wholeNumber))
  .addOption(new Option("--threads <count>", "engine threads; default: the cores").argParser(wholeNumber))
  .addOption(new Option("--cache-mb <mb>", "memory for state").default(256).argParser(wholeNumber));

function wholeNumber(text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new KappaError("KAPPA_USAGE", `"${text}" is not a whole number from 1 on`);
  return number;
}

/** Said before minutes of work, not after them. */
function requireFile(what: string, path: string): void {
  if (!existsSync(path)) throw new KappaError("KAPPA_USAGE", `${what}: there is no ${resolve(path)}`);
}

async function main(): Promise<void> {
  const options = command.parse().opts();
  const startMs = performance.now();
  const elapsed = (): string => `${((performance.now() - startMs) / 1000).toFixed(1)} s`;
  const say = (line: string): void => void process.stderr.write(`${elapsed().padStart(8)}  ${line}\n`);

  requireFile("--model", options.model);
  if (options.out !== undefined) requireFile("the folder of --out", dirname(options.out));
  const transactions = await readColumns(options.transactions, transactionColumns);
  const labels = await readColumns(options.labels, labelColumns);
  say(`read ${transactions.length.toLocaleString("en")} transactions and ${labels.length.toLocaleString("en")} labels`);

  const dataDir = resolve(options.dataDir);
  const log = await openFileLog({ directory: resolve(dataDir, "log") });
  try {
    const order = mergeOrder(transactions, labels);
    const appended = await appendInput({
      log,
      dataDir,
      partitions: options.partitions,
      transactions,
      labels,
      model: options.model,
      order,
    });
    say(
      `appended ${appended.toLocaleString("en")} records, ${(order.length - appended).toLocaleString("en")} were there`,
    );
    const engine = await Engine.start({
      topology: {
        module: new URL("../topologies/handbook.ts", import.meta.url).href,
        parameters: { model: resolve(options.model) },
      },
      log,
      dataDir,
      ...(options.stateDir === undefined ? {} : { stateDir: resolve(options.stateDir) }),
      ...(options.threads === undefined ? {} : { threads: options.threads }),
      settings: { untilEnd: true, cacheBytes: options.cacheMb * 1024 * 1024 },
    });
    const stop = (): void => void engine.stop();
    process.once("SIGINT", stop).once("SIGTERM", stop);
    const runMs = performance.now();
    await engine.finished;
    const seconds = (performance.now() - runMs) / 1000;
    say(`ran to the end in ${seconds.toFixed(1)} s`);
    if (options.out !== undefined) {
      rmSync(options.out, { force: true });
      const rows = await writeDecisions(log, dataDir, options.out);
      say(`wrote ${rows.toLocaleString("en")} decisions to ${options.out}`);
    }
  } finally {
    await log.close();
  }
}

main().catch((error: unknown) => {
  const code = error instanceof KappaError ? error.code : "KAPPA_ENGINE_FAILED";
  process.stderr.write(`${code}: ${messageOf(error)}\n`);
  process.exitCode = error instanceof KappaError && error.recovery === "refuse" ? 2 : 1;
});
