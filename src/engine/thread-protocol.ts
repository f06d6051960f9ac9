import type { FileLogHandle } from "../log/file-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { SchemaIds } from "../task/application.ts";
import type { TaskSettings } from "../task/settings.ts";
import type { TopologyModule } from "./topology-module.ts";

/** What an engine thread is told when it starts. */
export interface ThreadOrder {
  readonly thread: number;
  readonly topology: TopologyModule;
  readonly log: FileLogHandle;
  /** Partitions whose tasks this thread runs. */
  readonly partitions: readonly number[];
  /** Partitions in all. */
  readonly partitionCount: number;
  readonly registryDir: string;
  /** Folder of the application's local state; each task has one within. */
  readonly stateDir: string;
  readonly schemaIds: SchemaIds;
  readonly settings: TaskSettings;
  readonly generation: number;
  readonly ends: Readonly<Record<string, readonly number[]>>;
}

/** What an engine thread says. */
export type ThreadReport =
  | { readonly kind: "running" }
  | { readonly kind: "restoring"; readonly partition: number; readonly applied: number; readonly total: number }
  | { readonly kind: "progress"; readonly tasks: readonly TaskProgress[]; readonly metrics: MeterReport }
  | { readonly kind: "answer"; readonly token: number; readonly answer: unknown }
  | { readonly kind: "refused"; readonly token: number; readonly code: string; readonly message: string }
  | { readonly kind: "finished" }
  | { readonly kind: "failed"; readonly code: string; readonly message: string; readonly stack: string };

export interface TaskProgress {
  readonly partition: number;
  /** Commits so far. */
  readonly sequence: number;
  readonly orderTimeMs: number;
  /** Input records not yet taken. */
  readonly lag: number;
  /** Memory that the task's state takes. */
  readonly cachedBytes: number;
}

/** What an engine thread is asked. */
export type ThreadRequest =
  | { readonly kind: "stop" }
  | {
      readonly kind: "read";
      readonly token: number;
      readonly partition: number;
      readonly store: string;
      readonly key: string | number;
      readonly asOfMs: number | null;
    }
  | { readonly kind: "count"; readonly token: number; readonly store: string };
