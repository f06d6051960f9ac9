import { Argument, Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";
import { loadTopology } from "../engine/topology-module.ts";
import type { Log, Topic } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { allInputs } from "../task/application.ts";
import { parsedBy, wholeNumber } from "./arguments.ts";
import { existingTopic } from "./data-folder.ts";
import { internalTopics } from "./internal-topics.ts";
import type { Invocation } from "./invocation.ts";
import { parseDuration, positionForms } from "./log-position.ts";
import { jsonLine } from "./plain-text.ts";
import { decodeModes } from "./record-decoder.ts";
import { counted } from "./terminal.ts";
import { exportTopic } from "./topic-export.ts";
import { TopicHasher } from "./topic-hash.ts";
import { batchesHeld, recordCount } from "./topic-reader.ts";
import { tailTopic } from "./topic-tail.ts";
import { parameterOption } from "./topology-option.ts";

/** `kappa topics ...` */
export function topicsVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("topics")
    .description("list, create, read, export and compare topics")
    .addCommand(listVerb(invocation))
    .addCommand(createVerb(invocation))
    .addCommand(tailVerb(invocation))
    .addCommand(exportVerb(invocation))
    .addCommand(hashVerb(invocation));
}

/** A line of `kappa topics list`. */
interface TopicRow {
  readonly topic: string;
  readonly partitions: number;
  readonly records: number;
  readonly bytes?: number;
  readonly retentionMs: number;
  readonly internal: boolean;
}

function listVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("list")
    .description("topics with their partitions, records and bytes")
    .option("--bytes", "also add up the bytes of each topic: reads it whole")
    .option("--json", "one JSON object a line")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const log = await (await invocation.log(command)).read();
      try {
        const topics = await log.topics();
        const internal = internalTopics(topics);
        const rows: TopicRow[] = [];
        for (const topic of [...topics].sort((a, b) => (a.name < b.name ? -1 : 1))) {
          rows.push({
            topic: topic.name,
            partitions: topic.partitions,
            records: await recordCount(log, topic),
            ...(options.bytes ? { bytes: await byteCount(log, topic) } : {}),
            retentionMs: topic.retentionMs,
            internal: internal.has(topic.name),
          });
        }
        if (options.json) for (const row of rows) terminal.print(jsonLine(row));
        else
          terminal.table(
            ["topic", "partitions", "records", ...(options.bytes ? ["bytes"] : []), "kept", ""],
            rows.map((row) => [
              row.topic,
              row.partitions,
              row.records,
              ...(row.bytes === undefined ? [] : [row.bytes]),
              row.retentionMs === -1 ? "for ever" : `${row.retentionMs / 86_400_000} d`,
              row.internal ? "internal" : "",
            ]),
          );
        const first = rows.find((row) => !row.internal);
        invocation.next(
          first === undefined ? "kappa topics create --help" : `kappa topics tail ${first.topic} --from earliest -n 5`,
          command,
        );
      } finally {
        await log.close();
      }
    });
}

async function byteCount(log: Log, topic: Topic): Promise<number> {
  let bytes = 0;
  for await (const batch of batchesHeld(log, topic)) bytes += batch.bytes.length;
  return bytes;
}

function createVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("create")
    .description("create topics; one that exists is left as it is")
    .addArgument(new Argument("[topics...]", "names"))
    .addOption(new Option("--partitions <count>", "fixed for good").default(8).argParser(wholeNumber(1)))
    .addOption(
      new Option("--retention <time>", "how long records are kept after they were appended: 7d, 90d, forever")
        .default(-1, "forever")
        .argParser(parsedBy((text) => (text === "forever" ? -1 : parseDuration(text)))),
    )
    .addOption(
      new Option("--retention-bytes <bytes>", "bytes of each topic that are kept")
        .default(-1, "no bound")
        .argParser(wholeNumber(1)),
    )
    .option("--topology <file>", "the inputs of this topology, besides the names given")
    .addOption(parameterOption())
    .option("--dry-run", "say what would be created")
    .action(async (names, options, command) => {
      const { terminal } = invocation;
      const wanted = new Set(names);
      if (options.topology !== undefined) {
        const topology = await loadTopology({ module: invocation.path(options.topology), parameters: options.param });
        for (const { topic } of allInputs(topology)) wanted.add(topic);
      }
      if (wanted.size === 0)
        throw new KappaError("KAPPA_USAGE", "no topic is named; type: kappa topics create NAME --partitions 8");
      const config = {
        partitions: options.partitions,
        retentionMs: options.retention,
        retentionBytes: options.retentionBytes,
      };
      const log = await (await invocation.log(command)).write();
      try {
        for (const name of wanted) {
          const verdict = await createTopic(log, name, config, options.dryRun === true);
          terminal.say(`${name}: ${verdict}`);
        }
      } finally {
        await log.close();
      }
      invocation.next(`kappa produce ${[...wanted][0]} FILE --key FIELD --time FIELD --schema FILE.avsc`, command);
    });
}

