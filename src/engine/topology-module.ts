import { pathToFileURL } from "node:url";
import { KappaError, messageOf } from "../core/errors.ts";
import type { Topology } from "../topology/graph.ts";

/** Parameters that a topology is made with; JSON, since they travel to engine threads. */
export type TopologyParameters = Readonly<Record<string, string | number | boolean | null>>;

/** A module whose default export is a topology, or a function from parameters to one. */
export interface TopologyModule {
  /** Path or `file:` URL. */
  readonly module: string;
  readonly parameters: TopologyParameters;
}

/**
 * Loads the topology of a module. Functions cannot travel between threads, so each thread loads it anew; given the same
 * parameters it must give the same topology.
 *
 * @throws KAPPA_TOPOLOGY_INVALID when the module has no such export, or what its function threw
 */
export async function loadTopology({ module, parameters }: TopologyModule): Promise<Topology> {
  const url = module.startsWith("file:") ? module : pathToFileURL(module).href;
  let loaded: { readonly default?: unknown };
  try {
    loaded = (await import(url)) as { readonly default?: unknown };
  } catch (error) {
    if (error instanceof KappaError) throw error;
    throw new KappaError("KAPPA_TOPOLOGY_INVALID", `cannot load ${module}: ${messageOf(error)}`, { module }, error);
  }
  const made: unknown = typeof loaded.default === "function" ? await loaded.default(parameters) : loaded.default;
  if (!isTopology(made)) {
    throw new KappaError(
      "KAPPA_TOPOLOGY_INVALID",
      `${module} has no topology as its default export; write: export default (parameters) => builder.build()`,
      { module },
    );
  }
  return made;
}

function isTopology(value: unknown): value is Topology {
  return typeof value === "object" && value !== null && "applicationId" in value && "subTopologies" in value;
}
