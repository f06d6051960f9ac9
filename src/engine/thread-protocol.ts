import type { RegistryPlace } from "../codec/registry-place.ts";
import type { LogHandle } from "../log/thread-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { SchemaIds } from "../task/application.ts";
import type { TaskSettings } from "../task/settings.ts";
import type { TaskPositions } from "./membership.ts";
import type { TopologyModule } from "./topology-module.ts";

/** What an engine thread is told when it starts. */
export interface ThreadOrder {
  readonly thread: number;
  readonly topology: TopologyModule;
  readonly log: LogHandle;
  /** Partitions in all. */
  readonly partitionCount: number;
  readonly registry: RegistryPlace;
  /** Folder of the application's local state; each task has one within. */
  readonly stateDir: string;
  readonly schemaIds: SchemaIds;
  readonly settings: TaskSettings;
  readonly ends: Readonly<Record<string, readonly number[]>>;
}

/** What an engine thread says. */
export type ThreadReport =
  /** It could run tasks from now on. */
  | { readonly kind: "ready" }
  /** Every task that is not among those of the order `version` is closed. */
  | { readonly kind: "released"; readonly version: number }
  /** Every task of the order `version` is open. */
  | { readonly kind: "running"; readonly version: number }
  /** Every task of the order `version` has come to the end of a run that has one. */
  | { readonly kind: "ended"; readonly version: number }
  /** A task was opened by another process, and is closed here. */
  | { readonly kind: "fenced"; readonly partition: number }
  /** The local state of a task could not be trusted and was thrown away: it is built again from the log. */
  | { readonly kind: "discarded"; readonly partition: number; readonly reason: string }
  /** The system lets the state of a task be neither written nor read, for a reason; null: it does again. */
  | { readonly kind: "held"; readonly partition: number; readonly reason: string | null }
  | { readonly kind: "restoring"; readonly partition: number; readonly applied: number; readonly total: number }
  | {
      readonly kind: "progress";
      readonly tasks: readonly TaskProgress[];
      readonly waits: readonly InputWait[];
      readonly metrics: MeterReport;
    }
  | { readonly kind: "answer"; readonly token: number; readonly answer: unknown }
  | { readonly kind: "refused"; readonly token: number; readonly code: string; readonly message: string }
  | { readonly kind: "finished" }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly stack: string };

/** An input that cannot go on before a service has answered. */
export interface InputWait {
  readonly topic: string;
  /** Null for a global table. */
  readonly partition: number | null;
  readonly reason: string;
}

export interface TaskProgress {
  readonly partition: number;
  /** Commits so far. */
  readonly sequence: number;
  readonly orderTimeMs: number;
  /** Input records not yet taken. */
  readonly lag: number;
  /** Memory that the task's state takes. */
  readonly cachedBytes: number;
  readonly positions: TaskPositions;
}

/** What an engine thread is asked. */
export type ThreadRequest =
  | { readonly kind: "stop" }
  /** The tasks to run from now on. Versions count up. */
  | {
      readonly kind: "own";
      readonly version: number;
      readonly partitions: readonly number[];
      readonly generation: number;
    }
  | {
      readonly kind: "read";
      readonly token: number;
      readonly partition: number;
      readonly store: string;
      readonly key: string | number;
      readonly asOfMs: number | null;
    }
  | { readonly kind: "count"; readonly token: number; readonly store: string };
