import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as after } from "node:timers/promises";
import { type Log, RecordBatchWriter, type TransactionSection } from "../../src/index.ts";
import { connectFileLog, readFileLog } from "../../src/log/file-log-socket.ts";
import { CommandFolder, type Outcome } from "../cli/command.ts";
import { type Fates, fatesIn } from "./fates.ts";
import { KappaProcess } from "./kappa-process.ts";
import { kioskDefinition, newerDefinition, paymentDefinition, schemaIds, textAmountDefinition } from "./payments.ts";
import { poisonedStream, type StreamRecord } from "./poisoned-stream.ts";
import { blockedShops, type Finding, type KindLine, SeriesJudge } from "./series-judge.ts";

export interface PoisonSeriesOptions {
  /** Records in all. */
  readonly records: number;
  readonly poisonShare: number;
  readonly partitions: number;
  readonly threads: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

export interface PoisonSeriesResult {
  /** By kind: what was sent and what became of it. */
  readonly lines: readonly KindLine[];
  readonly findings: readonly Finding[];
}

/** Records of one transaction: small, so that the stream is live while it is sent. */
const sentAtOnce = 150;
const settledWithinMs = 60_000;
const topology = join(import.meta.dirname, "poisoned-topology.ts");

/**
 * A poisoned stream through `kappa run` in a process of its own, then its mending, all by the verbs a person would use:
 *
 * 1. run; send the stream while it runs; every record must be decided or dead, by its reason
 * 2. register the missing schema, run with a reader that takes what the first could not, retry the dead letters:
 *    exactly those that were mended are decided, the others come back with one attempt more
 * 3. retry what died twice with `--max-attempts 2`: nothing is sent
 */
export async function runPoisonSeries(options: PoisonSeriesOptions): Promise<PoisonSeriesResult> {
  using folder = new CommandFolder();
  return await new PoisonSeries(options, folder).run();
}

class PoisonSeries {
  readonly #options: PoisonSeriesOptions;
  readonly #folder: CommandFolder;
  readonly #stream: readonly StreamRecord[];
  readonly #judge: SeriesJudge;

  constructor(options: PoisonSeriesOptions, folder: CommandFolder) {
    const { records, poisonShare, partitions, seed } = options;
    this.#options = options;
    this.#folder = folder;
    this.#stream = poisonedStream(records, poisonShare, partitions, seed);
    this.#judge = new SeriesJudge(this.#stream);
  }

  async run(): Promise<PoisonSeriesResult> {
    const judge = this.#judge;
    await this.#prepare();
    const first = await this.#poison();
    judge.judgeFirst(first);
    const second = await this.#mend(first);
    judge.judgeMended(second);
    await this.#retryNoMore();
    return { lines: judge.lines(), findings: judge.findings };
  }

  async #prepare(): Promise<void> {
    const { partitions } = this.#options;
    await this.#command(`topics create payments web-payments --partitions ${partitions}`);
    await this.#command("topics create blocked-shops --partitions 1");
    await this.#register("payments-value", paymentDefinition, schemaIds.payment);
    await this.#register("text-amounts-value", textAmountDefinition, schemaIds.textAmount);
    await this.#register("kiosks-value", kioskDefinition, schemaIds.kiosk);
    const list = blockedShops.map(
      (shop_id) => `${JSON.stringify({ shop_id, ts: Date.UTC(2025, 0, 1), why: "fraud" })}\n`,
    );
    writeFileSync(this.#folder.file("blocked.ndjson"), list.join(""));
    await this.#command("produce blocked-shops blocked.ndjson --key shop_id --time ts --format json");
  }

  async #poison(): Promise<Fates> {
    const { say } = this.#options;
    const run = this.#start("first");
    await run.url();
    await this.#send();
    say(`${this.#stream.length} records sent`);
    const fates = await this.#settled(run, (found) => found.decided.length + found.dead.length >= this.#stream.length);
    await this.#endOf(run, "the poisoned run");
    say(`${fates.decided.length} decided, ${fates.dead.length} dead`);
    return fates;
  }

