import { z } from "zod";
import { KappaError } from "../core/errors.ts";
import { Bands, bandsSchema, type Decision, decisionSchema } from "./bands.ts";

/** What a rule leads to: a decision without the model, or `score`, which ends the rules and asks the model. */
export type RuleOutcome = Decision | "score";

/** HIGH and LOW are decided by rules alone; MEDIUM is what the model, or a second proof, has to settle. */
export type Level = "HIGH" | "MEDIUM" | "LOW";

export interface Rule {
  /** Unique in its set; `[A-Za-z0-9][A-Za-z0-9._-]*`, at most 100 characters. */
  readonly id: string;
  /** A CEL expression of type bool over the columns of the row and the lists of the set. */
  readonly when: string;
  readonly then: RuleOutcome;
  /** The reason code that goes into the decision. */
  readonly reason: string;
}

/** A rule file that was read and whose structure holds; `compileRules` binds it to columns. */
export interface RuleSet {
  /** Where it came from, for messages. */
  readonly file: string;
  /** Raised by 1 or more with every change: decisions carry it. */
  readonly version: number;
  /** Names for `in`: `terminal_id in blocked_terminals`. All texts or all numbers. */
  readonly lists: ReadonlyMap<string, readonly string[] | readonly number[]>;
  /** The first rule that holds decides. */
  readonly rules: readonly Rule[];
  /** What scores lead to, where the file says so. */
  readonly bands: Bands | undefined;
}

/** What `kappa rules lint` prints. An error keeps the set from being used, a warning does not. */
export interface Finding {
  readonly severity: "error" | "warning";
  /** Undefined for what concerns the whole file. */
  readonly rule: string | undefined;
  /** First character of `when` that is meant, from 1; undefined where there is no such place. */
  readonly position: number | undefined;
  readonly message: string;
}

/** 1 MiB is beyond any set a person keeps; longer lists belong into a table. */
const fileCharactersMax = 2 ** 20;
const listItemsMax = 10_000;

const schema = z.strictObject({
  version: z.int().positive(),
  lists: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, "a list name is an identifier"),
      z.union([z.array(z.string()).max(listItemsMax), z.array(z.number()).max(listItemsMax)]),
    )
    .optional(),
  rules: z
    .array(
      z.strictObject({
        id: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, "an id has letters, digits, dot, dash, underscore"),
        when: z.string().min(1).max(10_000),
        then: z.union([decisionSchema, z.literal("score")]),
        reason: z.string().min(1).max(200),
      }),
    )
    .max(1000),
  bands: bandsSchema.optional(),
});

/**
 * Reads a rule file: JSON of `{version, lists?, rules: [{id, when, then, reason}], bands?}`. Expressions are checked
 * later, by `compileRules`, when the columns are known.
 *
 * @throws KAPPA_RULES_INVALID with the place of the first fault
 */
export function parseRules(text: string, file: string): RuleSet {
  if (text.length > fileCharactersMax)
    throw refused(file, `it has ${text.length} characters, limit ${fileCharactersMax}`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw refused(file, "it is not JSON", error);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const [issue] = result.error.issues;
    const place = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.map(String).join(".")}: `;
    throw refused(file, `${place}${issue?.message.toLowerCase() ?? "invalid"}`);
  }
  const { version, rules, lists, bands } = result.data;
  const ids = new Set<string>();
  for (const rule of rules) {
    if (ids.has(rule.id)) throw refused(file, `rule ${rule.id} is listed twice`);
    ids.add(rule.id);
  }
  return {
    file,
    version,
    lists: new Map(Object.entries(lists ?? {})),
    rules,
    bands: bands === undefined ? undefined : bandsOf(bands, file),
  };
}

/** The level a decision of a rule stands for; without one, MEDIUM. */
export function levelOf(outcome: RuleOutcome | undefined): Level {
  if (outcome === "decline") return "HIGH";
  return outcome === "allow" ? "LOW" : "MEDIUM";
}

function bandsOf(bands: z.infer<typeof bandsSchema>, file: string): Bands {
  try {
    return new Bands(bands);
  } catch (error) {
    if (error instanceof KappaError) throw refused(file, `bands: ${error.message}`, error);
    throw error;
  }
}

function refused(file: string, message: string, cause?: unknown): KappaError {
  return new KappaError("KAPPA_RULES_INVALID", `rule file ${file}: ${message}`, { file }, cause);
}
