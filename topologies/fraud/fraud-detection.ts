import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fraudDecisionSchema, type ListEntry, listEntrySchema } from "../../schemas/records.ts";
import {
  Bands,
  days,
  KappaError,
  modelIn,
  parseRules,
  type Reason,
  type Stream,
  type Topology,
  TopologyBuilder,
} from "../../src/index.ts";
import { entriesOf, entryColumns, formulaConstants } from "./formulas.ts";
import { fraudFeatures } from "./fraud-features.ts";
import rulesFile from "./rules.json" with { type: "json" };

export interface FraudParameters {
  /** Folder of the model; `none`: rules decide alone, and the features are there to train from. Default: the one shipped. */
  readonly model?: string;
}

/** What others ask of a terminal. */
const terminalColumns = ["terminal_count_1h", "terminal_risk_7d", "terminal_risk_30d", "terminal_list"] as const;

const shippedModel = join(import.meta.dirname, "../../models/fraud");

/**
 * Decides card payments. Each is put beside its customer's past and profile and its terminal's past; rules decide the
 * clear cases, a model the others, and the decision carries everything it was made from.
 */
export default function fraudDetection({ model = shippedModel }: FraudParameters = {}): Topology {
  const builder = new TopologyBuilder("fraud-detection");
  const rules = parseRules(JSON.stringify(rulesFile), "topologies/fraud/rules.json");
  const bands = rules.bands ?? new Bands("textbook-4");

  const features = fraudFeatures(builder);
  const ruled = onLists(builder, features).rules("rules", rules);
  const scored: Stream<ValueOf<typeof ruled> & Scored> =
    model === "none"
      ? ruled.extend(
          "no-model",
          { score: "number?", score_reasons: "json?" },
          (): Scored => ({ score: null, score_reasons: null }),
        )
      : ruled.score("fraud-score", {
          model: modelIn(model),
          into: "score",
          unless: "rule_decision",
          reasons: { into: "score_reasons", atLeast: 0.3, size: 3 },
        });

  const versions = {
    rules_version: `${rules.version}`,
    feature_version: features.featureVersion(formulaConstants),
  };
  const modelVersion = model === "none" ? null : versionOf(model);
  scored
    .extend(
      "decision",
      {
        event_type: "text",
        decision: "text",
        level: "integer",
        reasons: "json",
        model_version: "text?",
        rules_version: "text",
        feature_version: "text",
        late: "boolean",
      },
      ({ score, score_reasons, rule_decision }, { late }) => ({
        event_type: "prediction.made",
        decision: rule_decision ?? bands.decide(score ?? Number.NaN),
        level: modelVersion === null ? 1 : 0,
        reasons: score_reasons ?? [],
        model_version: score === null ? null : modelVersion,
        late,
        ...versions,
      }),
    )
    .to("fraud-decisions", {
      schema: fraudDecisionSchema,
      key: "tx_id",
      serve: [
        { name: "customers", key: "customer_id", ttlMs: days(30) },
        { name: "terminals", key: "terminal_id", columns: terminalColumns, ttlMs: days(30) },
      ],
    });

  return builder.build();
}

/** What the lists say of the payment's customer, terminal, device and country at its time. */
function onLists(builder: TopologyBuilder, payments: ReturnType<typeof fraudFeatures>) {
  const lists = builder.globalTable("fraud-lists", { schema: listEntrySchema, key: "entry", time: "ts" });
  const customer = { key: "customer_entry", columns: { customer_list: "text?" } } as const;
  const terminal = { key: "terminal_entry", columns: { terminal_list: "text?" } } as const;
  const device = { key: "device_entry", columns: { device_list: "text?" } } as const;
  const country = { key: "country_entry", columns: { country_list: "text?" } } as const;
  return payments
    .extend("list-entries", entryColumns, entriesOf)
    .leftJoin("customer-list", lists, customer, (_payment, entry) => ({ customer_list: kindOf(entry) }))
    .leftJoin("terminal-list", lists, terminal, (_payment, entry) => ({ terminal_list: kindOf(entry) }))
    .leftJoin("device-list", lists, device, (_payment, entry) => ({ device_list: kindOf(entry) }))
    .leftJoin("country-list", lists, country, (_payment, entry) => ({ country_list: kindOf(entry) }));
}

const kindOf = (entry: ListEntry | null): string | null => entry?.kind ?? null;

type ValueOf<S> = S extends Stream<infer Value> ? Value : never;

interface Scored {
  readonly score: number | null;
  readonly score_reasons: Reason[] | null;
}

/** Name and version of a model, as its decisions state them. */
function versionOf(directory: string): string {
  try {
    const { name, version } = JSON.parse(readFileSync(join(directory, "model.json"), "utf8")) as Record<string, string>;
    return `${name}@${version}`;
  } catch (error) {
    const message = `no model.json can be read in ${directory}; train one with scripts/train_fraud.py, or take --param model=none`;
    throw new KappaError("KAPPA_MODEL_INVALID", message, { directory }, error);
  }
}
