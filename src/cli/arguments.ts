import { InvalidArgumentError } from "@commander-js/extra-typings";
import { messageOf } from "../core/errors.ts";
import type { TopologyParameters } from "../engine/topology-module.ts";

/** Parses a whole number of at least `min`; a complaint names the option and what was given. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(number) && number >= min) return number;
    throw new InvalidArgumentError(`It is no whole number from ${min} on.`);
  };
}

/** Turns a parser that throws into one whose complaint names the option. */
export function parsedBy<Value>(parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      throw new InvalidArgumentError(`${messageOf(error)}.`);
    }
  };
}

/** The start of `collectParameter`. */
export const noParameters: TopologyParameters = {};

/**
 * Adds one `name=value`. true, false, null and numbers are taken as such, unless quoted: `id="7"` is a text. An option
 * that is given several times calls this for each.
 */
export function collectParameter(text: string, before: TopologyParameters): TopologyParameters {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("Write name=value.");
  return { ...before, [text.slice(0, at)]: parameterOf(text.slice(at + 1)) };
}

function parameterOf(text: string): string | number | boolean | null {
  if (text === "true" || text === "false") return text === "true";
  if (text === "null") return null;
  if (/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) return Number(text);
  return /^".*"$/.test(text) ? text.slice(1, -1) : text;
}

/** The value of a parameter as `collectParameter` reads it back. */
export function parameterText(value: unknown): string {
  return typeof value === "string" && parameterOf(value) !== value ? `"${value}"` : String(value);
}
