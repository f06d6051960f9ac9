import {
  contactlessLimit,
  type FraudKind,
  type Payment,
  paymentAtTill,
  paymentOnline,
  usualAmount,
} from "./payment.ts";
import { type City, farCities, homeCities, kmBetween } from "./places.ts";
import type { Customer, Population, Terminal } from "./population.ts";
import type { Random } from "./random.ts";
import { resaleMccs, testingMccs } from "./spending.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** A card and where it was just used. */
export interface Sighting {
  readonly customer: Customer;
  readonly terminal: Terminal;
}

/** What criminals set out to do: all payments of it, and whom or what it struck. */
export interface FraudEpisode {
  readonly kind: FraudKind;
  readonly payments: readonly Payment[];
  /** Set for `compromised-terminal`, whose payments follow later from its traffic. */
  readonly terminal: Terminal | null;
}

/** Payments an episode makes on average; of a compromised terminal it depends on traffic. */
export const meanPayments: Readonly<Record<Exclude<FraudKind, "compromised-terminal">, number>> = {
  "stolen-card": 8,
  "card-testing": 42,
  "account-takeover": 4,
  "impossible-travel": 4,
};

export const compromise = {
  /** How long a terminal stays compromised on average, unless the bank blocks it. */
  meanDays: 35,
  /** Share of its payments charged again. */
  repeatShare: 0.2,
  /** Payments charged again, in days of an average terminal's traffic: measured, as busy ones are chosen and blocked. */
  repeatedDays: 4,
} as const;

/** Plans episodes of fraud. Changes only who has no card and which terminal is compromised. */
export class FraudPlanner {
  readonly #random: Random;
  readonly #population: Population;

  constructor(random: Random, population: Population) {
    this.#random = random;
    this.#population = population;
  }

  /** @param sighting a card just used at a till, for the kinds that begin with one */
  plan(kind: FraudKind, timeMs: number, sighting: Sighting): FraudEpisode {
    switch (kind) {
      case "stolen-card":
        return { kind, payments: this.#stolenCard(timeMs, sighting.customer), terminal: null };
      case "compromised-terminal":
        return { kind, payments: [], terminal: this.#compromise(timeMs, sighting.terminal) };
      case "card-testing":
        return { kind, payments: this.#cardTesting(timeMs), terminal: null };
      case "account-takeover":
        return { kind, payments: this.#accountTakeover(timeMs), terminal: null };
      case "impossible-travel":
        return { kind, payments: this.#impossibleTravel(timeMs, sighting.customer), terminal: null };
      default:
        return kind satisfies never;
    }
  }

  /** A genuine payment at a compromised terminal, charged a second time within three days. */
  repeat({ timeMs, customer, terminal }: Payment): Payment {
    const random = this.#random;
    const later = timeMs + Math.floor(random.between(0.5 * hourMs, 72 * hourMs));
    const amount = usualAmount(random, terminal, customer.level);
    return paymentAtTill(random, later, customer, terminal, amount, "compromised-terminal");
  }

  #stolenCard(startMs: number, customer: Customer): Payment[] {
    const random = this.#random;
    const tills = this.#population.tillsIn(customer.city);
    const count = 4 + random.below(9);
    const payments: Payment[] = [];
    let timeMs = startMs + Math.floor(random.between(10, 60) * minuteMs);
    for (let i = 0; i < count; i++) {
      const trial = i < 2;
      const terminal = trial ? random.pick(tills) : this.#resale(tills);
      const amount = trial
        ? Math.round(random.between(1000, contactlessLimit))
        : usualAmount(random, terminal, 1.5 * customer.level);
      payments.push(paymentAtTill(random, timeMs, customer, terminal, amount, "stolen-card"));
      timeMs += Math.floor(random.exponential() * 25 * minuteMs);
    }
    customer.pausedUntilMs = timeMs + 2 * dayMs;
    return payments;
  }

  #compromise(timeMs: number, terminal: Terminal): Terminal {
    const random = this.#random;
    terminal.compromisedUntilMs = timeMs + Math.floor(random.between(0.75, 1.25) * compromise.meanDays * dayMs);
    terminal.reportCount = 0;
    return terminal;
  }

  #cardTesting(startMs: number): Payment[] {
    const random = this.#random;
    const { customers, shops } = this.#population;
    const shop = this.#selling(shops, testingMccs);
    const device = this.#population.newDevice();
    const from = random.pick(farCities);
    const count = 20 + random.below(31);
    const payments: Payment[] = [];
    let timeMs = startMs;
    for (let i = 0; i < count; i++) {
      timeMs += Math.floor(random.exponential() * 0.5 * minuteMs);
      const customer = random.pick(customers);
      const tiny = 50 + random.below(200);
      payments.push(paymentOnline(timeMs, customer, shop, tiny, device, from, "card-testing"));
      if (!random.chance(0.2)) continue;
      const later = timeMs + Math.floor(random.between(1, 24) * hourMs);
      const target = this.#selling(shops, resaleMccs);
      const amount = usualAmount(random, target, 1.3);
      payments.push(paymentOnline(later, customer, target, amount, this.#population.newDevice(), from, "card-testing"));
    }
    return payments;
  }

  #accountTakeover(startMs: number): Payment[] {
    const random = this.#random;
    const customer = random.pick(this.#population.customers);
    const device = this.#population.newDevice();
    const from = random.chance(0.3) ? customer.home : random.pick([...farCities, ...homeCities]);
    const count = 2 + random.below(5);
    const payments: Payment[] = [];
    let timeMs = startMs;
    for (let i = 0; i < count; i++) {
      const shop = random.chance(0.5) ? this.#selling(this.#population.shops, resaleMccs) : random.pick(customer.shops);
      const amount = usualAmount(random, shop, 1.5 * customer.level);
      payments.push(paymentOnline(timeMs, customer, shop, amount, device, from, "account-takeover"));
      timeMs += Math.floor(random.exponential() * 30 * minuteMs);
    }
    return payments;
  }

  #impossibleTravel(startMs: number, customer: Customer): Payment[] {
    const random = this.#random;
    const tills = this.#population.tillsIn(this.#farFrom(customer.city));
    const count = 2 + random.below(5);
    const payments: Payment[] = [];
    let timeMs = startMs + Math.floor(random.between(5, 80) * minuteMs);
    for (let i = 0; i < count; i++) {
      const terminal = random.pick(tills);
      const amount = usualAmount(random, terminal, 1.2 * customer.level);
      payments.push(paymentAtTill(random, timeMs, customer, terminal, amount, "impossible-travel"));
      timeMs += Math.floor(random.exponential() * 40 * minuteMs);
    }
    return payments;
  }

  #farFrom(place: City): City {
    const far = [...farCities, ...homeCities].filter((city) => kmBetween(city, place) > 1500);
    return this.#random.pick(far);
  }

  /** Goods that sell, where two tries find them. */
  #resale(terminals: readonly Terminal[]): Terminal {
    const first = this.#random.pick(terminals);
    return resaleMccs.includes(first.category.mcc) ? first : this.#random.pick(terminals);
  }

  /** A terminal of one of those businesses; any if there is none. */
  #selling(terminals: readonly Terminal[], mccs: readonly number[]): Terminal {
    const fitting = terminals.filter((terminal) => mccs.includes(terminal.category.mcc));
    return this.#random.pick(fitting.length > 0 ? fitting : terminals);
  }
}
