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
 * A window that belongs to a key and holds many events: [start, end).
 *
 *     tumbling, size 10:             [0, 10) [10, 20) ...           each event is in one
 *     hopping, size 10, advance 5:   [0, 10) [5, 15) [10, 20) ...   each event is in size / advance of them
 *     session, gap 5:                [first event, last event + 5)  an event exactly 5 after the last one begins another
 *
 * Tumbling and hopping windows start at multiples of their size or advance from the epoch, before it too, so that every
 * run cuts time alike. Two sessions become one when an event between them is less than the gap from both.
 *
 * A window closes when order time, the highest event time so far, reaches end + `graceMs`. An event is late when all its
 * windows have closed: for a session, when the one that it would begin by itself would have, and no open session takes
 * it. An event that is at most `graceMs` behind order time is never late, and then the result does not depend on the
 * order in which the events came. (A session event further behind may be taken or begin a session of its own, by what
 * is open; so Kafka Streams has it.)
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
