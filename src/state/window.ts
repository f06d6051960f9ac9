import type { DurationMs } from "../core/time.ts";

/**
 * A window that each event carries with it, over the events of its own key. Evaluated on the event, exactly, without
 * waiting for a watermark.
 *
 *     sliding, size 10, closed "right":  (t - 10, t]      an event exactly 10 older is outside
 *     sliding, size 10, closed "both":   [t - 10, t]      as Kafka Streams' SlidingWindows
 *     sliding, size 10, delay 7:         (t - 17, t - 7]  what is known only 7 later, such as a fraud label
 *     count, size 5:                     the last 5 events in event-time order, this one included
 *     unbounded:                         every event since the beginning
 *
 * `excludeCurrent` leaves out the event that asks, and no other, not even one at the same instant.
 */
export type EventWindow =
  | {
      readonly kind: "sliding";
      /** 1 ms or more. */
      readonly sizeMs: DurationMs;
      /** 0 or more: how far the window is shifted back. */
      readonly delayMs: DurationMs;
      readonly closed: "right" | "both";
      readonly excludeCurrent: boolean;
    }
  | { readonly kind: "count"; readonly size: number; readonly excludeCurrent: boolean }
  | { readonly kind: "unbounded"; readonly excludeCurrent: boolean };

/**
 * A window that belongs to a key and holds many events. [start, end); tumbling and hopping windows are aligned to the
 * epoch, so that every run cuts time alike. A session ends `gapMs` after its last event and merges with a neighbour
 * that a late event bridges.
 */
export type KeyWindow =
  | { readonly kind: "tumbling"; readonly sizeMs: DurationMs; readonly graceMs: DurationMs }
  | {
      readonly kind: "hopping";
      readonly sizeMs: DurationMs;
      /** Less than `sizeMs` and a divisor of it. */
      readonly advanceMs: DurationMs;
      readonly graceMs: DurationMs;
    }
  | { readonly kind: "session"; readonly gapMs: DurationMs; readonly graceMs: DurationMs };