  /** Sends the stream through the process that runs, as any producer beside it would. */
  async #send(): Promise<void> {
    const log = await connectFileLog({ directory: this.#logDirectory });
    try {
      const writer = await log.openWriter("poisoner");
      for (let i = 0; i < this.#stream.length; i += sentAtOnce) {
        await this.#sendBatch(this.#stream.slice(i, i + sentAtOnce), writer);
      }
      await writer.close();
    } finally {
      await log.close();
    }
  }

  async #sendBatch(records: readonly StreamRecord[], writer: Awaited<ReturnType<Log["openWriter"]>>): Promise<void> {
    const places = new Map<string, { readonly of: StreamRecord[]; readonly writer: RecordBatchWriter }>();
    for (const each of records) {
      const place = `${each.kind.topic} ${each.partition}`;
      const into = places.get(place) ?? { of: [], writer: new RecordBatchWriter() };
      places.set(place, into);
      const { timeMs, key, value, headers } = each.record;
      into.writer.append(timeMs, key, value, headers);
      into.of.push(each);
    }
    const sections = [...places.values()].map(({ of, writer: batch }): TransactionSection => {
      const [{ kind, partition }] = of as [StreamRecord];
      const { count, minTimeMs, maxTimeMs } = batch;
      return { topic: kind.topic, partition, count, minTimeMs, maxTimeMs, bytes: batch.take() };
    });
    const { baseOffsets } = await writer.append(sections);
    [...places.values()].forEach(({ of }, section) => {
      of.forEach((each, i) => {
        this.#judge.sentTo(each, Number(baseOffsets[section]) + i);
      });
    });
  }

  /** The missing schema is registered, and the reader corrected; then everything dead is sent again. */
  async #mend(first: Fates): Promise<Fates> {
    const { say } = this.#options;
    await this.#register("payments-value", newerDefinition, schemaIds.missing);
    const run = this.#start("mended");
    await run.url();
    const dry = await this.#command("dlq retry --app poisoned");
    const retried = await this.#command("dlq retry --app poisoned --yes");
    say(`mended: ${sentences(retried)}`);
    this.#judge.judgeRetry(counted(dry), counted(retried));
    const back = first.dead.filter(({ internal }) => !internal).length;
    const before = first.decided.length + first.dead.length;
    const fates = await this.#settled(run, (found) => found.decided.length + found.dead.length >= before + back);
    await this.#endOf(run, "the mended run");
    return fates;
  }

  async #retryNoMore(): Promise<void> {
    const dead = await this.#command("dlq list --app poisoned --json");
    const again = await this.#command("dlq retry --app poisoned --max-attempts 2 --yes");
    this.#options.say(`again: ${sentences(again)}`);
    this.#judge.judgeEnd(dead.rows, again.out, again.err);
  }

  #start(reader: string): KappaProcess {
    const { threads } = this.#options;
    const words = [topology, "--param", `reader=${reader}`, "--threads", String(threads), "--log-level", "info"];
    return new KappaProcess(words, this.#folder.path);
  }

  /** Waits until `enough`, and then a little: what comes twice comes late. */
  async #settled(run: KappaProcess, enough: (fates: Fates) => boolean): Promise<Fates> {
    for (let waitedMs = 0; waitedMs < settledWithinMs; waitedMs += 100) {
      if (!run.running) throw new Error(`the run ended:\n${run.logged}`);
      await after(100);
      if (!enough(await this.#fates())) continue;
      await after(300);
      return await this.#fates();
    }
    const { decided, dead } = await this.#fates();
    throw new Error(`${decided.length} decided and ${dead.length} dead after ${settledWithinMs} ms\n${run.logged}`);
  }

  async #fates(): Promise<Fates> {
    const log = readFileLog(this.#logDirectory);
    try {
      return await fatesIn(log);
    } finally {
      await log.close();
    }
  }

  async #endOf(run: KappaProcess, name: string): Promise<void> {
    const [live, ready] = [await run.ask("/livez"), await run.ask("/readyz")];
    const alive = run.running;
    const code = await run.stop();
    this.#judge.judgeProcess(name, { live, ready, alive, starts: run.starts, code });
  }

  async #register(subject: string, definition: object, id: number): Promise<void> {
    const file = `${subject}-${id}.avsc`;
    writeFileSync(this.#folder.file(file), JSON.stringify(definition));
    await this.#command(`schemas register ${subject} ${file} --id ${id}`);
  }

  async #command(line: string): Promise<Outcome> {
    const outcome = await this.#folder.run(line);
    if (outcome.code !== 0) throw new Error(`kappa ${line} ended with ${outcome.code}: ${outcome.err}`);
    return outcome;
  }

  get #logDirectory(): string {
    return this.#folder.file(".kappa/log");
  }
}

function sentences({ out }: Outcome): string {
  return out.trim().split("\n").join(", ");
}

/** Records that a retry says it sent, over all topics. */
function counted({ out }: Outcome): number {
  return [...out.matchAll(/^([\d,]+) /gm)].reduce(
    (sum, [, digits = ""]) => sum + Number(digits.replaceAll(",", "")),
    0,
  );
}
