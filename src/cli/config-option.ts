import { z } from "zod";

/** What a person needs to know of an option besides its type. */
export interface OptionDescription {
  /** One or two sentences: unit, and what happens at the limit. */
  readonly description: string;
  /** Environment variable, here and in `.env`. */
  readonly env: string;
  /** Another variable of the same meaning, for those who know it; the first one is stronger. */
  readonly alias?: string;
  /** Command line flag; none for secrets, as a command line is there for every user of the machine to read. */
  readonly flag?: string;
  /** The default in words, where it is not a fixed value. */
  readonly otherwise?: string;
  /** Never printed or logged; may also come from the file that the variable with `_FILE` behind its name names. */
  readonly secret?: true;
}

/** The description of each option's type. */
export const options = z.registry<OptionDescription>();

/** Accepts the text of an environment variable or flag as well as a number; "" and "1e3" are neither. */
export function integer(min: number, max: number) {
  const digits = (value: unknown) => (typeof value === "string" && /^-?\d+$/.test(value) ? Number(value) : value);
  return z.preprocess(digits, z.int().min(min).max(max));
}

/** Accepts `true` and `false`, as text too. */
export function yesOrNo() {
  const words = (value: unknown) => (value === "true" ? true : value === "false" ? false : value);
  return z.preprocess(words, z.boolean({ error: "is true or false" }));
}

export const path = z.string().min(1);
