/** A line of business: what it charges, and how often people go there. */
export interface Category {
  /** ISO 18245. */
  readonly mcc: number;
  readonly online: boolean;
  /** Median amount in minor units, before the card holder's own level. */
  readonly medianAmount: number;
  /** Share of the terminals of its kind (online or not), in parts of 100. */
  readonly share: number;
}

const category = (mcc: number, online: boolean, medianAmount: number, share: number): Category => ({
  mcc,
  online,
  medianAmount,
  share,
});

export const categories: readonly Category[] = [
  category(5411, false, 2800, 26), // groceries
  category(5812, false, 2400, 20), // restaurants
  category(5814, false, 950, 14), // fast food
  category(4111, false, 320, 10), // local transport
  category(5541, false, 5200, 8), // fuel
  category(5912, false, 1600, 8), // pharmacies
  category(5651, false, 5500, 6), // clothing
  category(5311, false, 4400, 4), // department stores
  category(5732, false, 16500, 3), // electronics
  category(5944, false, 14000, 1), // jewellery
  category(5964, true, 4200, 40), // catalogue shops
  category(5815, true, 390, 22), // digital media
  category(5942, true, 1900, 14), // books
  category(5045, true, 19000, 12), // computers
  category(4722, true, 27000, 8), // travel agencies
  category(5967, true, 1200, 4), // subscriptions
];

/** Where stolen money is turned into goods that sell. */
export const resaleMccs: readonly number[] = [5732, 5944, 5311, 5045, 4722];

/** Where a card is tried with a payment nobody looks at. */
export const testingMccs: readonly number[] = [5815, 5967];

/** Quantiles of exp(0.55 N), N standard normal, cut at 0.2 % on either side: how amounts spread about their median. */
export const amountSpread: readonly number[] = [
  0.205, 0.43, 0.531, 0.614, 0.69, 0.764, 0.839, 0.917, 1, 1.09, 1.192, 1.308, 1.449, 1.629, 1.883, 2.325, 4.869,
];

/** Quantiles of how much a card holder spends and how often, relative to the median. */
export const levelSpread: readonly number[] = [0.4, 0.65, 0.8, 0.9, 1, 1.15, 1.35, 1.7, 2.6];

const day = (...weights: number[]): readonly number[] => weights;

/** How likely a payment is in each UTC hour, relative to the busiest; of a weekday, then of a weekend day. */
export type Habit = readonly [weekday: readonly number[], weekend: readonly number[]];

/* biome-ignore format: one row is one day, hours 0 to 23 */
export const habits: readonly Habit[] = [
  // works by day: lunch, then the way home
  [
    day(0.01, 0, 0, 0, 0, 0.02, 0.1, 0.3, 0.35, 0.25, 0.25, 0.45, 0.9, 0.55, 0.3, 0.35, 0.6, 1, 0.95, 0.7, 0.45, 0.3, 0.12, 0.04),
    day(0.06, 0.03, 0.01, 0, 0, 0, 0.02, 0.08, 0.25, 0.55, 0.85, 1, 0.95, 0.8, 0.8, 0.8, 0.75, 0.7, 0.7, 0.65, 0.55, 0.4, 0.25, 0.12),
  ],
  // late riser
  [
    day(0.2, 0.1, 0.04, 0.02, 0, 0, 0, 0.04, 0.15, 0.3, 0.45, 0.6, 0.75, 0.7, 0.6, 0.6, 0.7, 0.85, 1, 1, 0.95, 0.85, 0.65, 0.4),
    day(0.5, 0.35, 0.2, 0.1, 0.04, 0.01, 0, 0.01, 0.06, 0.15, 0.35, 0.6, 0.8, 0.85, 0.8, 0.75, 0.75, 0.85, 0.95, 1, 1, 0.95, 0.85, 0.65),
  ],
  // at home: mornings, no difference between days
  [
    day(0, 0, 0, 0, 0, 0.02, 0.12, 0.4, 0.75, 1, 1, 0.9, 0.55, 0.4, 0.5, 0.65, 0.65, 0.5, 0.35, 0.22, 0.14, 0.08, 0.02, 0),
    day(0, 0, 0, 0, 0, 0.01, 0.06, 0.25, 0.6, 0.9, 1, 0.9, 0.6, 0.4, 0.4, 0.5, 0.5, 0.4, 0.3, 0.22, 0.14, 0.08, 0.02, 0),
  ],
  // works by night
  [
    day(0.4, 0.35, 0.45, 0.3, 0.3, 0.4, 0.6, 0.55, 0.25, 0.1, 0.05, 0.05, 0.08, 0.15, 0.35, 0.55, 0.75, 0.9, 1, 0.9, 0.7, 0.5, 0.45, 0.4),
    day(0.35, 0.25, 0.2, 0.15, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.45, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1, 1, 0.9, 0.75, 0.6, 0.5, 0.4),
  ],
];

/** Mean weight of an hour over a week of the habit: the share of candidate times that are kept. */
export function meanWeight([weekday, weekend]: Habit): number {
  let sum = 0;
  for (const weight of weekday) sum += 5 * weight;
  for (const weight of weekend) sum += 2 * weight;
  return sum / (7 * 24);
}
