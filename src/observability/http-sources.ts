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
  /** Tasks whose state is still being restored. */
  readonly restoringTasks: number;
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

/** Where `/stores` looks: the state of the tasks this process owns. */
export interface StateSource {
  stores(): readonly StoreDescription[];
  /**
   * @param store a name that `stores` lists
   * @param asOfMs event time; the task's stream time when undefined
   * @returns undefined when the store holds nothing under the key
   * @throws KAPPA_USAGE for a key that is not of the store's type
   */
  read(store: string, key: string, asOfMs: number | undefined): Promise<StoreEntry | undefined>;
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
