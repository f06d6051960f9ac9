import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { RecordSchema } from "../codec/record-schema.ts";
import { KappaError } from "../core/errors.ts";
import { loadTopology, type TopologyParameters } from "../engine/topology-module.ts";
import { type ModelReference, modelIn } from "../scoring/model-reference.ts";
import type { ScoreNode } from "../topology/graph.ts";
import { existingTopic } from "./data-folder.ts";
import { exitCodes } from "./exit-code.ts";
import type { Invocation } from "./invocation.ts";
import { jsonLine } from "./plain-text.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { type FoundRecord, newestOfKey } from "./record-finder.ts";
import type { ScoreCheck } from "./score-check.ts";
import { timeText } from "./topic-tail.ts";
import { parameterOption } from "./topology-option.ts";

type Decision = Readonly<Record<string, unknown>>;

/** A decision, where it stands, and what was written with it. */
interface Explanation {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly time: string;
  readonly decision: Decision;
  readonly headers: Readonly<Record<string, string>>;
  /** Absent when no model was named, null when the decision has no score. */
  readonly check?: ScoreCheck | null;
}

/** `kappa explain` */
export function explainVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("explain")
    .description("a decision with its score, rule, reasons, features and versions; scored again when a model is named")
    .argument("<id>", "key of the decision, such as the transaction id")
    .option("--topic <topic>", "where decisions are", "fraud-decisions")
    .option("--model <folder>", "score again with this model; exit code 4 when the score is not the same, bit for bit")
    .option("--topology <file>", "the same with the model of this topology")
    .addOption(parameterOption())
    .option("--json", "one JSON object")
    .action(async (id, options, command) => {
      const { terminal } = invocation;
      const folder = await invocation.dataFolder(command);
      const log = await (await invocation.log(command)).read();
      try {
        const topic = await existingTopic(log, options.topic);
        const found = await newestOfKey(log, topic, id);
        if (found === undefined) {
          invocation.exitCode = exitCodes.no;
          terminal.say(`no decision of this id in ${topic.name}`);
          invocation.next(`kappa topics tail ${topic.name} --from earliest -n 5`, command);
          return;
        }
        const registry = await folder.registry();
        const decoder = new RecordDecoder(registry);
        await decoder.load(found.batch.bytes);
        const { buffer, valueAt, valueEnd } = found.reader;
        const decision = decisionOf(decoder.decode(buffer, valueAt, valueEnd), topic.name);
        const schemaId = decoder.schemaId(buffer, valueAt, valueEnd);
        const score = await scoreOf(invocation, options.model, options.topology, options.param);
        let check: ScoreCheck | null | undefined;
        if (score !== undefined) {
          if (schemaId === null)
            throw new KappaError("KAPPA_USAGE", `decisions in ${topic.name} have no schema, so the vector is unknown`);
          const schema = new RecordSchema<unknown>(JSON.parse(await registry.schemaOf(schemaId)));
          const { checkScore } = await import("./score-check.ts");
          check = await checkScore(decision, schema, score.into, score.model, invocation.clock);
          if (check !== null && !check.equal) invocation.exitCode = exitCodes.no;
        }
        print(explanationOf(found, decision, check), options.json === true, invocation);
        if (score === undefined)
          invocation.next(`kappa explain ${id} --topic ${topic.name} --model MODEL_FOLDER`, command);
        else
          invocation.next(
            `kappa topics tail ${topic.name} --partition ${found.partition} --from ${found.offset} -n 1 --json`,
            command,
          );
      } finally {
        await log.close();
      }
    });
}

function decisionOf(value: unknown, topic: string): Decision {
  if (typeof value === "object" && value !== null && !("undecodable" in value) && !("base64" in value))
    return value as Decision;
  throw new KappaError("KAPPA_RECORD_INVALID", `the record of this id in ${topic} is no decision that can be decoded`, {
    topic,
  });
}

/** Which model is asked, and the field that its score went into. */
async function scoreOf(
  invocation: Invocation,
  folder: string | undefined,
  module: string | undefined,
  parameters: TopologyParameters,
): Promise<{ readonly model: ModelReference; readonly into: string } | undefined> {
  if (folder !== undefined) return { model: modelIn(invocation.path(folder)), into: "score" };
  if (module === undefined) return undefined;
  const topology = await loadTopology({ module: invocation.path(module), parameters });
  const node = topology.nodes.find((each): each is ScoreNode => each.kind === "score");
  if (node !== undefined) return { model: node.model, into: node.into };
  throw new KappaError("KAPPA_USAGE", `topology ${topology.applicationId} scores nothing`);
}

function explanationOf(found: FoundRecord, decision: Decision, check: ScoreCheck | null | undefined): Explanation {
  const { batch, partition, offset, reader } = found;
  const headers = Object.fromEntries(reader.headers().map(({ name, value }) => [name, Buffer.from(value).toString()]));
  const place = { topic: batch.topic, partition, offset, time: timeText(reader.timestamp) };
  return { ...place, decision, headers, ...(check === undefined ? {} : { check }) };
}

/** Fields that are the decision itself; the others are what it was made from. */
const outcomeFields = ["decision", "score", "rule", "level", "late"];

interface Reason {
  readonly feature: string;
  readonly value: number | null;
  readonly change: number;
}

function print(explanation: Explanation, json: boolean, { terminal }: Invocation): void {
  if (json) {
    terminal.print(jsonLine(explanation));
    return;
  }
  const { topic, partition, offset, time, decision, headers, check } = explanation;
  terminal.say(`${topic} ${partition}:${offset}, event time ${time}`);
  const names = Object.keys(decision);
  const versions = names.filter((name) => name.endsWith("_version"));
  const outcome = [...outcomeFields.filter((name) => name in decision), ...versions];
  terminal.table(["outcome", ""], [...outcome.map((name) => [name, text(decision[name])]), ...Object.entries(headers)]);
  const reasons = Array.isArray(decision.reasons) ? (decision.reasons as readonly Reason[]) : [];
  if (reasons.length > 0) {
    terminal.print("");
    terminal.table(
      ["reason", "value", "change of score"],
      reasons.map(({ feature, value, change }) => [feature, text(value), signed(change)]),
    );
  }
  terminal.print("");
  const features = names.filter((name) => !outcome.includes(name) && name !== "reasons");
  terminal.table(
    ["feature", "value"],
    features.map((name) => [name, text(decision[name])]),
  );
  if (check === undefined) return;
  terminal.print("");
  terminal.print(verdict(check));
}

function verdict(check: ScoreCheck | null): string {
  if (check === null) return "no score to reproduce: the model was not asked";
  const { model, stored, again, equal } = check;
  return equal
    ? `${model} gives the same score again, bit for bit: ${again}`
    : `${model} gives ${again}, the decision has ${stored}`;
}

function text(value: unknown): string {
  if (value === null || value === undefined) return "-";
  return typeof value === "object" ? jsonLine(value) : String(value);
}

function signed(change: number): string {
  return change >= 0 ? `+${change}` : String(change);
}
