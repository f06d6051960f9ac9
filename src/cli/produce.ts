import { readFile } from "node:fs/promises";
import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { AvroSerde } from "../codec/avro-serde.ts";
import { JsonSerde } from "../codec/json-serde.ts";
import { RecordSchema } from "../codec/record-schema.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { valueSubject } from "../codec/schema-registry.ts";
import type { Serde } from "../codec/serde.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Log } from "../log/log.ts";
import { wholeNumber } from "./arguments.ts";
import { FileProducer } from "./file-producer.ts";
import type { Invocation } from "./invocation.ts";
import { progressTopic } from "./produce-progress.ts";
import type { RowFields } from "./row-file.ts";
import { counted } from "./terminal.ts";

/** `kappa produce` */
export function produceVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("produce")
    .description("append the rows of files to a topic; killed and started again, it goes on where it was")
    .argument("<topic>")
    .argument("<files...>", ".parquet, .csv, .ndjson or .jsonl, appended in this order")
    .requiredOption("--key <field>", "field that is the record key")
    .option("--time <field>", "field that is the event time; without it, now is")
    .option("--schema <file>", "Avro schema (.avsc) of the rows; default: the one registered for the topic")
    .addOption(
      new Option("--format <format>", "how values are written").choices(["avro", "json"]).default("avro" as const),
    )
    .addOption(
      new Option("--partitions <count>", "of the topic, if it is created here; default 8").argParser(wholeNumber(1)),
    )
    .addOption(
      new Option("--on-error <what>", "what becomes of a row that does not fit")
        .choices(["stop", "skip"])
        .default("stop" as const),
    )
    .addOption(
      new Option(
        "--first-row <number>",
        "start at this row, whatever was appended before; 1 appends everything again",
      ).argParser(wholeNumber(1)),
    )
    .action(async (topic, files, options, command) => {
      const { terminal, clock } = invocation;
      const folder = await invocation.dataFolder(command);
      const schema = await readSchema(options.schema === undefined ? undefined : invocation.path(options.schema));
      const log = await (await invocation.log(command)).write();
      try {
        const registry = await folder.registry();
        const { serde, rowSchema } = await serdeOf(topic, options.format, schema, registry);
        const partitions = await createTopic(log, topic, options.partitions);
        const producer = new FileProducer({
          topic,
          partitions,
          log,
          clock,
          terminal,
          key: options.key,
          time: options.time ?? null,
        });
        for (const file of files) {
          const path = invocation.path(file);
          const startMs = clock.monotonic();
          const done = await producer.produce({
            path,
            serde,
            schema: rowSchema,
            skipUnfit: options.onError === "skip",
            firstRow: options.firstRow ?? null,
          });
          const seconds = (clock.monotonic() - startMs) / 1000;
          const rate = done.appended === 0 ? "" : `, ${counted(Math.round(done.appended / seconds))}/s`;
          const before = done.before === 0 ? "" : `, ${counted(done.before)} rows before were left as they are`;
          const skipped =
            done.skipped === 0 ? "" : `, ${counted(done.skipped)} rows skipped, the first: ${done.firstFault}`;
          terminal.say(
            `${file}: ${counted(done.appended)} records in ${seconds.toFixed(1)} s${rate}${before}${skipped}`,
          );
        }
      } finally {
        await log.close();
      }
      invocation.next(`kappa topics tail ${topic} --from earliest -n 5`, command);
    });
}

async function readSchema(path: string | undefined): Promise<RecordSchema<RowFields> | undefined> {
  if (path === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot read the schema ${path}: ${messageOf(error)}`, { path }, error);
  }
  return new RecordSchema<RowFields>(json);
}

/** How values are written, and the schema rows are checked with. */
async function serdeOf(
  topic: string,
  format: "avro" | "json",
  given: RecordSchema<RowFields> | undefined,
  registry: SchemaRegistry,
): Promise<{ serde: Serde<RowFields>; rowSchema: RecordSchema<RowFields> | null }> {
  if (format === "json")
    return { serde: given === undefined ? plainJson : new JsonSerde(given), rowSchema: given ?? null };
  const subject = valueSubject(topic);
  if (given !== undefined) {
    const id = await registry.register(subject, given.definition);
    return { serde: new AvroSerde(given, id, registry), rowSchema: given };
  }
  const latest = await registry.latest(subject);
  if (latest === undefined) {
    throw new KappaError(
      "KAPPA_USAGE",
      `no schema is registered for ${subject}; add --schema FILE.avsc, or --format json`,
      { topic },
    );
  }
  const schema = new RecordSchema<RowFields>(JSON.parse(latest.schema));
  return { serde: new AvroSerde(schema, latest.id, registry), rowSchema: schema };
}

/** Rows as they are, as JSON text. */
const plainJson: Serde<RowFields> = {
  decode: (buffer, start, end) => JSON.parse(buffer.toString("utf8", start, end)) as RowFields,
  encode: (value, buffer, at) => {
    const text = JSON.stringify(value);
    const length = Buffer.byteLength(text);
    return at + length > buffer.length ? buffer.length - at - length : at + buffer.write(text, at);
  },
};

/** @returns the partitions of the topic, which is created if need be */
async function createTopic(log: Log, topic: string, partitions: number | undefined): Promise<number> {
  const wanted = partitions ?? (await log.topic(topic))?.partitions ?? 8;
  await log.createTopic(topic, { partitions: wanted });
  await log.createTopic(progressTopic, { partitions: 1 });
  return wanted;
}
