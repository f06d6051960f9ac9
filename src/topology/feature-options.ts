import type { DurationMs } from "../core/time.ts";
import type { KeyField, TimeField } from "./columns.ts";
import type { LatePolicy, MarkSource } from "./graph.ts";

/** How a stream marks the events of another. */
export interface MarkOptions<Label extends object> {
  /** Field of the label that names the event; equal to the event's `id`. */
  readonly id: KeyField<Label>;
  /** Field of the label with the event time of the marked event. */
  readonly time: TimeField<Label>;
  /** How long a mark waits, in event time, for an event not seen yet; then it becomes a dead letter. Default 1 day. */
  readonly orphanMs?: DurationMs;
}

/** How features of a stream's own events are computed. */
export interface FeaturesOptions<Value, Mark extends string> {
  /** How much older than its stream an event may be and still be inserted. Required: there is no safe default. */
  readonly graceMs: DurationMs;
  /** Default `include`: a late event still gets features as of its time, is flagged, and is not inserted. */
  readonly late?: LatePolicy;
  /** Field that names an event, unique within the entity; needed with `marks`. */
  readonly id?: KeyField<Value>;
  /** Marks by the name under which features see them: a column that is 1 where the event is marked, else 0. */
  readonly marks?: { readonly [Name in Mark]: Omit<MarkSource, "mark"> };
}

/** How features of another stream's events are computed. */
export interface FeaturesOfOptions {
  /** How much older than the streams' order an event may be and still be held. Required: there is no safe default. */
  readonly graceMs: DurationMs;
  /**
   * Of events that come after their grace, which are not held whatever it says, and of events that ask after it. Default
   * `include`: who asks late still gets features as of its time, and is flagged.
   */
  readonly late?: LatePolicy;
}
