// What a window store must hold and tell, from lists of events and nothing else: windows are arrays, sessions are merged
// by looking at every one of them. Shares no code with the store.

import type { Aggregate } from "../../src/state/aggregate.ts";
import type { StateKey } from "../../src/state/state-key.ts";
import type { KeyWindow } from "../../src/state/window.ts";
import { bruteForce, type PlainEvent } from "./brute-force.ts";

export interface PlainResult {
  readonly key: StateKey;
  readonly startMs: number;
  readonly endMs: number;
  readonly results: readonly unknown[];
}

interface PlainWindow {
  readonly key: StateKey;
  startMs: number;
  endMs: number;
  closeMs: number;
  events: PlainEvent[];
}

export class PlainWindows {
  readonly #window: KeyWindow;
  readonly #aggregates: readonly Aggregate[];
  #open: PlainWindow[] = [];

  constructor(window: KeyWindow, aggregates: readonly Aggregate[]) {
    this.#window = window;
    this.#aggregates = aggregates;
  }

  get openCount(): number {
    return this.#open.length;
  }

  late(key: StateKey, timeMs: number, nowMs: number): boolean {
    const window = this.#window;
    const { graceMs } = window;
    if (window.kind === "session") {
      const taken = this.#open.some(
        (each) => each.key === key && timeMs < each.endMs && timeMs + window.gapMs > each.startMs,
      );
      return !taken && timeMs + window.gapMs + graceMs <= nowMs;
    }
    return this.#bounds(timeMs).every(([, endMs]) => endMs + graceMs <= nowMs);
  }

  /** Every aligned window that holds a time, found by trying all starts around it. */
  #bounds(timeMs: number): [number, number][] {
    const window = this.#window as Exclude<KeyWindow, { kind: "session" }>;
    const step = window.kind === "tumbling" ? window.sizeMs : window.advanceMs;
    const found: [number, number][] = [];
    for (let startMs = timeMs - window.sizeMs + 1; startMs <= timeMs; startMs++) {
      if (startMs % step === 0) found.push([startMs, startMs + window.sizeMs]);
    }
    return found;
  }

  /** @returns the windows that took the event, as they are then */
  add(key: StateKey, event: PlainEvent, nowMs: number): PlainResult[] {
    const { timeMs } = event;
    const late = this.late(key, timeMs, nowMs);
    if (this.#window.kind === "session") {
      const { gapMs, graceMs } = this.#window;
      const touched = this.#open.filter(
        (each) => each.key === key && timeMs < each.endMs && timeMs + gapMs > each.startMs,
      );
      const startMs = Math.min(timeMs, ...touched.map((each) => each.startMs));
      const endMs = Math.max(timeMs + gapMs, ...touched.map((each) => each.endMs));
      const closeMs = late ? nowMs + 1 : Math.max(endMs + graceMs, ...touched.map((each) => each.closeMs));
      const events = [...touched.flatMap((each) => each.events), event];
      this.#open = this.#open.filter((each) => !touched.includes(each));
      this.#open.push({ key, startMs, endMs, closeMs, events });
      return this.#results([{ key, startMs, endMs, closeMs, events }]);
    }
    const took: PlainWindow[] = [];
    for (const [startMs, endMs] of this.#bounds(timeMs)) {
      let closeMs = endMs + this.#window.graceMs;
      if (closeMs <= nowMs) {
        if (!late) continue;
        closeMs = nowMs + 1;
      }
      let open = this.#open.find((each) => each.key === key && each.startMs === startMs);
      if (open === undefined) {
        open = { key, startMs, endMs, closeMs, events: [] };
        this.#open.push(open);
      }
      open.events.push(event);
      took.push(open);
    }
    return this.#results(took);
  }

  close(orderTimeMs: number): PlainResult[] {
    const due = this.#open.filter(({ closeMs }) => closeMs <= orderTimeMs);
    this.#open = this.#open.filter(({ closeMs }) => closeMs > orderTimeMs);
    const byKey = (a: StateKey, b: StateKey): number =>
      typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1;
    due.sort((a, b) => a.closeMs - b.closeMs || byKey(a.key, b.key) || a.startMs - b.startMs);
    return this.#results(due);
  }

  #results(windows: readonly PlainWindow[]): PlainResult[] {
    return windows.map((each) => this.#result(each));
  }

  #result({ key, startMs, endMs, events }: PlainWindow): PlainResult {
    const sorted = [...events].sort((a, b) => a.timeMs - b.timeMs); // stable: by arrival at one instant
    const window = { kind: "unbounded", excludeCurrent: false } as const;
    const results = this.#aggregates.map((aggregate) =>
      bruteForce(sorted, null, Number.POSITIVE_INFINITY, { window, aggregate }, null),
    );
    return { key, startMs, endMs, results };
  }
}
