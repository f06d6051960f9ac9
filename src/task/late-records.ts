import type { Counter } from "../core/meter.ts";
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
