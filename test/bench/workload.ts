import type { RecordSchema } from "../../src/codec/record-schema.ts";
import type { TopologyModule } from "../../src/index.ts";

/** A record to be. A null value is a tombstone. */
export interface InputEvent {
  readonly topic: string;
  readonly key: string;
  readonly timeMs: number;
  readonly value: object | null;
  /** The key of the decision that answers it; null for what is answered by none. */
  readonly decisionKey: string | null;
}

/** What a benchmark runs, and what it feeds it with. */
export interface Workload {
  readonly name: string;
  readonly topology: TopologyModule;
  readonly decisionsTopic: string;
  /** What the topology reads, and how its values are written. */
  readonly inputs: Readonly<Record<string, RecordSchema<object>>>;
  /** Transactions that are in the log before the clock starts. */
  readonly preloaded: number;
  /** Events in order of time, without an end: each call begins again with the first. */
  events(): Generator<InputEvent, never>;
}
