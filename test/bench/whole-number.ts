import { KappaError } from "../../src/index.ts";

/** For options that count. @throws KAPPA_USAGE */
export function wholeNumber(text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 1) return number;
  throw new KappaError("KAPPA_USAGE", `"${text}" is not a whole number from 1 on`);
}