async function createTopic(
  log: Log,
  name: string,
  config: Parameters<Log["createTopic"]>[1],
  dryRun: boolean,
): Promise<string> {
  const existing = await log.topic(name);
  if (existing === undefined && dryRun) return `would be created with ${config.partitions} partitions`;
  if (!dryRun) await log.createTopic(name, config);
  return existing === undefined
    ? `created with ${config.partitions} partitions`
    : `is there, with ${existing.partitions} partitions`;
}

function tailVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("tail")
    .description("print records as they come")
    .argument("<topic>")
    .option("--from <position>", `where to start: ${positionForms}`, "latest")
    .addOption(new Option("--partition <number>", "this partition alone").argParser(wholeNumber(0)))
    .addOption(new Option("--decode <how>", "how values are read").choices(decodeModes).default("auto" as const))
    .addOption(new Option("-n, --limit <count>", "end after so many records").argParser(wholeNumber(1)))
    .option("--no-follow", "end at the end of the topic")
    .option("--json", "one JSON object a line, with headers")
    .action(async (name, options, command) => {
      const folder = await invocation.dataFolder(command);
      const log = await (await invocation.log(command)).read();
      try {
        const topic = await existingTopic(log, name);
        const printed = await tailTopic({ ...options, topic, log, registry: await folder.registry(), invocation });
        invocation.terminal.say(`${counted(printed)} records`);
        invocation.next(`kappa topics export ${name} --out ${name}.ndjson`, command);
      } finally {
        await log.close();
      }
    });
}

function exportVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("export")
    .description("write the records of a topic to a file, decoded")
    .argument("<topic>")
    .requiredOption("--out <file>", "ends in .parquet, .csv or .ndjson; is replaced")
    .option("--from <position>", `where to start: ${positionForms}`, "earliest")
    .action(async (name, options, command) => {
      const folder = await invocation.dataFolder(command);
      const log = await (await invocation.log(command)).read();
      const path = invocation.path(options.out);
      try {
        const topic = await existingTopic(log, name);
        const rows = await exportTopic({
          topic,
          log,
          registry: await folder.registry(),
          path,
          from: options.from,
          invocation,
        });
        invocation.terminal.say(`wrote ${counted(rows)} records of ${name} to ${path}`);
        invocation.next(`kappa topics hash ${name}`, command);
      } finally {
        await log.close();
      }
    });
}

function hashVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("hash")
    .description("the content of topics as one number each: equal content, equal hash, however it is partitioned")
    .argument("<topics...>")
    .option("--json", "one JSON object a line")
    .action(async (names, options, command) => {
      const { terminal } = invocation;
      const log = await (await invocation.log(command)).read();
      try {
        for (const name of names) {
          const topic = await existingTopic(log, name);
          const hasher = new TopicHasher(name);
          const reader = new RecordBatchReader();
          const progress = terminal.progress(name, await recordCount(log, topic), "records");
          let done = 0;
          for await (const batch of batchesHeld(log, topic)) {
            reader.reset(batch.bytes);
            while (reader.next()) hasher.add(reader, batch.partition);
            done += batch.count;
            progress.update(done);
          }
          progress.end();
          const { hash, records, keys } = hasher.result();
          if (options.json) terminal.print(jsonLine({ topic: name, hash, records, keys }));
          else terminal.print(`${hash}  ${name}  ${counted(records)} records, ${counted(keys)} keys`);
        }
      } finally {
        await log.close();
      }
    });
}
