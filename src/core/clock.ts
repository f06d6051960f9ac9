/** Where wall-clock time comes from. Handed in by constructor, so that a test can own time. */
export interface Clock {
  /** Wall-clock milliseconds since the Unix epoch; may jump. For stamps shown to people, never for order or waits. */
  now(): number;
  /** Milliseconds of a clock that never goes back, with a fraction. For waits and durations. */
  monotonic(): number;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
};
