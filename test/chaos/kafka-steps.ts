/** Steps of a commit at which a processor can be killed, in their order. Those in the middle are the log's. */
export const commitSteps = [
  "read",
  "process",
  "score",
  "write",
  "partitions-added",
  "produced",
  "ended",
  "durable",
  "state-batch",
] as const;

/** Steps of a take-over, in their order. */
export const takeOverSteps = ["open-writer", "open-database", "read-end", "apply-commits", "first-cycle"] as const;

export const chaosSteps = [...commitSteps, ...takeOverSteps] as const;

export type ChaosStep = (typeof chaosSteps)[number];

export const isTakeOverStep = (step: ChaosStep): boolean => (takeOverSteps as readonly string[]).includes(step);

/** When a processor kills itself. */
export interface KillOrder {
  readonly step: ChaosStep;
  /** How often the step passes by first, counted from the moment of the order. */
  readonly skip: number;
  /** False: as the step begins. True: a turn of the event loop later, with what it has asked for on its way. */
  readonly during: boolean;
}

/** What a processor leaves behind that killed itself. */
export interface KillReport {
  readonly step: ChaosStep;
  /** Id of the task. */
  readonly task: string;
  /** Since the epoch. */
  readonly atMs: number;
}

/** What a processor is started with: as JSON in `processorOrderVariable`. */
export interface ProcessorOrder {
  readonly bootstrapServers: string;
  readonly name: string;
  readonly dataDir: string;
  /** Shared by all: they run on one host. */
  readonly stateDir: string;
  readonly sessionTimeoutMs: number;
  readonly commitIntervalMs: number;
  readonly threads: number;
  /** File for a `KillReport`. */
  readonly report: string;
  /** From its start on. */
  readonly kill: KillOrder | null;
}

export const processorOrderVariable = "KAPPA_TEST_PROCESSOR";

/** What a processor is told while it runs. */
export type ProcessorRequest =
  | { readonly kind: "arm"; readonly kill: KillOrder }
  | { readonly kind: "disarm" }
  /** Ends in good order. */
  | { readonly kind: "stop" };

/** What a processor tells. */
export type ProcessorReport =
  /** It was told to run these tasks. */
  | { readonly kind: "owned"; readonly partitions: readonly number[] }
  /** All of those are open; `gained` of them were not before, and it took so long from being told. */
  | { readonly kind: "running"; readonly partitions: readonly number[]; readonly gained: number; readonly ms: number }
  /** Offsets of the events that are durably taken, and commits, by task that is open. */
  | {
      readonly kind: "progress";
      readonly tasks: readonly { readonly partition: number; readonly offset: number; readonly commits: number }[];
    }
  | { readonly kind: "failed"; readonly code: string; readonly message: string };
