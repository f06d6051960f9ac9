import type { CustomerProfile, FraudLabel, ListEntry, Transaction } from "../../schemas/records.ts";
import { Bank, type Listing } from "./simulator/bank.ts";
import { compromise, type FraudEpisode, FraudPlanner, type Sighting } from "./simulator/fraud-episode.ts";
import { type CompleteOptions, onsetsPerMs, type SimulatorOptions, withDefaults } from "./simulator/options.ts";
import {
  type FraudKind,
  fraudKinds,
  type Payment,
  paymentAtTill,
  paymentOnline,
  usualAmount,
} from "./simulator/payment.ts";
import { farCities, homeCities, kmBetween } from "./simulator/places.ts";
import { type Customer, Population } from "./simulator/population.ts";
import { Random } from "./simulator/random.ts";
import { TimeHeap } from "./simulator/time-heap.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** One record to be; in order of `timeMs`. A null value is a tombstone. */
export type SimulatedEvent = { readonly key: string; readonly timeMs: number } & (
  | {
      readonly topic: "transactions";
      readonly value: Transaction;
      /** The truth, for tests and demonstrations: null is genuine. Not part of the record. */
      readonly fraud: FraudKind | null;
    }
  | { readonly topic: "fraud-labels"; readonly value: FraudLabel }
  | { readonly topic: "customer-profiles"; readonly value: CustomerProfile }
  | { readonly topic: "fraud-lists"; readonly value: ListEntry | null }
);

/** What an `attack` set off. */
export interface Attack {
  readonly kind: FraudKind;
  /** Cards it strikes; empty for a compromised terminal, which strikes those who come. */
  readonly customerIds: readonly string[];
  /** Terminals it uses. */
  readonly terminalIds: readonly string[];
  /** Frauds planned; 0 for a compromised terminal. */
  readonly paymentCount: number;
}

/** What lies ahead. Payments are planned whole; the rest is drawn when its time has come. */
type Plan =
  | { readonly kind: "habit"; readonly customer: Customer }
  | { readonly kind: "payment"; readonly payment: Payment }
  | { readonly kind: "onset"; readonly fraud: FraudKind; readonly perMs: number }
  | { readonly kind: "label"; readonly label: FraudLabel; readonly payment: Payment }
  | { readonly kind: "profile"; readonly customer: Customer }
  | { readonly kind: "listing"; readonly entry: string; readonly value: Listing["value"] };

/** Card sightings remembered for thieves to choose from. */
const sightingsMax = 64;

/**
 * A town of card holders with habits, terminals with trades, and fraud, as an endless stream in order of event time.
 * Genuine and fraudulent draws come from generators of their own: a seed's genuine life is the same whatever fraud is
 * set off, save for ids, and that people make no payments while they wait for a new card.
 */
export class FraudSimulator {
  readonly #options: CompleteOptions;
  readonly #life: Random;
  readonly #crime: Random;
  readonly #population: Population;
  readonly #planner: FraudPlanner;
  readonly #bank = new Bank();
  readonly #plans = new TimeHeap<Plan>();
  readonly #sightings: Sighting[] = [];
  #sightingCount = 0;
  #timeMs: number;
  #transactionCount = 0;

  constructor(options: SimulatorOptions = {}) {
    this.#options = withDefaults(options);
    const { seed, startMs } = this.#options;
    this.#timeMs = startMs;
    this.#life = new Random(seed, 2);
    this.#crime = new Random(seed, 3);
    this.#population = new Population(new Random(seed, 1), this.#options);
    this.#planner = new FraudPlanner(this.#crime, this.#population);
    this.#planBeginning();
  }

  /** Event time reached. */
  get timeMs(): number {
    return this.#timeMs;
  }

  /** The next event; there is always one. */
  next(): SimulatedEvent {
    for (;;) {
      const event = this.#step();
      if (event !== null) return event;
    }
  }

  /** The events before `timeMs`, from where the simulator stands. */
  *until(timeMs: number): Generator<SimulatedEvent, void> {
    while (this.#plans.nextTimeMs < timeMs) {
      const event = this.#step();
      if (event !== null) yield event;
    }
  }

  /** Sets off a fraud now, in event time: what a presenter does to a running demonstration. */
  attack(kind: FraudKind): Attack {
    const { payments, terminal } = this.#begin(kind);
    const terminalIds = new Set(payments.map((payment) => payment.terminal.id));
    if (terminal !== null) terminalIds.add(terminal.id);
    return {
      kind,
      customerIds: [...new Set(payments.map((payment) => payment.customer.id))],
      terminalIds: [...terminalIds],
      paymentCount: payments.length,
    };
  }

