/** Run states, as Kafka Streams names them; RESTORING is its own state here, as people ask for it. */
export type StreamState =
  | "CREATED"
  | "REBALANCING"
  | "RESTORING"
  | "RUNNING"
  | "PENDING_SHUTDOWN"
  | "NOT_RUNNING"
  | "PENDING_ERROR"
  | "ERROR";

export interface HealthCheck {
  readonly name: string;
  readonly ok: boolean;
  /** For people: what is the case, and if it is not ok, what would mend it. */
  readonly detail: string;
}

export interface Health {
  readonly state: StreamState;
  /**
   * Whether the poll loops made progress lately. False asks the surroundings to kill the process, so a log or a service
   * that is away must not make it false.
   */
  readonly live: boolean;
  /** Whether every model the topologies score with is loaded and warm; true when they have none. */
  readonly modelLoaded: boolean;
  /** Tasks of this process that are not open: their state is being restored, or they wait for the log. */
  readonly restoringTasks: number;
  /** How long restoring still takes, at the pace so far; null when nothing is restored or no pace is known. */
  readonly restoreSecondsLeft: number | null;
  /** Inputs that wait for a service, such as a schema registry that does not answer. */
  readonly pausedInputs: number;
  readonly checks: readonly HealthCheck[];
}

/** Where `/livez` and `/readyz` look. Answers from memory: it is asked every few seconds for ever. */
export interface HealthSource {
  health(): Health;
}

/** Where `/info` looks. */
export interface InfoSource {
  /** Application, version, tasks, models: whatever a person asks first. No secrets. */
  info(): Readonly<Record<string, unknown>>;
}

export const topologyFormats = ["text", "mermaid", "json"] as const;

export type TopologyFormat = (typeof topologyFormats)[number];

/** Where `/topology` looks. `text` is the form of Kafka Streams' `describe`; `json` is a JSON document. */
export interface TopologySource {
  describe(format: TopologyFormat): string;
}

export interface StoreDescription {
  readonly name: string;
  readonly kind: string;
  readonly key: "text" | "number";
  readonly partitions: number;
}

export interface StoreEntry {
  readonly partition: number;
  /** Event time the value is as of, in epoch ms. */
  readonly asOfMs: number;
  readonly value: Readonly<Record<string, unknown>>;
}

/** Header of a query that a process passes on to the one that runs the task: it goes one step, never in a circle. */
export const passedOnHeader = "kappa-passed-on";

/** Where `/stores` looks: the state of all tasks, asking the process that runs one where that is another. */
export interface StateSource {
  stores(): readonly StoreDescription[];
  /**
   * @param store a name that `stores` lists
   * @param asOfMs event time; the task's stream time when undefined
   * @param passedOn whether another process has passed the query on
   * @returns undefined when the store holds nothing under the key
   * @throws KAPPA_USAGE for a key that is not of the store's type; KAPPA_STATE_ELSEWHERE, KAPPA_STATE_RESTORING or
   *   KAPPA_SERVICE_UNREACHABLE when nobody can answer at present
   */
  read(store: string, key: string, asOfMs: number | undefined, passedOn: boolean): Promise<StoreEntry | undefined>;
}

/** Where `/metrics` looks. */
export interface MetricsPage {
  readonly contentType: string;
  page(): Promise<string>;
}

/** What the server shows, each piece behind the smallest interface that can feed it. */
export interface HttpSources {
  readonly health: HealthSource;
  readonly metrics: MetricsPage;
  readonly info: InfoSource;
  readonly topology: TopologySource;
  readonly state: StateSource;
}
