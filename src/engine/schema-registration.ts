import { setTimeout as sleep } from "node:timers/promises";
import { openSchemaRegistry, type RegistryPlace } from "../codec/registry-place.ts";
import type { SchemaRegistry } from "../codec/schema-registry.ts";
import { systemClock } from "../core/clock.ts";
import { KappaError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import type { Warn } from "../core/warn.ts";
import { registerSchemas, type SchemaIds } from "../task/application.ts";
import type { Topology } from "../topology/graph.ts";

/** Between two times that a registry is asked, in ms: doubled up to half a minute. */
const askAgainMs = 500;
const askAgainMaxMs = 30_000;

/**
 * Registers the schemas of what an application writes, however long the registry is away; with the ids of an earlier run
 * at hand it need not be there at all.
 *
 * @param signal gives up
 * @throws KAPPA_SCHEMA_INCOMPATIBLE, KAPPA_SCHEMA_UNREGISTERED, KAPPA_SERVICE_REFUSED, KAPPA_CONFIG_INVALID;
 *   KAPPA_SERVICE_UNREACHABLE when it was given up
 */
export async function registerPatiently(
  topology: Topology,
  place: RegistryPlace,
  warn: Warn,
  signal: AbortSignal | undefined,
): Promise<SchemaIds> {
  const registry = await openSchemaRegistry(place, { clock: systemClock, meter: noMeter, warn });
  const give = (): void => void registry.close();
  signal?.addEventListener("abort", give);
  try {
    return await untilRegistered(topology, registry, warn, signal);
  } finally {
    signal?.removeEventListener("abort", give);
    await registry.close();
  }
}

async function untilRegistered(
  topology: Topology,
  registry: SchemaRegistry,
  warn: Warn,
  signal: AbortSignal | undefined,
): Promise<SchemaIds> {
  for (let failures = 0; ; failures++) {
    try {
      const ids = await registerSchemas(topology, registry);
      if (failures > 0) warn({ failures }, "the schema registry answers: going on");
      return ids;
    } catch (error) {
      if (!(error instanceof KappaError) || error.recovery !== "retry" || signal?.aborted === true) throw error;
      const againMs = Math.min(askAgainMaxMs, askAgainMs * 2 ** failures);
      warn(
        { reason: error.message, againMs },
        "waiting for the schema registry: schemas of outputs are to be registered",
      );
      const options = signal === undefined ? {} : { signal };
      await sleep(againMs, undefined, options).catch(() => {
        throw error;
      });
    }
  }
}
