import type { TransactionSection } from "../../src/log/log.ts";
import { Refusal } from "./network.ts";

/** What a writer sends for one partition. */
export interface Batch extends Pick<TransactionSection, "count" | "bytes"> {
  /** Number of its first record among all that the writer of this epoch sent to the partition. */
  readonly sequence: number;
}

/** Records of one append, or the marker that ends a transaction. */
export interface Entry {
  readonly baseOffset: number;
  readonly count: number;
  /** Null for a marker. */
  readonly bytes: Buffer | null;
  /** `decided`: the coordinator has committed it, and its marker is on its way. */
  state: "open" | "decided" | "committed" | "aborted";
}

/** What a reader is given: whole appends that are committed, and where to go on. */
export interface Found {
  readonly entries: readonly Entry[];
  readonly nextOffset: number;
  /** Up to where everything is decided. */
  readonly stableOffset: number;
}

/** A transaction that is open in a partition. */
interface OpenTransaction {
  readonly firstOffset: number;
  readonly entries: Entry[];
}

/** What a partition remembers of a writer. */
interface KnownWriter {
  epoch: number;
  nextSequence: number;
  /** The newest batches of the epoch: one of these is taken for a copy when it comes again. */
  readonly newest: { readonly sequence: number; readonly count: number; readonly baseOffset: number }[];
}

/** As many as a broker remembers. */
const newestMax = 5;

/**
 * A partition of a topic as a broker keeps it: appends of transactions that lie open until their marker comes, which
 * takes an offset as well. A batch that comes again is answered as the first time, and not appended. Readers see what is
 * committed, up to the first record of the oldest open transaction. Nothing is ever removed from `entries`: the judge
 * looks at what was trimmed too.
 */
export class SimulatedPartition {
  /** The broker that leads it. */
  readonly leader: number;
  readonly entries: Entry[] = [];
  startOffset = 0;
  #end = 0;
  readonly #open = new Map<string, OpenTransaction>();
  readonly #writers = new Map<string, KnownWriter>();
  /** Readers that wait for more. */
  #waiting: (() => void)[] = [];

  constructor(leader: number) {
    this.leader = leader;
  }

  get endOffset(): number {
    return this.#end;
  }

  /** End of what read-committed readers may see. */
  get stableOffset(): number {
    let stable = this.#end;
    for (const { firstOffset } of this.#open.values()) if (firstOffset < stable) stable = firstOffset;
    return stable;
  }

  /** Whether a writer has a transaction open here. */
  openBy(writer: string): boolean {
    return this.#open.has(writer);
  }

  /** A record of nobody's transaction: of a producer outside. */
  appendPlain({ count, bytes }: Pick<TransactionSection, "count" | "bytes">): void {
    this.#push({ baseOffset: this.#end, count, bytes, state: "committed" });
    this.#moved();
  }

  /** @returns offset of the first record @throws Refusal of an epoch that is over, or where a batch is missing */
  append(writer: string, epoch: number, { sequence, count, bytes }: Batch): number {
    const known = this.#known(writer, epoch);
    if (epoch < known.epoch) throw new Refusal("INVALID_PRODUCER_EPOCH");
    const copied = known.newest.find((each) => each.sequence === sequence && each.count === count);
    if (copied !== undefined) return copied.baseOffset;
    if (sequence !== known.nextSequence) throw new Refusal("OUT_OF_ORDER_SEQUENCE_NUMBER");
    known.nextSequence += count;
    known.newest.push({ sequence, count, baseOffset: this.#end });
    if (known.newest.length > newestMax) known.newest.shift();
    const entry: Entry = { baseOffset: this.#end, count, bytes, state: "open" };
    const open = this.#open.get(writer);
    if (open === undefined) this.#open.set(writer, { firstOffset: this.#end, entries: [entry] });
    else open.entries.push(entry);
    this.#push(entry);
    return entry.baseOffset;
  }

  /** A new epoch begins its sequence anew. */
  #known(writer: string, epoch: number): KnownWriter {
    const known = this.#writers.get(writer);
    if (known !== undefined && known.epoch >= epoch) return known;
    const fresh = { epoch, nextSequence: 0, newest: [] };
    this.#writers.set(writer, fresh);
    return fresh;
  }

  #push(entry: Entry): void {
    this.entries.push(entry);
    this.#end += entry.count;
  }

  /** The coordinator has committed the transaction of a writer. Readers do not see it yet. */
  decide(writer: string): void {
    for (const entry of this.#open.get(writer)?.entries ?? []) entry.state = "decided";
  }

  /** Ends the transaction of a writer, whether or not it has written here. */
  mark(writer: string, epoch: number, state: "committed" | "aborted"): void {
    this.#known(writer, epoch);
    for (const entry of this.#open.get(writer)?.entries ?? []) entry.state = state;
    this.#open.delete(writer);
    this.#push({ baseOffset: this.#end, count: 1, bytes: null, state });
    this.#moved();
  }

  #moved(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Resolves when readers may see more. */
  moved(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** @throws Refusal when `from` is not held */
  read(from: number, entriesMax: number): Found {
    const { startOffset, stableOffset } = this;
    if (from < startOffset || from > this.#end) throw new Refusal("OFFSET_OUT_OF_RANGE");
    const found: Entry[] = [];
    let nextOffset = from;
    for (let at = this.#entryAt(from); at < this.entries.length && found.length < entriesMax; at++) {
      const entry = this.entries[at] as Entry;
      if (entry.baseOffset >= stableOffset) break;
      if (entry.bytes !== null && entry.state === "committed") found.push(entry);
      nextOffset = entry.baseOffset + entry.count;
    }
    return { entries: found, nextOffset, stableOffset };
  }

  /** Index of the entry that holds an offset, or of the first one behind it. */
  #entryAt(offset: number): number {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      const entry = this.entries[middle] as Entry;
      if (entry.baseOffset + entry.count <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** As DeleteRecords: what is before `offset` is gone. */
  trim(offset: number): void {
    if (offset > this.stableOffset) throw new Refusal("OFFSET_OUT_OF_RANGE");
    this.startOffset = Math.max(this.startOffset, offset);
  }
}
