import { join } from "node:path";
import { KappaError } from "../../src/core/errors.ts";
import { apicurioJar } from "./apicurio-archive.ts";
import { installDebianPackage, missingDebianPackage } from "./debian-package.ts";
import { freePort, portFree } from "./free-port.ts";
import { missingJava } from "./java.ts";
import { KafkaBroker } from "./kafka-broker.ts";
import { kafkaClassPath } from "./kafka-jars.ts";
import type { LocalService } from "./local-service.ts";
import { type MissingPackage, refuseMissing } from "./missing-package.ts";
import { PrometheusServer } from "./prometheus-server.ts";
import { RedisServer } from "./redis-server.ts";
import { SchemaRegistryServer } from "./schema-registry-server.ts";

/** What the stack consists of, in the order in which it is told. */
export const stackServices = ["kafka", "registry", "redis", "prometheus"] as const;

export type StackService = (typeof stackServices)[number];

/** Ports that people expect. */
export const stackPorts: Readonly<Record<StackService, number>> = {
  kafka: 9092,
  registry: 8081,
  redis: 6379,
  prometheus: 9090,
};

export interface StackOptions {
  readonly services: readonly StackService[];
  /** Each service has a folder in it. */
  readonly dataDir: string;
  readonly ports: Readonly<Record<StackService, number>>;
}

/** A service that runs, and how others find it. */
interface Running {
  readonly name: StackService;
  readonly service: LocalService;
  readonly address: string;
  /** The variable in which `kappa` looks for the address. */
  readonly variable?: string;
}

/** Real services on this machine, one of each. */
export class Stack {
  readonly #running: readonly Running[];

  private constructor(running: readonly Running[]) {
    this.#running = running;
  }

  /**
   * Starts services beside each other; when one does not start, those that did are stopped.
   *
   * @throws KAPPA_CONFIG_INVALID when a port is taken, KAPPA_SERVICE_UNREACHABLE when something is missing
   */
  static async start(options: StackOptions): Promise<Stack> {
    for (const name of options.services) await requirePort(name, options.ports[name]);
    await prepareStack(options.services);
    const starts = await Promise.allSettled(options.services.map((name) => starters[name](options)));
    const running = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
    const stack = new Stack(running);
    const failure = starts.find((start) => start.status === "rejected");
    if (failure === undefined) return stack;
    await stack.stop();
    throw failure.reason;
  }

  /** Addresses by service. */
  get addresses(): readonly (readonly [StackService, string])[] {
    return this.#running.map(({ name, address }) => [name, address]);
  }

  /** Variables that make `kappa` use the stack. */
  get environment(): Readonly<Record<string, string>> {
    return Object.fromEntries(
      this.#running.flatMap(({ variable, address }) => (variable === undefined ? [] : [[variable, address]])),
    );
  }

  /** Resolves with the name of the first service that ends. */
  get ended(): Promise<StackService> {
    return Promise.race(this.#running.map(({ name, service }) => service.ended.then(() => name)));
  }

  /** Stops all services; resolves when they are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.#running.map(({ service }) => service.stop()));
  }

  /** Ends all services at once; resolves when they are gone. */
  async kill(): Promise<void> {
    await Promise.all(this.#running.map(({ service }) => service.kill()));
  }
}

/**
 * Fetches and installs what is missing for these services, and starts nothing.
 *
 * @param others what else must be there, and is only looked for
 * @throws KAPPA_SERVICE_UNREACHABLE with one line that says what is missing and what to type
 */
export async function prepareStack(
  services: readonly StackService[],
  others: readonly (() => Promise<MissingPackage | undefined>)[] = [],
): Promise<void> {
  refuseMissing(await Promise.all([...services.map((name) => hindrances[name]), ...others].map((look) => look())));
  for (const name of services) await preparations[name]();
}

const hindrances: Readonly<Record<StackService, () => Promise<MissingPackage | undefined>>> = {
  kafka: missingJava,
  registry: missingJava,
  redis: async () => missingDebianPackage("redis-server"),
  prometheus: async () => missingDebianPackage("prometheus"),
};

const preparations: Readonly<Record<StackService, () => Promise<unknown>>> = {
  kafka: kafkaClassPath,
  registry: apicurioJar,
  redis: () => installDebianPackage("redis-server"),
  prometheus: () => installDebianPackage("prometheus"),
};

const starters: Readonly<Record<StackService, (options: StackOptions) => Promise<Running>>> = {
  kafka: async (options) => {
    const service = await KafkaBroker.start(place("kafka", options));
    return { name: "kafka", service, address: service.bootstrapServers, variable: "KAFKA_BOOTSTRAP_SERVERS" };
  },
  registry: async (options) => {
    const service = await SchemaRegistryServer.start(place("registry", options));
    return { name: "registry", service, address: service.url, variable: "SCHEMA_REGISTRY_URL" };
  },
  redis: async (options) => {
    const service = await RedisServer.start(place("redis", options));
    return { name: "redis", service, address: service.url, variable: "REDIS_URL" };
  },
  prometheus: async (options) => {
    const service = await PrometheusServer.start(place("prometheus", options));
    return { name: "prometheus", service, address: service.url };
  },
};

function place(name: StackService, { dataDir, ports }: StackOptions): { dataDir: string; port: number } {
  return { dataDir: join(dataDir, name), port: ports[name] };
}

async function requirePort(name: StackService, port: number): Promise<void> {
  if (await portFree(port)) return;
  throw new KappaError(
    "KAPPA_CONFIG_INVALID",
    `port ${port} for ${name} is taken; end what listens there, or type: npm run stack -- --${name}-port ${await freePort()}`,
    { port },
  );
}
