import { setTimeout as sleep } from "node:timers/promises";
import type { SchemaRegistry as ConfluentLibrary } from "@kafkajs/confluent-schema-registry";
import { KappaError } from "../core/errors.ts";
import { type ConfluentRequest, sendConfluent } from "./confluent-request.ts";
import { type Compatibility, compatibilities, type SchemaVersion } from "./schema-registry.ts";

/** A schema registry that speaks Confluent's protocol. Plain data: it travels to the engine's threads. */
export interface ConfluentAddress {
  /** Without user and password. */
  readonly url: string;
  readonly apiKey?: string;
  readonly apiSecret?: string;
}

/** A schema as the registry keeps it: of any kind, perhaps not ours to read. */
export interface StoredSchema {
  /** `AVRO`, `JSON` or `PROTOBUF`. */
  readonly schemaType: string;
  readonly schema: string;
  /** Schemas of other subjects that it is made of. */
  readonly references: readonly unknown[];
}

/** How long a caller waits for an answer. */
export interface Patience {
  /** With 0.1, 0.2, 0.4 s and so on between them. */
  readonly tries: number;
  readonly timeoutMs: number;
}

/** A registry that starts anew, or a lost packet, is sat out. */
export const patient: Patience = { tries: 4, timeoutMs: 10_000 };

const retryMs = 100;

/** The calls of the library below its API, which knows no text of a schema by its id; the version is pinned. */
interface Calls {
  readonly Schema: { find(parameters: object): Promise<{ data(): unknown }> };
  readonly Subject: Readonly<
    Record<
      "all" | "version" | "latestVersion" | "registered" | "register" | "config" | "updateConfig",
      (parameters: object) => Promise<{ data(): unknown }>
    >
  >;
}

type LibraryOptions = ConstructorParameters<typeof ConfluentLibrary>[0];
type Middleware = NonNullable<LibraryOptions["middlewares"]>[number];

/**
 * The protocol of Confluent's schema registry. The library builds the requests; they are sent by ourselves, since the
 * library waits for an answer without limit, gives a refused connection the status 400, and drops the error code that
 * tells an id nobody has from an address nobody listens at. It is loaded with the first request: half a second and 26 MB
 * that an engine thread whose ids are all in the cache does without.
 */
export class ConfluentClient {
  readonly #address: ConfluentAddress;
  readonly #abort = new AbortController();
  #calls: Promise<Calls> | undefined;

  constructor(address: ConfluentAddress) {
    this.#address = address;
  }

  get url(): string {
    return this.#address.url;
  }

