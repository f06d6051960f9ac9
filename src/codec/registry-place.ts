import {
  type ConfluentOptions,
  ConfluentSchemaRegistry,
  type RegistrySurroundings,
} from "./confluent-schema-registry.ts";
import { EmbeddedSchemaRegistry } from "./embedded-schema-registry.ts";
import type { SchemaRegistry } from "./schema-registry.ts";

/** Which schema registry, as plain data: threads of an engine open the same one. */
export type RegistryPlace =
  | { readonly kind: "embedded"; readonly folder: string }
  | ({ readonly kind: "confluent" } & ConfluentOptions);

/** @throws KAPPA_CONFIG_INVALID, KAPPA_FILE_INVALID */
export function openSchemaRegistry(place: RegistryPlace, around: RegistrySurroundings): Promise<SchemaRegistry> {
  return place.kind === "embedded"
    ? EmbeddedSchemaRegistry.open(place.folder)
    : ConfluentSchemaRegistry.open(place, around);
}
