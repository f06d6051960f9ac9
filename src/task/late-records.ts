import type { Counter } from "../core/meter.ts";
import type { DurationMs } from "../core/time.ts";
import type { LatePolicy } from "../topology/graph.ts";
import type { Outputs } from "./outputs.ts";
import type { Row } from "./row.ts";

/** Counts events that came after their grace and, where a node asks for it, writes them to `<application id>-late`. */
export class LateRecords {
  readonly #topic: string;
  readonly #partition: number;
  readonly #outputs: Outputs;
  readonly #counter: Counter;
  readonly #node: string;
  readonly #keyColumn: string;

  constructor(options: {
    readonly topic: string;
    readonly partition: number;
    readonly outputs: Outputs;
    readonly counter: Counter;
    readonly node: string;
    readonly keyColumn: string;
  }) {
    this.#topic = options.topic;
    this.#partition = options.partition;
    this.#outputs = options.outputs;
    this.#counter = options.counter;
    this.#node = options.node;
    this.#keyColumn = options.keyColumn;
  }

  /**
   * Judges a row by its node's grace and does with a late one what the policy says. The flag travels, so an event that
   * was late once is counted once; a smaller grace further on is judged there.
   *
   * @returns whether the row goes on
   */
  admit(row: Row, graceMs: DurationMs, policy: LatePolicy): boolean {
    if (row.late || row.timeMs >= row.orderTimeMs - graceMs) return true;
    row.late = true;
    this.count();
    if (policy === "aside") this.write(row);
    return policy === "include";
  }

  count(): void {
    this.#counter.add(1);
  }

  /** The value as JSON, keyed as its stream is, with the node that found it late and by how much. */
  write(row: Row): void {
    const key = (row.value as Readonly<Record<string, unknown>>)[this.#keyColumn];
    const headers = [
      { name: "kappa.late.node", value: Buffer.from(this.#node) },
      { name: "kappa.late.by_ms", value: Buffer.from(String(row.orderTimeMs - row.timeMs)) },
    ];
    const value = Buffer.from(JSON.stringify(row.value));
    this.#outputs.writer(this.#topic, this.#partition).append(row.timeMs, Buffer.from(String(key)), value, headers);
  }
}
