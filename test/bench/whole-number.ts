import { KappaError } from "../../src/index.ts";

/** For options that count. @throws KAPPA_USAGE */
export function wholeNumber(text: string): number {
  return atLeast(1, text);
}

/** For options that count, or leave something out. @throws KAPPA_USAGE */
export function wholeNumberOrNone(text: string): number {
  return atLeast(0, text);
}

function atLeast(least: number, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= least) return number;
  throw new KappaError("KAPPA_USAGE", `"${text}" is not a whole number from ${least} on`);
}
