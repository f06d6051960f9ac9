import type { Warn } from "../core/warn.ts";
import type { InputWait } from "./thread-protocol.ts";

/**
 * Says in the log which inputs wait for a service, once when it begins and once when it is over. Not of a wait that only
 * one report has seen: an id that is new is asked for, and told within milliseconds.
 */
export class InputWaits {
  readonly #warn: Warn;
  /** By input: whether it was told. */
  readonly #waiting = new Map<string, { readonly wait: InputWait; told: boolean }>();

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  /** @param waits of all threads, at every report of one */
  tell(waits: readonly InputWait[]): void {
    const now = new Map(waits.map((wait) => [`${wait.topic}-${wait.partition}`, wait]));
    for (const [input, { wait, told }] of this.#waiting) {
      if (now.has(input)) continue;
      this.#waiting.delete(input);
      if (told) this.#warn({ topic: wait.topic, partition: wait.partition }, "input goes on");
    }
    for (const [input, wait] of now) {
      const before = this.#waiting.get(input);
      if (before === undefined) this.#waiting.set(input, { wait, told: false });
      // Another object is another report of its thread.
      else if (!before.told && before.wait !== wait) {
        before.told = true;
        this.#warn({ ...wait }, "input waits for the schema registry; it goes on by itself");
      }
    }
  }
}
