import type { ConsumedRecord } from "./kafka-tools.ts";
import { type ChaosCount, type ChaosDecision, type ChaosEvent, sumReachMs } from "./kafka-topology.ts";

// What the topology must have written, found without it: from the lists of events alone. Features of a customer follow
// from the order of the input, those of a terminal from the order in which its decisions stand.

/** The first differences are told in words, all are counted. */
const toldMax = 20;

/** What did not hold. */
export class Differences {
  count = 0;
  readonly told: string[] = [];

  add(difference: string): void {
    this.count++;
    if (this.told.length < toldMax) this.told.push(difference);
  }

  /** @returns whether they are equal */
  equal(what: string, found: unknown, expected: unknown): boolean {
    if (found === expected) return true;
    this.add(`${what} is ${String(found)}, expected ${String(expected)}`);
    return false;
  }
}

/** The events of one customer or terminal that were read so far, ascending by time. */
class History {
  readonly #times: number[] = [];
  readonly #amounts: number[] = [];

  /** Takes an event in, behind those of its time. @returns how many there are up to it, and the sum over its reach */
  take(timeMs: number, amount: number): { readonly count: number; readonly sum: number } {
    const times = this.#times;
    let at = times.length;
    while (at > 0 && (times[at - 1] as number) > timeMs) at--;
    times.splice(at, 0, timeMs);
    this.#amounts.splice(at, 0, amount);
    let sum = 0;
    for (let i = at; i >= 0 && (times[i] as number) > timeMs - sumReachMs; i--) sum += this.#amounts[i] as number;
    return { count: at + 1, sum };
  }
}

/** Holds outputs against the input. Everything is given in the order of offsets within each partition. */
export class ChaosOracle {
  readonly differences = new Differences();
  readonly #eventOf: (id: number) => ChaosEvent;
  readonly #customers = new Map<string, History>();
  readonly #terminals = new Map<string, History>();
  /** By id: what the event's customer had then; undefined for an event that is not in the input. */
  readonly #expected: ({ readonly count: number; readonly sum: number } | undefined)[] = [];
  readonly #decided: number[] = [];
  /** Ids by terminal, in the order of its decisions. */
  readonly #decisions = new Map<string, number[]>();
  readonly #counts = new Map<string, ChaosCount>();
  inputs = 0;
  decisions = 0;
  counts = 0;

  /** @param eventOf what was produced as event `id` */
  constructor(eventOf: (id: number) => ChaosEvent) {
    this.#eventOf = eventOf;
  }

  input({ value }: ConsumedRecord): void {
    this.inputs++;
    const event = JSON.parse(value) as ChaosEvent;
    const produced = JSON.stringify(this.#eventOf(event.id));
    if (value !== produced) this.differences.add(`input ${value} was produced as ${produced}`);
    if (this.#expected[event.id] !== undefined) this.differences.add(`input ${event.id} is there twice`);
    this.#expected[event.id] = historyOf(this.#customers, event.customer).take(event.ts, event.amount);
    this.#decided[event.id] = 0;
  }

  decision({ key, value, partition, offset }: ConsumedRecord): void {
    this.decisions++;
    const decision = JSON.parse(value) as ChaosDecision;
    const { id, terminal } = decision;
    const where = `decision of event ${id} at ${partition}/${offset}`;
    const customer = this.#expected[id];
    if (customer === undefined) {
      this.differences.add(`${where} has no input`);
      return;
    }
    const times = (this.#decided[id] ?? 0) + 1;
    this.#decided[id] = times;
    if (times > 1) {
      this.differences.add(`${where} is number ${times} of its event`);
      return;
    }
    const { ts, amount } = decision;
    const { differences } = this;
    const own = historyOf(this.#terminals, terminal).take(ts, amount);
    const event = this.#eventOf(id);
    for (const field of ["ts", "customer", "terminal", "amount"] as const)
      differences.equal(`${field} of ${where}`, decision[field], event[field]);
    differences.equal(`key of ${where}`, key, terminal);
    differences.equal(`customer_count of ${where}`, decision.customer_count, customer.count);
    differences.equal(`customer_sum of ${where}`, decision.customer_sum, customer.sum);
    differences.equal(`terminal_count of ${where}`, decision.terminal_count, own.count);
    differences.equal(`terminal_sum of ${where}`, decision.terminal_sum, own.sum);
    const ids = this.#decisions.get(terminal);
    if (ids === undefined) this.#decisions.set(terminal, [id]);
    else ids.push(id);
  }

  /** After all decisions: the counts of a terminal go 1, 2, 3, and each grows by the event of the decision beside it. */
  countOf({ key, value, partition, offset }: ConsumedRecord): void {
    this.counts++;
    const count = JSON.parse(value) as ChaosCount;
    const where = `count of ${count.terminal} at ${partition}/${offset}`;
    this.differences.equal(`key of ${where}`, key, count.terminal);
    const before = this.#counts.get(count.terminal) ?? { terminal: count.terminal, events: 0, ids: 0 };
    this.differences.equal(`events in ${where}`, count.events, before.events + 1);
    const decided = this.#decisions.get(count.terminal)?.[before.events];
    this.differences.equal(`event in ${where}`, count.ids - before.ids, decided);
    this.#counts.set(count.terminal, count);
  }

  /** @param produced how many events there must be */
  finish(produced: number): void {
    const { differences } = this;
    differences.equal("number of inputs", this.inputs, produced);
    differences.equal("number of decisions", this.decisions, produced);
    differences.equal("number of counts", this.counts, produced);
    for (let id = 0; id < produced; id++) {
      if (this.#expected[id] === undefined) differences.add(`event ${id} is not in the input`);
      else if (this.#decided[id] === 0) differences.add(`event ${id} has no decision`);
    }
  }
}

function historyOf(histories: Map<string, History>, key: string): History {
  let history = histories.get(key);
  if (history === undefined) {
    history = new History();
    histories.set(key, history);
  }
  return history;
}
