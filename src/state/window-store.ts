import { DueIndex } from "./due-index.ts";
import type { EntityStore } from "./entity-store.ts";
import { KeyWindows, KeyWindowsKind, type OpenWindow, type WindowStoreOptions, windowBytes } from "./key-windows.ts";
import type { StateDatabase } from "./state-database.ts";
import type { StateKey } from "./state-key.ts";
import type { KeyWindow } from "./window.ts";
import { WindowSection } from "./window-section.ts";

/** A window as it is told of: on closing, or after an event. One object, used again. */
export interface WindowResult {
  key: StateKey;
  startMs: number;
  /** Exclusive. */
  endMs: number;
  /** In the order of the aggregates. */
  readonly results: unknown[];
}

export type WindowVisitor = (result: WindowResult) => void;

/**
 * The open windows of every key. What a window holds is a function of its events alone: whatever the order in which
 * they come, as long as each comes before what it belongs to has closed, the result is the same to the last bit.
 *
 * A window closes when order time reaches its end plus grace. `KeyWindow` says which events are late.
 */
export class WindowStore {
  readonly #kind: KeyWindowsKind;
  readonly #entities: EntityStore<KeyWindows>;
  readonly #index: DueIndex;
  readonly #section: WindowSection;
  readonly #window: KeyWindow;
  readonly #result: WindowResult = { key: "", startMs: 0, endMs: 0, results: [] };
  /** The windows that took the last event, by start. */
  readonly #updated: OpenWindow[] = [];
  #updatedKey: StateKey = "";

