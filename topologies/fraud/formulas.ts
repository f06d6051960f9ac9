import { greatCircleDistance } from "h3-js";
import type { CustomerProfile, Transaction } from "../../schemas/records.ts";
import { type ColumnMap, days, hours, minutes } from "../../src/index.ts";

/**
 * What the formulas below compute with. Part of the feature version: decisions made with other numbers carry another
 * version. Raise `revision` when a formula changes and none of the numbers does.
 */
export const formulaConstants = {
  revision: 1,
  /** Nobody travels so far, so fast: above the 900 km/h of an airliner, and more than two coarse places can differ. */
  impossibleKm: 200,
  impossibleKmPerHour: 1000,
  /** Time between two payments is taken as at least this, so that two at once have a speed. */
  travelMsMin: minutes(1),
  /** A deviation from fewer payments than this says nothing. */
  deviationCountMin: 5,
  minorUnitsOfMajor: 100,
} as const;

export const calendarColumns = { hour: "integer", weekday: "integer", online: "boolean" } as const satisfies ColumnMap;

/** Hour and weekday in UTC: 1970-01-01 was a Thursday, and Monday is 0. */
export function calendarOf({ ts, channel }: Transaction) {
  return {
    hour: Math.floor(ts / hours(1)) % 24,
    weekday: (Math.floor(ts / days(1)) + 3) % 7,
    online: channel === "online",
  };
}

export const profileColumns = {
  km_from_home: "number?",
  country_mismatch: "boolean?",
  ip_country_mismatch: "boolean?",
  device_mismatch: "boolean?",
  account_age_days: "number?",
} as const satisfies ColumnMap;

const withoutProfile = {
  km_from_home: null,
  country_mismatch: null,
  ip_country_mismatch: null,
  device_mismatch: null,
  account_age_days: null,
} as const;

/** The payment against what the bank knows of its card holder; all null without a profile. */
export function againstProfile(payment: Transaction, profile: CustomerProfile | null) {
  if (profile === null) return withoutProfile;
  const { lat, lon, country, ip_country, device_id, ts } = payment;
  const { home_country, home_lat, home_lon, device_ids, opened_ts } = profile;
  return {
    km_from_home: greatCircleDistance([lat, lon], [home_lat, home_lon], "km"),
    country_mismatch: country !== home_country,
    ip_country_mismatch: ip_country === null ? null : ip_country !== home_country,
    device_mismatch: device_id === null ? null : !device_ids.includes(device_id),
    account_age_days: (ts - opened_ts) / days(1),
  };
}

export const behaviourColumns = {
  seconds_since_last: "number?",
  km_from_last: "number?",
  speed_kmh: "number?",
  impossible_travel: "boolean",
  amount_z: "number?",
} as const satisfies ColumnMap;

/** A payment and what its customer did before it; amounts in minor units. */
interface Past {
  readonly ts: number;
  readonly amount: number;
  readonly lat: number;
  readonly lon: number;
  readonly previous_ts: number | null;
  readonly previous_lat: number | null;
  readonly previous_lon: number | null;
  readonly previous_count_30d: number;
  readonly customer_mean_30d: number | null;
  readonly customer_sd_30d: number | null;
}

/** The payment against its customer's own past: the journey since the last one, and how unusual the amount is. */
export function behaviourOf(payment: Past) {
  const amount_z = deviationOf(payment);
  const { ts, lat, lon, previous_ts, previous_lat, previous_lon } = payment;
  if (previous_ts === null || previous_lat === null || previous_lon === null) {
    return { seconds_since_last: null, km_from_last: null, speed_kmh: null, impossible_travel: false, amount_z };
  }
  const { impossibleKm, impossibleKmPerHour, travelMsMin } = formulaConstants;
  const elapsedMs = ts - previous_ts;
  const km = greatCircleDistance([previous_lat, previous_lon], [lat, lon], "km");
  const kmPerHour = km / (Math.max(elapsedMs, travelMsMin) / hours(1));
  return {
    seconds_since_last: elapsedMs / 1000,
    km_from_last: km,
    speed_kmh: kmPerHour,
    impossible_travel: km > impossibleKm && kmPerHour > impossibleKmPerHour,
    amount_z,
  };
}

/** Standard deviations from the customer's mean; null for a customer hardly known, or one who always pays the same. */
function deviationOf({ amount, previous_count_30d, customer_mean_30d: mean, customer_sd_30d: sd }: Past) {
  if (mean === null || sd === null || sd === 0) return null;
  return previous_count_30d < formulaConstants.deviationCountMin ? null : (amount - mean) / sd;
}

export const moneyColumns = {
  amount: "number",
  customer_sum_1h: "number",
  customer_sum_24h: "number",
  customer_sum_7d: "number",
  customer_mean_last_10: "number?",
  customer_mean_30d: "number?",
  customer_sd_30d: "number?",
  terminal_mean_1h: "number?",
} as const satisfies ColumnMap;

type Money = { readonly [Name in keyof typeof moneyColumns]: number | null } & {
  readonly amount: number;
  readonly customer_sum_1h: number;
  readonly customer_sum_24h: number;
  readonly customer_sum_7d: number;
};

/** Money as people and models read it. Sums stay exact, as integers, until here. */
export function inMajorUnits(money: Money) {
  const { minorUnitsOfMajor: per } = formulaConstants;
  return {
    amount: money.amount / per,
    customer_sum_1h: money.customer_sum_1h / per,
    customer_sum_24h: money.customer_sum_24h / per,
    customer_sum_7d: money.customer_sum_7d / per,
    customer_mean_last_10: perOrNull(money.customer_mean_last_10, per),
    customer_mean_30d: perOrNull(money.customer_mean_30d, per),
    customer_sd_30d: perOrNull(money.customer_sd_30d, per),
    terminal_mean_1h: perOrNull(money.terminal_mean_1h, per),
  };
}

const perOrNull = (amount: number | null, per: number): number | null => (amount === null ? null : amount / per);

export const entryColumns = {
  customer_entry: "text",
  terminal_entry: "text",
  device_entry: "text",
  country_entry: "text",
} as const satisfies ColumnMap;

/** What the lists may hold about a payment, in their words. A payment without a device is on no list by it. */
export function entriesOf({ customer_id, terminal_id, device_id, country }: Transaction) {
  return {
    customer_entry: `customer:${customer_id}`,
    terminal_entry: `terminal:${terminal_id}`,
    device_entry: device_id === null ? "" : `device:${device_id}`,
    country_entry: `country:${country}`,
  };
}
