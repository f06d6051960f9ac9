declare const unit: unique symbol;

/** Milliseconds since the Unix epoch, event time: a safe integer, as Kafka and Avro `timestamp-millis` store it. */
export type EventTimeMs = number & { readonly [unit]?: "event-time-ms" };

/** A length of time in milliseconds. */
export type DurationMs = number & { readonly [unit]?: "duration-ms" };

export const milliseconds = (count: number): DurationMs => count;
export const seconds = (count: number): DurationMs => count * 1000;
export const minutes = (count: number): DurationMs => count * 60_000;
export const hours = (count: number): DurationMs => count * 3_600_000;
export const days = (count: number): DurationMs => count * 86_400_000;

/** The order time of a task that has read nothing yet. Finite, so that it survives every encoding. */
export const beginningOfTimeMs: EventTimeMs = Number.MIN_SAFE_INTEGER;
