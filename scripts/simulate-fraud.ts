import { resolve } from "node:path";
import { Command } from "@commander-js/extra-typings";
import { DemoTraffic } from "../src/cli/demo-traffic.ts";
import { EmbeddedSchemaRegistry } from "../src/codec/embedded-schema-registry.ts";
import { systemClock } from "../src/core/clock.ts";
import { days, openFileLog } from "../src/index.ts";

/**
 * Fills a data directory with days of the simulated town: transactions, labels, profiles, lists. The first step of
 * training the shipped model:
 *
 *     node scripts/simulate-fraud.ts --data-dir /tmp/town --days 120
 *     npx kappa run topologies/fraud/fraud-detection.ts --param model=none --until-end --data-dir /tmp/town
 *     npx kappa topics export fraud-decisions --out /tmp/town/decisions.parquet --data-dir /tmp/town
 *     npx kappa topics export fraud-labels --out /tmp/town/labels.parquet --data-dir /tmp/town
 *     python3 scripts/train_fraud.py --decisions /tmp/town/decisions.parquet --labels /tmp/town/labels.parquet
 */
const options = new Command("simulate-fraud")
  .requiredOption("--data-dir <dir>", "folder of the log")
  .option("--days <count>", "days of event time", Number, 120)
  .option("--seed <number>", "seed of the town", Number, 1)
  .option("--partitions <count>", "partitions of the topics", Number, 8)
  .parse()
  .opts();

const startMs = Date.UTC(2025, 0, 1);
const dataDir = resolve(options.dataDir);
const log = await openFileLog({ directory: resolve(dataDir, "log") });
const registry = await EmbeddedSchemaRegistry.open(resolve(dataDir, "registry"));
const { partitions, seed } = options;
const traffic = await DemoTraffic.open({ log, registry, clock: systemClock, partitions, seed, startMs });
const endMs = startMs + days(options.days);
while (traffic.timeMs < endMs) await traffic.send(4096, endMs);
await traffic.close();
await log.close();
process.stderr.write(`${traffic.sent} transactions, ${traffic.frauds} frauds, ${options.days} days\n`);