  /** @throws KAPPA_SCHEMA_UNKNOWN only when the registry says that no schema has the id (40403) */
  async schema(id: number, patience: Patience): Promise<StoredSchema> {
    try {
      return storedSchema(await this.#call((calls, timeout) => calls.Schema.find({ id, timeout }), patience));
    } catch (error) {
      if (!isUnknown(error) || error.context.errorCode === 40403) throw error;
      throw new KappaError("KAPPA_SERVICE_UNREACHABLE", error.message, error.context, error);
    }
  }

  /** The id of a schema if it is a version of the subject; null when it is none, undefined when there is no subject. */
  async registered(subject: string, schema: string, patience: Patience): Promise<number | null | undefined> {
    const body = { schema };
    try {
      return idOf(await this.#call((calls, timeout) => calls.Subject.registered({ subject, body, timeout }), patience));
    } catch (error) {
      if (!isUnknown(error)) throw error;
      return error.context.errorCode === 40401 ? undefined : null;
    }
  }

  async register(subject: string, schema: string, patience: Patience): Promise<number> {
    const body = { schema };
    return idOf(await this.#call((calls, timeout) => calls.Subject.register({ subject, body, timeout }), patience));
  }

  async subjects(): Promise<readonly string[]> {
    return textsOf(await this.#call((calls, timeout) => calls.Subject.all({ timeout }), patient));
  }

  /** Undefined when there is no such version, or no such subject. */
  async version(subject: string, version: number | "latest"): Promise<SchemaVersion | undefined> {
    const answer = await orUndefined(
      this.#call(
        ({ Subject }, timeout) =>
          version === "latest"
            ? Subject.latestVersion({ subject, timeout })
            : Subject.version({ subject, version, timeout }),
        patient,
      ),
    );
    return answer === undefined ? undefined : versionOf(answer);
  }

  /**
   * What the subject was told; undefined when it was told nothing.
   * @param defaultToGlobal then what all subjects are told that were told nothing themselves
   */
  async compatibility(subject: string, defaultToGlobal = false): Promise<Compatibility | undefined> {
    const answer = await orUndefined(
      this.#call((calls, timeout) => calls.Subject.config({ subject, defaultToGlobal, timeout }), patient),
    );
    return answer === undefined ? undefined : compatibilityOf(answer);
  }

  async setCompatibility(subject: string, compatibility: Compatibility): Promise<void> {
    const body = { compatibility };
    await this.#call((calls, timeout) => calls.Subject.updateConfig({ subject, body, timeout }), patient);
  }

  async #call(
    send: (calls: Calls, timeoutMs: number) => Promise<{ data(): unknown }>,
    { tries, timeoutMs }: Patience,
  ): Promise<unknown> {
    this.#calls ??= this.#load();
    const calls = await this.#calls;
    for (let failures = 0; ; failures++) {
      try {
        return (await send(calls, timeoutMs)).data();
      } catch (error) {
        const { signal } = this.#abort;
        const again = error instanceof KappaError && error.recovery === "retry" && failures + 1 < tries;
        if (again) await sleep(retryMs * 2 ** failures, undefined, { signal }).catch(() => {});
        if (!again || signal.aborted) throw error;
      }
    }
  }

  async #load(): Promise<Calls> {
    const { SchemaRegistry } = await import("@kafkajs/confluent-schema-registry");
    const { url, apiKey, apiSecret } = this.#address;
    const auth = apiKey === undefined ? {} : { auth: { username: apiKey, password: apiSecret ?? "" } };
    const library = new SchemaRegistry({ host: url, ...auth, middlewares: [ourSending(this.#abort.signal)] });
    return (library as unknown as { readonly api: Calls }).api;
  }

  /** Ends what is under way. */
  close(): void {
    this.#abort.abort();
  }
}

/** Stands in for the library's own sending: what is next in its chain is never called. */
const ourSending =
  (signal: AbortSignal): Middleware =>
  () => ({
    response: async (_next, _renew, request) => {
      const body = request.body();
      const auth = request.auth();
      const sent: ConfluentRequest = {
        method: request.method().toUpperCase(),
        url: request.url(),
        headers: request.headers() as Record<string, string>,
        ...(typeof body === "string" ? { body } : {}),
        ...(auth === undefined ? {} : { user: { name: auth.username ?? "", password: auth.password ?? "" } }),
        timeoutMs: request.timeout() ?? patient.timeoutMs,
        signal,
      };
      const json = await sendConfluent(sent);
      return { data: () => json } as unknown as Awaited<ReturnType<typeof _next>>;
    },
  });

function isUnknown(error: unknown): error is KappaError {
  return error instanceof KappaError && error.code === "KAPPA_SCHEMA_UNKNOWN";
}

async function orUndefined(answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    if (isUnknown(error)) return undefined;
    throw error;
  }
}

/** @throws KAPPA_CONFIG_INVALID when it is no schema */
export function storedSchema(json: unknown): StoredSchema {
  const { schema, schemaType, references } = json as Readonly<Record<string, unknown>>;
  if (typeof schema !== "string") throw unexpected(json);
  return {
    schemaType: typeof schemaType === "string" ? schemaType : "AVRO",
    schema,
    references: Array.isArray(references) ? references : [],
  };
}

function versionOf(json: unknown): SchemaVersion {
  const { subject, version, schema } = json as Readonly<Record<string, unknown>>;
  if (typeof subject !== "string" || typeof version !== "number" || typeof schema !== "string") throw unexpected(json);
  return { subject, version, id: idOf(json), schema };
}

function idOf(json: unknown): number {
  const { id } = json as Readonly<Record<string, unknown>>;
  if (typeof id !== "number") throw unexpected(json);
  return id;
}

function textsOf(json: unknown): readonly string[] {
  if (!Array.isArray(json) || !json.every((each) => typeof each === "string")) throw unexpected(json);
  return json;
}

function compatibilityOf(json: unknown): Compatibility {
  const { compatibilityLevel } = json as Readonly<Record<string, unknown>>;
  const found = compatibilities.find((each) => each === compatibilityLevel);
  if (found === undefined) throw unexpected(json);
  return found;
}

function unexpected(json: unknown): KappaError {
  const start = JSON.stringify(json).slice(0, 100);
  const message = `the answer of the schema registry is not of its protocol: ${start}; correct SCHEMA_REGISTRY_URL`;
  return new KappaError("KAPPA_CONFIG_INVALID", message);
}