  /** @throws KAPPA_STATE_INCOMPATIBLE when the database holds other windows, aggregates or columns under this name */
  constructor(database: StateDatabase, options: WindowStoreOptions) {
    this.#kind = new KeyWindowsKind(options);
    this.#window = options.window;
    this.#entities = database.store(this.#kind);
    this.#index = new DueIndex(database, `${options.name}/due`, this.#kind.reachMs);
    this.#section = new WindowSection(this.#entities, this.#kind, {
      insert: (key, timeMs, orderTimeMs, late, numbers, texts) => {
        if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
        this.#dropClosed(key, orderTimeMs);
        this.#insert(key, timeMs, orderTimeMs, late, numbers, texts);
      },
      replace: (entity) => this.#replace(entity),
      reached: (orderTimeMs) => this.closeUpTo(orderTimeMs, null),
    });
    database.log(this.#section);
  }

  get orderTimeMs(): number {
    return this.#entities.orderTimeMs;
  }

  /** No window closes before; Infinity when none is open. */
  get nextCloseMs(): number {
    return this.#index.nextMs;
  }

  /** Whether an event is late now: no open window takes it. */
  late(key: StateKey, timeMs: number, orderTimeMs: number): boolean {
    const nowMs = Math.max(orderTimeMs, this.#entities.orderTimeMs);
    const window = this.#window;
    if (window.kind !== "session") {
      const step = window.kind === "tumbling" ? window.sizeMs : window.advanceMs;
      return Math.floor(timeMs / step) * step + window.sizeMs + window.graceMs <= nowMs;
    }
    if (timeMs + window.gapMs + window.graceMs > nowMs) return false;
    const windows = this.#entities.find(key)?.windows;
    return (
      windows === undefined || !windows.some(({ startMs, endMs }) => timeMs < endMs && timeMs + window.gapMs > startMs)
    );
  }

  /**
   * Adds an event to its windows that are open. If it is late they open anew, for it and what comes at the same order
   * time, and close when order time moves on: their results hold the late events alone. Before it, `closeUpTo` was
   * called with its order time.
   *
   * @param numbers, texts values of the columns; NaN and null are absent
   */
  update(
    key: StateKey,
    timeMs: number,
    orderTimeMs: number,
    numbers: Float64Array,
    texts: readonly (string | null)[],
  ): void {
    const nowMs = Math.max(orderTimeMs, this.#entities.orderTimeMs);
    this.#entities.orderTimeMs = nowMs;
    const late = this.late(key, timeMs, nowMs);
    const entity = this.#insert(key, timeMs, nowMs, late, numbers, texts);
    this.#section.inserted(entity, timeMs, nowMs, late, numbers, texts);
  }

  /** Tells of the windows that took the last event, as they are now. */
  updated(visit: WindowVisitor): void {
    for (const window of this.#updated) this.#tell(this.#updatedKey, window, visit);
  }

  #insert(
    key: StateKey,
    timeMs: number,
    nowMs: number,
    late: boolean,
    numbers: Float64Array,
    texts: readonly (string | null)[],
  ): KeyWindows {
    let entity = this.#entities.find(key);
    if (entity === undefined) {
      entity = new KeyWindows(key, nowMs);
      this.#entities.add(entity);
    } else {
      this.#entities.changed(entity);
    }
    this.#updated.length = 0;
    this.#updatedKey = key;
    if (this.#window.kind === "session") this.#joinSession(entity, timeMs, nowMs);
    else this.#joinAligned(entity, timeMs, nowMs, late);
    for (const window of this.#updated) {
      const before = this.#kind.growing ? windowBytes(window) : 0;
      this.#kind.insert(window, timeMs, numbers, texts);
      if (this.#kind.growing) this.#entities.resized(entity, windowBytes(window) - before);
    }
    return entity;
  }

  /** Finds the tumbling or hopping windows of an event, and opens those that are not there. */
  #joinAligned(entity: KeyWindows, timeMs: number, nowMs: number, late: boolean): void {
    const window = this.#window as Exclude<KeyWindow, { kind: "session" }>;
    const { sizeMs, graceMs } = window;
    const step = window.kind === "tumbling" ? sizeMs : window.advanceMs;
    const lastStartMs = Math.floor(timeMs / step) * step;
    const { windows } = entity;
    let at = 0;
    for (let startMs = lastStartMs - sizeMs + step; startMs <= lastStartMs; startMs += step) {
      let closeMs = startMs + sizeMs + graceMs;
      if (closeMs <= nowMs) {
        if (!late) continue;
        closeMs = nowMs + 1;
      }
      while (at < windows.length && (windows[at] as OpenWindow).startMs < startMs) at++;
      if (windows[at]?.startMs !== startMs) this.#open(entity, at, startMs, startMs + sizeMs, closeMs);
      this.#updated.push(windows[at] as OpenWindow);
    }
  }

  /** Finds the session of an event: a new one, one that it prolongs, or several that it makes one. */
  #joinSession(entity: KeyWindows, timeMs: number, nowMs: number): void {
    const { gapMs, graceMs } = this.#window as Extract<KeyWindow, { kind: "session" }>;
    const { windows } = entity;
    const endMs = timeMs + gapMs;
    const closeMs = Math.max(endMs + graceMs, nowMs + 1);
    let from = 0;
    while (from < windows.length && (windows[from] as OpenWindow).endMs <= timeMs) from++;
    let to = from;
    while (to < windows.length && (windows[to] as OpenWindow).startMs < endMs) to++;
    if (from === to) {
      this.#open(entity, from, timeMs, endMs, closeMs);
      this.#updated.push(windows[from] as OpenWindow);
      return;
    }
    const session = windows[from] as OpenWindow;
    for (let i = from + 1; i < to; i++) this.#merge(entity, session, windows[i] as OpenWindow);
    windows.splice(from + 1, to - from - 1);
    session.startMs = Math.min(session.startMs, timeMs);
    session.endMs = Math.max(session.endMs, endMs);
    session.closeMs = Math.max(session.closeMs, session.endMs + graceMs);
    this.#updated.push(session);
  }

  #merge(entity: KeyWindows, session: OpenWindow, next: OpenWindow): void {
    const before = windowBytes(session) + windowBytes(next);
    this.#kind.merge(session, next);
    session.endMs = next.endMs;
    this.#entities.resized(entity, windowBytes(session) - before);
  }

  #open(entity: KeyWindows, at: number, startMs: number, endMs: number, closeMs: number): void {
    const window = this.#kind.open(startMs, endMs, closeMs);
    entity.windows.splice(at, 0, window);
    this.#entities.resized(entity, windowBytes(window));
    if (closeMs < entity.watchedMs) this.#watch(entity, closeMs);
  }

  #watch(entity: KeyWindows, closeMs: number): void {
    entity.watchedMs = closeMs;
    this.#index.add(closeMs, entity.key, this.#entities.orderTimeMs);
  }

  /**
   * Closes what closes up to `orderTimeMs`, in the order of close time, key and start.
   * @param visit is told of each window; null when that was done before (a restore)
   */
  closeUpTo(orderTimeMs: number, visit: WindowVisitor | null): void {
    for (let due = this.#index.pop(orderTimeMs); due !== null; due = this.#index.pop(orderTimeMs)) {
      const entity = this.#entities.find(due.key);
      if (entity !== undefined && entity.watchedMs === due.timeMs) this.#closeKey(entity, due.timeMs, visit);
    }
    // Only now: what a closing enters anew comes up in its own order among what is still due.
    if (orderTimeMs > this.#entities.orderTimeMs) this.#entities.orderTimeMs = orderTimeMs;
    this.#index.passed(orderTimeMs);
  }

  #closeKey(entity: KeyWindows, closeMs: number, visit: WindowVisitor | null): void {
    // Dirty, it stays in memory whatever the visitor does; and the changelog notes the order time, which tells a restore.
    this.#entities.changed(entity);
    const { windows } = entity;
    for (let at = 0; at < windows.length; ) {
      const window = windows[at] as OpenWindow;
      if (window.closeMs > closeMs) {
        at++;
        continue;
      }
      windows.splice(at, 1);
      this.#entities.resized(entity, -windowBytes(window));
      if (visit !== null) this.#tell(entity.key, window, visit);
    }
    if (windows.length === 0) this.#entities.delete(entity);
    else this.#watch(entity, earliestClose(entity));
  }

  #tell(key: StateKey, window: OpenWindow, visit: WindowVisitor): void {
    const result = this.#result;
    result.key = key;
    result.startMs = window.startMs;
    result.endMs = window.endMs;
    this.#kind.results(window, result.results);
    visit(result);
  }

  /** In a restore: what closed before the next event of the key. */
  #dropClosed(key: StateKey, orderTimeMs: number): void {
    const entity = this.#entities.find(key);
    if (entity === undefined) return;
    const { windows } = entity;
    for (let at = windows.length - 1; at >= 0; at--) {
      const window = windows[at] as OpenWindow;
      if (window.closeMs > orderTimeMs) continue;
      windows.splice(at, 1);
      this.#entities.resized(entity, -windowBytes(window));
    }
  }

  /** In a restore: a key's windows written whole. */
  #replace(entity: KeyWindows): void {
    const old = this.#entities.find(entity.key);
    entity.watchedMs = old?.watchedMs ?? Number.POSITIVE_INFINITY;
    if (old !== undefined) this.#entities.delete(old);
    this.#entities.add(entity);
    const closeMs = earliestClose(entity);
    if (closeMs < entity.watchedMs) this.#watch(entity, closeMs);
  }
}

function earliestClose({ windows }: KeyWindows): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const { closeMs } of windows) if (closeMs < earliest) earliest = closeMs;
  return earliest;
}
