import { greatCircleDistance } from "h3-js";
import type { CustomerProfile, Transaction } from "../../schemas/records.ts";
import { type ColumnMap, days, hours, minutes, type RowOf } from "../../src/index.ts";

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
  /** Minor units in a major one. */
  centsOfUnit: 100,
} as const;

export const paymentColumns = {
  tx_id: "text",
  ts: "integer",
  customer_id: "text",
  terminal_id: "text",
  merchant_id: "text",
  mcc: "integer",
  amount_cents: "integer",
  country: "text",
  lat: "number",
  lon: "number",
  device_id: "text?",
  ip_country: "text?",
  hour: "integer",
  weekday: "integer",
  online: "boolean",
} as const satisfies ColumnMap;

/** A payment as the features see it. Hour and weekday are UTC: 1970-01-01 was a Thursday, and Monday is 0. */
export type Payment = RowOf<typeof paymentColumns>;

export function paymentOf(transaction: Transaction): Payment {
  const { tx_id, ts, customer_id, terminal_id, merchant_id, mcc, amount, country } = transaction;
  const { lat, lon, device_id, ip_country, channel } = transaction;
  return {
    tx_id,
    ts,
    customer_id,
    terminal_id,
    merchant_id,
    mcc,
    amount_cents: amount,
    country,
    lat,
    lon,
    device_id,
    ip_country,
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
export function againstProfile(payment: Payment, profile: CustomerProfile | null) {
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

/** A payment and what its customer did before it. */
interface Past extends Payment {
  readonly previous_ts: number | null;
  readonly previous_lat: number | null;
  readonly previous_lon: number | null;
  readonly previous_count_30d: number;
  readonly customer_mean_30d: number | null;
  readonly customer_sd_cents_30d: number | null;
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
function deviationOf({ amount_cents, previous_count_30d, customer_mean_30d: mean, customer_sd_cents_30d: sd }: Past) {
  const { deviationCountMin, centsOfUnit } = formulaConstants;
  if (mean === null || sd === null || sd === 0 || previous_count_30d < deviationCountMin) return null;
  return (amount_cents / centsOfUnit - mean) / (sd / centsOfUnit);
}

export const moneyColumns = {
  amount: "number",
  customer_sum_1h: "number",
  customer_sum_24h: "number",
  customer_sum_7d: "number",
  customer_sd_30d: "number?",
} as const satisfies ColumnMap;

/** Sums of a customer, exact as integers are. */
interface Cents extends Payment {
  readonly customer_cents_1h: number;
  readonly customer_cents_24h: number;
  readonly customer_cents_7d: number;
  readonly customer_sd_cents_30d: number | null;
}

/** Money as people and models read it. */
export function inMajorUnits(payment: Cents) {
  const { centsOfUnit } = formulaConstants;
  const sd = payment.customer_sd_cents_30d;
  return {
    amount: payment.amount_cents / centsOfUnit,
    customer_sum_1h: payment.customer_cents_1h / centsOfUnit,
    customer_sum_24h: payment.customer_cents_24h / centsOfUnit,
    customer_sum_7d: payment.customer_cents_7d / centsOfUnit,
    customer_sd_30d: sd === null ? null : sd / centsOfUnit,
  };
}

export const entryColumns = {
  customer_entry: "text",
  terminal_entry: "text",
  device_entry: "text",
  country_entry: "text",
} as const satisfies ColumnMap;

/** What the lists may hold about a payment, in their words. A payment without a device is on no list by it. */
export function entriesOf({ customer_id, terminal_id, device_id, country }: Payment) {
  return {
    customer_entry: `customer:${customer_id}`,
    terminal_entry: `terminal:${terminal_id}`,
    device_entry: device_id === null ? "" : `device:${device_id}`,
    country_entry: `country:${country}`,
  };
}
