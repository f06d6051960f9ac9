import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";
import type { Log, Topic } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import { deadLettersTopic } from "../topology/graph.ts";
import { wholeNumber } from "./arguments.ts";
import { existingTopic } from "./data-folder.ts";
import { type DeadLetterRecord, deadLetterFilter, deadLetterOf } from "./dead-letter-record.ts";
import { DeadLetterRetry, type RetryResult } from "./dead-letter-retry.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { jsonLine } from "./plain-text.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { counted } from "./terminal.ts";
import { batchesHeld } from "./topic-reader.ts";
import { timeText } from "./topic-tail.ts";

/** `kappa dlq ...` */
export function deadLetterVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("dlq")
    .description("records that could not be processed: look at them, send them again")
    .addCommand(listVerb(invocation))
    .addCommand(showVerb(invocation))
    .addCommand(retryVerb(invocation));
}

const whereOption = () =>
  new Option("--where <field=value>", "topic, partition, stage, reason or task; several must all hold")
    .argParser((text: string, before: readonly string[]) => [...before, text])
    .default([] as readonly string[], "all");

function listVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("list")
    .description("how many there are, by source topic, stage and reason")
    .addOption(whereOption())
    .option("--reason <reason>", "the same as --where reason=...")
    .option("--json", "one JSON object a row")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const wanted = deadLetterFilter(options.where, options.reason);
      const log = await (await invocation.log(command)).read();
      try {
        const topic = await deadLetters(log, (await invocation.config(command)).applicationId);
        const groups = new Map<
          string,
          { topic: string; stage: string; reason: string; count: number; newestMs: number }
        >();
        for await (const { letter } of lettersOf(log, topic)) {
          if (!wanted(letter)) continue;
          const { sourceTopic, stage, reason, timeMs } = letter;
          const id = jsonLine([sourceTopic, stage, reason]);
          const group = groups.get(id) ?? { topic: sourceTopic, stage, reason, count: 0, newestMs: timeMs };
          group.count++;
          group.newestMs = Math.max(group.newestMs, timeMs);
          groups.set(id, group);
        }
        const rows = [...groups.values()].sort((a, b) => b.count - a.count);
        if (options.json)
          for (const { newestMs, ...row } of rows) terminal.print(jsonLine({ ...row, newest: timeText(newestMs) }));
        else
          terminal.table(
            ["topic", "stage", "reason", "count", "newest event time"],
            rows.map(({ topic: source, stage, reason, count, newestMs }) => [
              source,
              stage,
              reason,
              count,
              timeText(newestMs),
            ]),
          );
        const application = topic.name.replace(/-dead-letters$/, "");
        if (rows.length === 0) terminal.say(`${topic.name} is empty`);
        else invocation.next(`kappa dlq show --app ${application} --where reason=${rows[0]?.reason} --max 3`, command);
      } finally {
        await log.close();
      }
    });
  return withApplication(verb);
}

function showVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("show")
    .description("dead letters one by one, decoded where they can be")
    .addOption(whereOption())
    .option("--reason <reason>", "the same as --where reason=...")
    .addOption(new Option("--max <count>", "at most so many, oldest first").argParser(wholeNumber(1)).default(20))
    .option("--json", "one JSON object a line")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const wanted = deadLetterFilter(options.where, options.reason);
      const folder = await invocation.dataFolder(command);
      const log = await (await invocation.log(command)).read();
      try {
        const topic = await deadLetters(log, (await invocation.config(command)).applicationId);
        const decoder = new RecordDecoder(await folder.registry());
        let shown = 0;
        for await (const { letter, reader } of lettersOf(log, topic)) {
          if (!wanted(letter)) continue;
          await decoder.load(reader.buffer);
          const value = decoder.decode(reader.buffer, reader.valueAt, reader.valueEnd);
          const { timeMs, ...rest } = letter;
          const whole = { ...rest, time: timeText(timeMs), key: reader.key()?.toString() ?? null, value };
          terminal.print(options.json ? jsonLine(whole) : described(letter, whole.key, value));
          await terminal.drained();
          if (++shown === options.max) break;
        }
        if (shown === 0) terminal.say("no dead letter like this");
        const application = topic.name.replace(/-dead-letters$/, "");
        invocation.next(`kappa dlq retry --app ${application} --dry-run`, command);
      } finally {
        await log.close();
      }
    });
  return withApplication(verb);
}

function described(letter: DeadLetterRecord, key: string | null, value: unknown): string {
  const {
    partition,
    offset,
    sourceTopic,
    sourcePartition,
    sourceOffset,
    stage,
    reason,
    message,
    attempts,
    cut,
    internal,
  } = letter;
  const notes = [
    cut ? "value cut" : "",
    internal ? "row of an internal stage" : "",
    attempts > 1 ? `died ${attempts} times` : "",
  ];
  const note = notes.filter((each) => each !== "").join(", ");
  return [
    `${partition}:${offset}  ${reason} at ${stage}: ${jsonLine(message).slice(1, -1)}${note === "" ? "" : `  (${note})`}`,
    `    from ${sourceTopic} ${sourcePartition}:${sourceOffset}  ${timeText(letter.timeMs)}`,
    `    key ${jsonLine(key)}  value ${jsonLine(value)}`,
  ].join("\n");
}

function retryVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("retry")
    .description("send dead letters again to where they came from, each once; without --yes nothing is sent")
    .addOption(whereOption())
    .option("--reason <reason>", "the same as --where reason=...")
    .addOption(
      new Option("--max <count>", "at most so many, oldest first")
        .argParser(wholeNumber(1))
        .default(Number.POSITIVE_INFINITY, "all"),
    )
    .addOption(
      new Option("--max-attempts <count>", "leave alone what died so often").argParser(wholeNumber(1)).default(3),
    )
    .addOption(new Option("--dry-run", "say what would be sent").conflicts("yes"))
    .option("--yes", "send")
    .action(async (options, command) => {
      const { clock } = invocation;
      const wanted = deadLetterFilter(options.where, options.reason);
      const { applicationId } = await invocation.config(command);
      const access = await invocation.log(command);
      const log = options.yes ? await access.write() : await access.read();
      try {
        const topic = await deadLetters(log, applicationId);
        const application = topic.name.replace(/-dead-letters$/, "");
        const retriesTopic = `${application}-dlq-retries`;
        if (options.yes) await log.createTopic(retriesTopic, { partitions: topic.partitions });
        // Opened before the notes of former retries are read: a retry that still runs is fenced by it.
        const writer = options.yes ? await log.openWriter(retriesTopic) : null;
        const { max, maxAttempts } = options;
        const result = await DeadLetterRetry.run({
          log,
          topic,
          retriesTopic,
          wanted,
          max,
          maxAttempts,
          writer,
          nowMs: clock.now(),
        });
        await writer?.close();
        report(result, invocation, options.yes === true, maxAttempts);
        invocation.next(
          options.yes ? `kappa dlq list --app ${application}` : `kappa dlq retry --app ${application} --yes`,
          command,
        );
      } finally {
        await log.close();
      }
    });
  return withApplication(verb);
}

function report(result: RetryResult, { terminal }: Invocation, sent: boolean, maxAttempts: number): void {
  for (const [topic, count] of result.sent)
    terminal.print(`${counted(count)} ${sent ? "sent" : "to be sent"} to ${topic}`);
  if (result.sent.size === 0) terminal.print(sent ? "none sent" : "none to be sent");
  const left: readonly (readonly [number, string])[] = [
    [result.retriedBefore, "were sent again before"],
    [result.tooManyAttempts, `died ${maxAttempts} times or more: mend the cause, then raise --max-attempts`],
    [result.internal, "are rows of an internal stage, which cannot be sent again: replay the inputs"],
    [result.sourceGone, "are cut, or their topic is gone, and the source record is held no more"],
    [result.strange, "records of the topic are no dead letters"],
  ];
  for (const [count, why] of left) if (count > 0) terminal.say(`${counted(count)} ${why}`);
}

/** The dead letters of an application; of the only one when none is named. */
async function deadLetters(log: Log, application: string | undefined): Promise<Topic> {
  if (application !== undefined) return existingTopic(log, deadLettersTopic(application));
  const topics = (await log.topics()).filter(({ name }) => name.endsWith(deadLettersTopic("")));
  const [only] = topics;
  if (only !== undefined && topics.length === 1) return only;
  const names = topics.map(({ name }) => name.replace(/-dead-letters$/, "")).join(", ");
  const message =
    only === undefined
      ? "no application has run here, so there are no dead letters"
      : `several applications have dead letters; choose with --app: ${names}`;
  throw new KappaError("KAPPA_USAGE", message);
}

/** Every dead letter, the reader standing on it. Other records of the topic are passed over. */
async function* lettersOf(
  log: Log,
  topic: Topic,
): AsyncGenerator<{ readonly letter: DeadLetterRecord; readonly reader: RecordBatchReader }> {
  const reader = new RecordBatchReader();
  for await (const batch of batchesHeld(log, topic)) {
    reader.reset(batch.bytes);
    for (let offset = Number(batch.baseOffset); reader.next(); offset++) {
      const letter = letterOrNone(reader, batch.partition, offset);
      if (letter !== undefined) yield { letter, reader };
    }
  }
}

function letterOrNone(reader: RecordBatchReader, partition: number, offset: number): DeadLetterRecord | undefined {
  try {
    return deadLetterOf(reader, partition, offset);
  } catch {
    return undefined;
  }
}

function withApplication(verb: CommandUnknownOpts): CommandUnknownOpts {
  for (const option of configOptions(["applicationId"])) verb.addOption(option);
  return verb;
}