  #planBeginning(): void {
    const { startMs } = this.#options;
    for (const customer of this.#population.customers) this.#plans.push(startMs, { kind: "profile", customer });
    for (const country of ["TH", "BR"]) {
      const value = { kind: "watch", reason: "country with many copied cards" } as const;
      this.#plans.push(startMs, { kind: "listing", entry: `country:${country}`, value });
    }
    for (let i = 0; i < this.#population.customers.length; i += 500) {
      const value = { kind: "allow", reason: "test card of the bank" } as const;
      this.#plans.push(startMs, { kind: "listing", entry: `customer:C${i}`, value });
    }
    for (const customer of this.#population.customers) {
      this.#plans.push(this.#nextPaymentMs(customer, startMs), { kind: "habit", customer });
    }
    for (const fraud of fraudKinds) {
      const perMs = onsetsPerMs(fraud, this.#options);
      if (perMs > 0) this.#planOnset(fraud, perMs, startMs);
    }
  }

  #planOnset(fraud: FraudKind, perMs: number, fromMs: number): void {
    this.#plans.push(fromMs + Math.ceil(this.#crime.exponential() / perMs), { kind: "onset", fraud, perMs });
  }

  #step(): SimulatedEvent | null {
    const timeMs = this.#plans.nextTimeMs;
    const plan = this.#plans.pop();
    if (plan === undefined) return null;
    this.#timeMs = timeMs;
    switch (plan.kind) {
      case "habit":
        return this.#live(plan.customer, plan, timeMs);
      case "payment":
        return this.#pay(plan.payment);
      case "onset":
        this.#begin(plan.fraud);
        this.#planOnset(plan.fraud, plan.perMs, timeMs);
        return null;
      case "label":
        for (const { afterMs, entry, value } of this.#bank.react(plan.payment, timeMs)) {
          this.#plans.push(timeMs + afterMs, { kind: "listing", entry, value });
        }
        return { topic: "fraud-labels", key: plan.label.customer_id, timeMs, value: plan.label };
      case "profile":
        return this.#profile(plan.customer, timeMs);
      case "listing": {
        if (plan.value === null) this.#bank.delisted(plan.entry);
        const value = plan.value === null ? null : { entry: plan.entry, ts: timeMs, ...plan.value };
        return { topic: "fraud-lists", key: plan.entry, timeMs, value };
      }
      default:
        return plan satisfies never;
    }
  }

  #begin(kind: FraudKind): FraudEpisode {
    const seen = this.#sightings.length > 0 ? this.#crime.pick(this.#sightings) : this.#anySighting();
    const episode = this.#planner.plan(kind, this.#timeMs, seen);
    for (const payment of episode.payments) this.#plans.push(payment.timeMs, { kind: "payment", payment });
    return episode;
  }

  #anySighting(): Sighting {
    const customer = this.#crime.pick(this.#population.customers);
    return { customer, terminal: this.#crime.pick(customer.terminals) };
  }

  /** What a customer's habits bring at this time: a journey, or a payment. */
  #live(customer: Customer, plan: Plan, timeMs: number): SimulatedEvent | null {
    const life = this.#life;
    const atHome = customer.city === customer.home;
    const leaves = atHome && life.chance(1 / 150);
    if (leaves || (!atHome && timeMs >= customer.awayUntilMs)) {
      this.#travel(customer, plan, timeMs);
      return null;
    }
    this.#plans.push(this.#nextPaymentMs(customer, timeMs), plan);
    const payment = life.chance(customer.onlineShare)
      ? this.#buyOnline(customer, timeMs)
      : this.#buyAtTill(customer, timeMs);
    const disputed = life.chance(0.0002);
    // Without a card the habits go on unseen: leaving out draws would change the lives of all others.
    if (timeMs < customer.pausedUntilMs) return null;
    if (disputed) this.#planLabel(payment, this.#nextTransactionId(), false);
    return this.#pay(payment);
  }

  /** Out or back, at 600 km/h and an hour and a half for the rest: never impossible. */
  #travel(customer: Customer, plan: Plan, timeMs: number): void {
    const life = this.#life;
    const from = customer.city;
    if (from === customer.home) {
      customer.city = life.chance(0.75) ? life.pick(homeCities) : life.pick(farCities);
      customer.awayUntilMs = timeMs + Math.floor(life.between(2, 12) * dayMs);
    } else {
      customer.city = customer.home;
    }
    const travelMs = (1.5 + kmBetween(from, customer.city) / 600) * hourMs;
    this.#plans.push(this.#nextPaymentMs(customer, timeMs + travelMs), plan);
  }

  #buyAtTill(customer: Customer, timeMs: number): Payment {
    const life = this.#life;
    const usual = customer.city === customer.home && life.chance(0.85);
    const terminal = usual
      ? life.pickFavourite(customer.terminals)
      : life.pick(this.#population.tillsIn(customer.city));
    const amount = usualAmount(life, terminal, customer.level);
    const payment = paymentAtTill(life, timeMs, customer, terminal, amount, null);
    this.#sightings[this.#sightingCount++ % sightingsMax] = payment;
    if (timeMs < terminal.compromisedUntilMs && this.#crime.chance(compromise.repeatShare)) {
      const repeated = this.#planner.repeat(payment);
      this.#plans.push(repeated.timeMs, { kind: "payment", payment: repeated });
    }
    return payment;
  }

  #buyOnline(customer: Customer, timeMs: number): Payment {
    const life = this.#life;
    const shop = life.chance(0.8) ? life.pickFavourite(customer.shops) : life.pick(this.#population.shops);
    if (life.chance(1 / 150)) {
      // A new device, used before it is registered: what makes an unknown device weak evidence.
      customer.devices[life.below(customer.devices.length)] = this.#population.newDevice();
      this.#plans.push(timeMs + Math.floor(life.exponential() * dayMs), { kind: "profile", customer });
    }
    // Some hide where they are: what makes a foreign address weak evidence.
    const from = life.chance(0.008) ? life.pick(life.chance(0.5) ? farCities : homeCities) : customer.city;
    const amount = usualAmount(life, shop, customer.level);
    return paymentOnline(timeMs, customer, shop, amount, life.pickFavourite(customer.devices), from, null);
  }

  /** Time of the next genuine payment: candidates of a Poisson process, kept as the hour's habit says. */
  #nextPaymentMs(customer: Customer, fromMs: number): number {
    const life = this.#life;
    let timeMs = fromMs;
    for (;;) {
      timeMs += life.exponential() / customer.candidatesPerMs;
      const day = Math.floor(timeMs / dayMs);
      const hour = Math.floor((timeMs - day * dayMs) / hourMs);
      // 1970-01-01 was a Thursday: day 2 of the epoch, a Saturday, is the first of a weekend.
      const weekend = (day + 5) % 7 < 2;
      const weight = customer.habit[weekend ? 1 : 0][hour] as number;
      if (life.chance(weight)) return Math.ceil(timeMs);
    }
  }

  #nextTransactionId(): string {
    return `${this.#options.idPrefix}${this.#transactionCount}`;
  }

  #pay(payment: Payment): SimulatedEvent {
    const { timeMs, customer, terminal, fraud } = payment;
    const id = this.#nextTransactionId();
    this.#transactionCount++;
    if (fraud !== null && !this.#crime.chance(this.#options.unreportedShare)) this.#planLabel(payment, id, true);
    const value: Transaction = {
      tx_id: id,
      ts: timeMs,
      customer_id: customer.id,
      terminal_id: terminal.id,
      merchant_id: terminal.merchantId,
      mcc: terminal.category.mcc,
      amount: payment.amount,
      currency: "EUR",
      country: terminal.city.country,
      lat: payment.lat,
      lon: payment.lon,
      channel: payment.channel,
      device_id: payment.deviceId,
      ip_country: payment.ipCountry,
    };
    return { topic: "transactions", key: customer.id, timeMs, value, fraud };
  }

  #planLabel(payment: Payment, transactionId: string, fraud: boolean): void {
    const ts = payment.timeMs + Math.round(this.#crime.quantile(this.#options.labelDelayDays) * dayMs);
    const label: FraudLabel = {
      tx_id: transactionId,
      ts,
      tx_ts: payment.timeMs,
      customer_id: payment.customer.id,
      terminal_id: payment.terminal.id,
      fraud,
    };
    this.#plans.push(ts, { kind: "label", label, payment });
  }

  #profile(customer: Customer, timeMs: number): SimulatedEvent {
    const value: CustomerProfile = {
      customer_id: customer.id,
      ts: timeMs,
      opened_ts: customer.openedMs,
      home_country: customer.home.country,
      home_lat: customer.homeLat,
      home_lon: customer.homeLon,
      device_ids: [...customer.devices],
      segment: customer.segment,
    };
    return { topic: "customer-profiles", key: customer.id, timeMs, value };
  }
}
