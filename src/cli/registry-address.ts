import type { ConfluentAddress } from "../codec/confluent-client.ts";
import type { Config } from "./config.ts";

/** Where the schema registry of the configuration is; undefined for the one in the data folder. */
export function registryAddress(config: Config): ConfluentAddress | undefined {
  const { schemaRegistryUrl: url, schemaRegistryApiKey: apiKey, schemaRegistryApiSecret: apiSecret } = config;
  if (url === undefined) return undefined;
  return { url, ...(apiKey === undefined ? {} : { apiKey }), ...(apiSecret === undefined ? {} : { apiSecret }) };
}
