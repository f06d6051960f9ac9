import { KappaError } from "../core/errors.ts";
import type { DurationMs } from "../core/time.ts";
import type { Aggregate } from "../state/aggregate.ts";
import type { EventWindow } from "../state/window.ts";
import type { NumericField, ScalarField } from "./columns.ts";

declare const output: unique symbol;

/** One number (or list) computed over a window of an entity's events; `Output` is its type on the enriched value. */
export interface Feature<Output> {
  readonly window: EventWindow;
  readonly aggregate: Aggregate;
  readonly [output]?: Output;
}

/** Features by the name they get on the value. */
export type FeatureMap = Readonly<Record<string, Feature<unknown>>>;

/** What a `FeatureMap` adds to a value. */
export type FeatureValues<Features extends FeatureMap> = {
  -readonly [Name in keyof Features]: Features[Name] extends Feature<infer Output> ? Output : never;
};

export interface SlidingOptions {
  /** Shifts the window back: (t - delay - size, t - delay]. Default 0. */
  readonly delayMs?: DurationMs;
  /** `right` (default): (t - size, t]. `both`: [t - size, t], as Kafka Streams. */
  readonly closed?: "right" | "both";
  /** Leaves out the event itself. Default false. */
  readonly excludeCurrent?: boolean;
}

export interface OwnEventOption {
  /** Leaves out the event itself. Default false. */
  readonly excludeCurrent?: boolean;
}

/** The windows over the events of one entity, and what can be computed in each. */
export class Over<Value, Mark extends string> {
  /**
   * The events of the last `sizeMs` of event time, exact for each event. Many lengths may be used side by side: they
   * share one reservoir. Kafka Streams: `SlidingWindows`, but the value is on the event itself.
   *
   * @throws KAPPA_TOPOLOGY_INVALID unless `sizeMs` is at least 1 and `delayMs` at least 0
   */
  sliding(sizeMs: DurationMs, options: SlidingOptions = {}): WindowFeatures<Value, Mark> {
    const { delayMs = 0, closed = "right", excludeCurrent = false } = options;
    if (!(Number.isSafeInteger(sizeMs) && sizeMs >= 1)) {
      throw new KappaError("KAPPA_TOPOLOGY_INVALID", `a sliding window of ${sizeMs} ms; give a whole number from 1 on`);
    }
    if (!(Number.isSafeInteger(delayMs) && delayMs >= 0)) {
      throw new KappaError("KAPPA_TOPOLOGY_INVALID", `a window delay of ${delayMs} ms; give a whole number from 0 on`);
    }
    return new WindowFeatures({ kind: "sliding", sizeMs, delayMs, closed, excludeCurrent });
  }

  /** The last `size` events of the entity in event-time order. */
  lastEvents(size: number, options: OwnEventOption = {}): WindowFeatures<Value, Mark> {
    if (!(Number.isSafeInteger(size) && size >= 1)) {
      throw new KappaError(
        "KAPPA_TOPOLOGY_INVALID",
        `a window of the last ${size} events; give a whole number from 1 on`,
      );
    }
    return new WindowFeatures({ kind: "count", size, excludeCurrent: options.excludeCurrent ?? false });
  }

  /** Every event of the entity since the beginning of the log. */
  unbounded(options: OwnEventOption = {}): WindowFeatures<Value, Mark> {
    return new WindowFeatures({ kind: "unbounded", excludeCurrent: options.excludeCurrent ?? false });
  }
}

/** What can be computed over one window. Null values of a field are left out; see `Aggregate` for empty windows. */
export class WindowFeatures<Value, Mark extends string> {
  readonly #window: EventWindow;

  constructor(window: EventWindow) {
    this.#window = window;
  }

  #feature<Output>(aggregate: Aggregate): Feature<Output> {
    return { window: this.#window, aggregate };
  }

  /** Events, or with a field its non-null values. */
  count(column?: ScalarField<Value>): Feature<number> {
    return this.#feature(column === undefined ? { kind: "count" } : { kind: "count", column });
  }
  /** Exact sum. */
  sum(column: NumericField<Value>): Feature<number> {
    return this.#feature({ kind: "sum", column });
  }
  /** Exact mean; `per: 100` gives major units of an amount in minor ones. */
  mean(column: NumericField<Value>, options: { readonly per?: number } = {}): Feature<number | null> {
    return this.#feature({ kind: "mean", column, per: options.per ?? 1 });
  }
  /** Sample variance; null below two values. */
  variance(column: NumericField<Value>): Feature<number | null> {
    return this.#feature({ kind: "variance", column });
  }
  /** Sample standard deviation; null below two values. */
  sd(column: NumericField<Value>): Feature<number | null> {
    return this.#feature({ kind: "sd", column });
  }
  min(column: NumericField<Value>): Feature<number | null> {
    return this.#feature({ kind: "min", column });
  }
  max(column: NumericField<Value>): Feature<number | null> {
    return this.#feature({ kind: "max", column });
  }
  /** Number of different values, exact. */
  distinct(column: ScalarField<Value>): Feature<number> {
    return this.#feature({ kind: "distinct", column });
  }
  /** Up to `size` values, oldest first. */
  first<Name extends ScalarField<Value>>(column: Name, size: number): Feature<NonNullable<Value[Name]>[]> {
    return this.#feature({ kind: "first", column, size });
  }
  /** Up to `size` values, newest first. */
  last<Name extends ScalarField<Value>>(column: Name, size: number): Feature<NonNullable<Value[Name]>[]> {
    return this.#feature({ kind: "last", column, size });
  }
  /** The newest value. */
  latest<Name extends ScalarField<Value>>(column: Name): Feature<NonNullable<Value[Name]> | null> {
    return this.#feature({ kind: "latest", column });
  }
  /** Up to `size` most frequent values. */
  top<Name extends ScalarField<Value>>(column: Name, size: number): Feature<NonNullable<Value[Name]>[]> {
    return this.#feature({ kind: "top", column, size });
  }
  /** Nearest-rank percentile; `fraction` in (0, 1]. */
  percentile(column: NumericField<Value>, fraction: number): Feature<number | null> {
    return this.#feature({ kind: "percentile", column, fraction });
  }
  /** Share of the events that carry a mark, or whose field is true; 0 of none. */
  ratio(column: Mark | NumericField<Value>): Feature<number> {
    return this.#feature({ kind: "ratio", column });
  }
}
