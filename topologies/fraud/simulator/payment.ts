import type { City } from "./places.ts";
import type { Customer, Terminal } from "./population.ts";
import type { Random } from "./random.ts";
import { amountSpread } from "./spending.ts";

/**
 * How fraud is done here.
 *
 * - `stolen-card`: a lost card is used at tills nearby within hours, first below the contactless limit, then for goods
 *   that sell
 * - `compromised-terminal`: for weeks a terminal charges some of its customers again, by amounts usual for it
 * - `card-testing`: within minutes many cards are tried at one web shop with tiny amounts; some are used next day
 * - `account-takeover`: purchases from a new device, mostly from another country
 * - `impossible-travel`: a copied card is used far away while its owner is at home
 */
export const fraudKinds = [
  "stolen-card",
  "compromised-terminal",
  "card-testing",
  "account-takeover",
  "impossible-travel",
] as const;

export type FraudKind = (typeof fraudKinds)[number];

/** A payment that will be made. */
export interface Payment {
  readonly timeMs: number;
  readonly customer: Customer;
  readonly terminal: Terminal;
  /** Minor units. */
  readonly amount: number;
  readonly channel: "chip" | "contactless" | "online";
  readonly lat: number;
  readonly lon: number;
  readonly deviceId: string | null;
  readonly ipCountry: string | null;
  /** Null: genuine. */
  readonly fraud: FraudKind | null;
}

/** Highest amount that needs no PIN, in minor units. */
export const contactlessLimit = 5000;

/** An amount usual for the terminal's business, times `level`; 1 minor unit at least. */
export function usualAmount(random: Random, terminal: Terminal, level: number): number {
  return Math.max(1, Math.round(terminal.category.medianAmount * level * random.quantile(amountSpread)));
}

export function paymentAtTill(
  random: Random,
  timeMs: number,
  customer: Customer,
  terminal: Terminal,
  amount: number,
  fraud: FraudKind | null,
): Payment {
  const contactless = amount <= contactlessLimit && random.chance(0.85);
  return {
    timeMs,
    customer,
    terminal,
    amount,
    channel: contactless ? "contactless" : "chip",
    lat: terminal.lat,
    lon: terminal.lon,
    deviceId: null,
    ipCountry: null,
    fraud,
  };
}

/** @param from where the IP address seems to be; addresses are known to the city, so all of a city are one place */
export function paymentOnline(
  timeMs: number,
  customer: Customer,
  terminal: Terminal,
  amount: number,
  deviceId: string,
  from: City,
  fraud: FraudKind | null,
): Payment {
  return {
    timeMs,
    customer,
    terminal,
    amount,
    channel: "online",
    lat: from.lat,
    lon: from.lon,
    deviceId,
    ipCountry: from.country,
    fraud,
  };
}
