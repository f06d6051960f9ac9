import type { RegistryPlace } from "../codec/registry-place.ts";
import type { LogHandle } from "../log/thread-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { OnlineEnding, OnlineStatus } from "./online-feed.ts";
import type { OnlineTable } from "./online-table.ts";

/** Where the online store is. */
export interface OnlineAddress {
  /** `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS. May hold a secret. */
  readonly url: string;
  /** Begins every key in the store. Default `kappa`. */
  readonly prefix?: string;
}

/** What the serving thread is told when it starts. */
export interface OnlineOrder {
  readonly applicationId: string;
  readonly tables: readonly OnlineTable[];
  readonly tasks: number;
  readonly log: LogHandle;
  readonly registry: RegistryPlace;
  readonly address: OnlineAddress;
}

/** What the serving thread is told later. */
export type OnlineRequest =
  | { readonly kind: "own"; readonly tasks: readonly number[] }
  | { readonly kind: "end"; readonly ending: OnlineEnding };

/** What the serving thread says. */
export type OnlineReport =
  | { readonly kind: "status"; readonly status: OnlineStatus; readonly metrics: MeterReport }
  /** It ends; `complete` when the store has everything. */
  | { readonly kind: "ended"; readonly complete: boolean };
