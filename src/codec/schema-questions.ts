import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Counter, Meter } from "../core/meter.ts";
import { unknownSchema } from "./schema-compatibility.ts";

/** Between two times that the registry is asked for one id, in ms: doubled up to half a minute. */
const askAgainMs = 100;
const askAgainMaxMs = 30_000;

/** How long an id that no schema had is taken to have none, in ms: then it is asked for again, as it may have got one. */
const unknownForMs = 10_000;

/** Ids without a schema that are remembered: records may name any number of them. */
const unknownIdsMax = 1024;

export interface SchemaQuestionsOptions {
  /** Fetches the schema of an id and keeps it. @throws KAPPA_SCHEMA_UNKNOWN when there is none */
  readonly fetch: (id: number) => Promise<void>;
  readonly clock: Clock;
  readonly meter: Meter;
}

/**
 * Ids that a registry is being asked for, beside the work of whoever needs them. Each is asked for once at a time, and
 * again until the registry has answered: with the schema, or that there is none. Only that ends a question; a registry
 * that is away, overloaded or refuses the user has not answered.
 */
export class SchemaQuestions {
  readonly #fetch: (id: number) => Promise<void>;
  readonly #clock: Clock;
  readonly #outcomes: Readonly<Record<"found" | "unknown" | "failed", Counter>>;
  readonly #abort = new AbortController();
  /** What was last wrong, by id; empty before the first answer. */
  readonly #open = new Map<number, string>();
  /** When the answer that there is none was given, by id, oldest first; as `Clock.monotonic`. */
  readonly #unknown = new Map<number, number>();

  constructor({ fetch, clock, meter }: SchemaQuestionsOptions) {
    this.#fetch = fetch;
    this.#clock = clock;
    const outcome = (name: string): Counter => meter.counter("kappa_schema_requests_total", name);
    this.#outcomes = { found: outcome("found"), unknown: outcome("unknown"), failed: outcome("failed") };
  }

  /** Whether the answer for an id is awaited. */
  awaits(id: number): boolean {
    return this.#open.has(id);
  }

  /** See `KnownSchemas.missing`. */
  missing(id: number): KappaError {
    if (!Number.isInteger(id) || id < 1 || id >= 2 ** 31) return unknownSchema(id);
    const toldMs = this.#unknown.get(id);
    if (toldMs !== undefined && this.#clock.monotonic() - toldMs < unknownForMs) return unknownSchema(id);
    const wrong = this.#open.get(id);
    if (wrong === undefined) this.#ask(id);
    const detail = wrong === undefined || wrong === "" ? "the registry has not answered yet" : wrong;
    return new KappaError("KAPPA_SCHEMA_PENDING", `schema id ${id} is awaited: ${detail}`, { id });
  }

  #ask(id: number): void {
    this.#open.set(id, "");
    this.#unknown.delete(id);
    this.#askUntilAnswered(id).catch(() => {}); // ended by `close`
  }

  async #askUntilAnswered(id: number): Promise<void> {
    const { signal } = this.#abort;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await this.#fetch(id);
        this.#outcomes.found.add(1);
        this.#open.delete(id);
        return;
      } catch (error) {
        if (error instanceof KappaError && error.code === "KAPPA_SCHEMA_UNKNOWN") {
          this.#outcomes.unknown.add(1);
          this.#open.delete(id);
          this.#remember(id, this.#clock.monotonic());
          return;
        }
        this.#outcomes.failed.add(1);
        this.#open.set(id, messageOf(error));
      }
      await sleep(Math.min(askAgainMaxMs, askAgainMs * 2 ** failures), undefined, { signal });
    }
  }

  #remember(id: number, nowMs: number): void {
    const [oldest] = this.#unknown.keys();
    if (this.#unknown.size >= unknownIdsMax && oldest !== undefined) this.#unknown.delete(oldest);
    this.#unknown.set(id, nowMs);
  }

  /** No more questions are asked. */
  close(): void {
    this.#abort.abort();
  }
}
