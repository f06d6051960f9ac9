import { KappaError } from "../../core/errors.ts";
import type { DurationMs } from "../../core/time.ts";
import type { Orphan, OrphanStore } from "../../state/orphan-store.ts";
import type { Reservoir } from "../../state/reservoir.ts";
import type { GraphNode, MarkSource, Value } from "../../topology/graph.ts";
import { Row } from "../row.ts";
import type { TimeDriven } from "./time-driven.ts";

/** An event as a mark names it. */
export interface MarkedEvent {
  readonly key: string | number;
  readonly timeMs: number;
  readonly id: string | number;
}

/**
 * Marks that come before their event: a label that overtakes its transaction. They wait in event time, and are applied
 * when the event is inserted; one whose event does not come becomes a dead letter. When it does is a function of the
 * order of rows alone:
 *
 *     mark comes at order time t, for an event of time e:
 *     given up at min(t + orphanMs, e + grace + reach)     from the second on no window could count the event
 */
export class OrphanMarks implements TimeDriven {
  readonly #store: OrphanStore;
  readonly #reservoir: Reservoir;
  readonly #nodes: readonly GraphNode[];
  readonly #countsMs: DurationMs;
  readonly #bury: (row: Row, error: unknown) => void;

  constructor(options: {
    readonly store: OrphanStore;
    readonly reservoir: Reservoir;
    /** Of the topology: a row that waits is known by the name of its origin, which a new version keeps. */
    readonly nodes: readonly GraphNode[];
    /** Grace plus the reach of the longest window; Infinity with a window that has no bound in time. */
    readonly countsMs: DurationMs;
    /** Takes a row that marks nothing. */
    readonly bury: (row: Row, error: unknown) => void;
  }) {
    this.#store = options.store;
    this.#reservoir = options.reservoir;
    this.#nodes = options.nodes;
    this.#countsMs = options.countsMs;
    this.#bury = options.bury;
  }

  /** How many marks wait. */
  get waiting(): number {
    return this.#store.waiting;
  }

  /** Takes a mark whose event is not held. */
  park(event: MarkedEvent, { mark, orphanMs }: MarkSource, row: Row): void {
    const expiryMs = Math.min(row.orderTimeMs + orphanMs, event.timeMs + this.#countsMs);
    if (expiryMs <= row.orderTimeMs) {
      this.#giveUp(row, event);
      return;
    }
    const origin = this.#nodes[row.origin]?.name ?? "";
    const text = JSON.stringify({
      origin,
      sequence: row.sequence,
      timeMs: row.timeMs,
      rank: row.rank,
      value: row.value,
    });
    const orphan = { mark, id: event.id, timeMs: event.timeMs, expiryMs, row: text };
    this.#store.park(event.key, orphan, row.orderTimeMs);
  }

  /** An event was inserted: applies the marks that wait for it. To be called while `waiting` is not 0. */
  settle(event: MarkedEvent, orderTimeMs: number): void {
    const { key, timeMs, id } = event;
    for (const orphan of this.#store.take(key, timeMs, id)) {
      if (!this.#reservoir.mark(key, timeMs, id, orphan.mark, orderTimeMs))
        this.#giveUp(this.#rowOf(orphan, orderTimeMs), event);
    }
  }

  advance(orderTimeMs: number): void {
    if (orderTimeMs < this.#store.nextExpiryMs) return;
    this.#store.expire(orderTimeMs, (key, orphan) => {
      this.#giveUp(this.#rowOf(orphan, orderTimeMs), { key, timeMs: orphan.timeMs, id: orphan.id });
    });
  }

  #rowOf({ row }: Orphan, orderTimeMs: number): Row {
    const { origin, sequence, timeMs, rank, value } = JSON.parse(row) as {
      readonly origin: string;
      readonly sequence: number;
      readonly timeMs: number;
      readonly rank: number;
      readonly value: Value;
    };
    const id = this.#nodes.findIndex(({ name }) => name === origin);
    return new Row(value, timeMs, orderTimeMs, rank, id, sequence);
  }

  #giveUp(row: Row, { key, timeMs, id }: MarkedEvent): void {
    const message = `no event ${String(id)} at ${timeMs} came for key ${String(key)}`;
    this.#bury(row, new KappaError("KAPPA_RECORD_INVALID", message, { reason: "orphan" }));
  }
}
