import { KappaError } from "../core/errors.ts";
import type { StoreDescription } from "../observability/http-sources.ts";

/** A key as a person writes it, as the key of a store. @throws KAPPA_USAGE when the store has numbers and it is none */
export function stateKeyOf({ name, key }: StoreDescription, text: string): string | number {
  if (key === "text") return text;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  if (Number.isFinite(number)) return number;
  throw new KappaError("KAPPA_USAGE", `the keys of store ${name} are numbers, this is none`, { store: name });
}
