import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from "fastify";
import { KappaError, messageOf } from "../core/errors.ts";
import {
  type HealthSource,
  type HttpSources,
  passedOnHeader,
  type StateSource,
  type TopologyFormat,
  topologyFormats,
} from "./http-sources.ts";
import type { Logger } from "./logger.ts";

export interface HttpConfig {
  /** Address to listen on. Anything but loopback needs a token. */
  readonly host: string;
  /** Port to listen on; 0 takes any free one. */
  readonly port: number;
  /** When given, every request but the bare probes carries it as `authorization: Bearer ...`. */
  readonly token: string | undefined;
}

/** A request is headers only here; the rest bounds what a slow or hostile client can hold. */
const limits = {
  bodyLimit: 64 * 1024,
  requestTimeout: 10_000,
  connectionTimeout: 30_000,
  keepAliveTimeout: 10_000,
  connectionsMax: 100,
  /** A record key is at most 1 KiB; percent-encoded it is three times as long. */
  paramLengthMax: 3 * 1024,
};

/**
 * The window into a running application: probes, metrics, topology, state. Read-only.
 *
 * Without a token it answers only requests that name a loopback host, so that no web page a person has open can read
 * state through a name that resolves to this machine.
 */
export class HttpServer {
  readonly #server: FastifyInstance;
  readonly #config: HttpConfig;
  readonly #logger: Logger;

  constructor(config: HttpConfig, sources: HttpSources, logger: Logger) {
    if (!loopback(config.host) && !config.token) {
      throw new KappaError(
        "KAPPA_CONFIG_INVALID",
        `http host ${config.host} is not loopback and no token is set; set HTTP_TOKEN, or HTTP_HOST=127.0.0.1`,
        { host: config.host },
      );
    }
    this.#config = config;
    this.#logger = logger;
    const { bodyLimit, requestTimeout, connectionTimeout, keepAliveTimeout, paramLengthMax } = limits;
    this.#server = fastify({
      bodyLimit,
      requestTimeout,
      connectionTimeout,
      keepAliveTimeout,
      routerOptions: { maxParamLength: paramLengthMax },
      forceCloseConnections: true,
    });
    this.#server.server.maxConnections = limits.connectionsMax;
    this.#server.addHook("onRequest", (request, reply) => this.#admit(request, reply));
    this.#server.setNotFoundHandler((_request, reply) => reply.code(404).send({ error: notFound }));
    this.#server.setErrorHandler((error, _request, reply) => this.#fail(error, reply));
    addHealth(this.#server, sources.health);
    addPages(this.#server, sources);
    addStores(this.#server, sources.state);
  }

  /**
   * @returns the address it listens on, as a URL
   * @throws KAPPA_CONFIG_INVALID when the port is taken or the address is not ours
   */
  async listen(): Promise<string> {
    const { host, port } = this.#config;
    try {
      return await this.#server.listen({ host, port });
    } catch (error) {
      throw new KappaError("KAPPA_CONFIG_INVALID", listenMessage(error, host, port), { host, port }, error);
    }
  }

  /** Ends open connections too. Safe to call twice. */
  async close(): Promise<void> {
    await this.#server.close();
  }

  async #admit(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { token } = this.#config;
    if (probe(request)) return;
    if (token === undefined) {
      if (loopback(hostnameOf(request))) return;
      return reply.code(403).send({ error: "host is not loopback" });
    }
    if (sameSecret(request.headers.authorization ?? "", `Bearer ${token}`)) return;
    return reply.code(401).header("www-authenticate", "Bearer").send({ error: "token missing or wrong" });
  }

  #fail(error: unknown, reply: FastifyReply): unknown {
    if (error instanceof KappaError && (error.recovery === "retry" || error.code === "KAPPA_STATE_ELSEWHERE")) {
      return reply.code(503).header("retry-after", "1").send({ error: error.message, code: error.code });
    }
    if (error instanceof KappaError && error.recovery === "refuse") {
      return reply.code(400).send({ error: error.message, code: error.code });
    }
    const status = clientStatus(error);
    if (status !== undefined) return reply.code(status).send({ error: messageOf(error) });
    this.#logger.error({ error }, "http request failed");
    return reply.code(500).send({ error: "internal error" });
  }
}

const notFound = "not found; try /livez, /readyz, /metrics, /info, /topology, /stores or /stores/STORE/KEY";

function addHealth(server: FastifyInstance, source: HealthSource): void {
  server.get("/livez", (_request, reply) => {
    const { live, state } = source.health();
    return reply.code(live ? 200 : 503).send({ status: state });
  });
  server.get<{ Querystring: { verbose?: string } }>("/readyz", (request, reply) => {
    const { state, modelLoaded, restoringTasks, restoreSecondsLeft, pausedInputs, checks } = source.health();
    const restoring = restoringTasks > 0;
    const ready = state === "RUNNING" && modelLoaded && !restoring && pausedInputs === 0;
    const answer = { status: state, model_loaded: modelLoaded, restoring };
    const verbose = request.query.verbose !== undefined;
    return reply
      .code(ready ? 200 : 503)
      .send(
        verbose
          ? { ...answer, restoring_tasks: restoringTasks, restore_seconds_left: restoreSecondsLeft, checks }
          : answer,
      );
  });
}

function addPages(server: FastifyInstance, { metrics, info, topology }: HttpSources): void {
  server.get("/metrics", async (_request, reply) => reply.type(metrics.contentType).send(await metrics.page()));
  server.get("/info", () => info.info());
  server.get<{ Querystring: { format?: string } }>("/topology", (request, reply) => {
    const format = topologyFormat(request.query.format, request.headers.accept ?? "");
    return reply.type(topologyTypes[format]).send(topology.describe(format));
  });
}

function addStores(server: FastifyInstance, source: StateSource): void {
  server.get("/stores", () => ({ stores: source.stores() }));
  server.get<{ Params: { store: string; key: string }; Querystring: { as_of?: string } }>(
    "/stores/:store/:key",
    async ({ params: { store, key }, query, headers }, reply) => {
      const names = source.stores().map(({ name }) => name);
      if (!names.includes(store)) {
        return reply.code(404).send({ error: `no store of that name; there are: ${names.join(", ") || "none"}` });
      }
      const entry = await source.read(store, key, timeOf(query.as_of), headers[passedOnHeader] !== undefined);
      if (!entry) return reply.code(404).send({ error: `store ${store} holds nothing under this key` });
      return {
        store,
        key,
        partition: entry.partition,
        as_of: new Date(entry.asOfMs).toISOString(),
        value: entry.value,
      };
    },
  );
}

const topologyTypes: Record<TopologyFormat, string> = {
  text: "text/plain; charset=utf-8",
  mermaid: "text/vnd.mermaid; charset=utf-8",
  json: "application/json; charset=utf-8",
};

/** `?format` first, then the accept header, then text. */
function topologyFormat(asked: string | undefined, accept: string): TopologyFormat {
  if (asked === undefined) {
    if (accept.includes("application/json")) return "json";
    return accept.includes("mermaid") ? "mermaid" : "text";
  }
  const format = topologyFormats.find((known) => known === asked);
  if (!format) {
    throw new KappaError(
      "KAPPA_USAGE",
      `format is "${asked.slice(0, 40)}", one of ${topologyFormats.join(", ")} is known`,
    );
  }
  return format;
}

/** Event time in epoch ms or ISO 8601. */
function timeOf(asked: string | undefined): number | undefined {
  if (asked === undefined) return undefined;
  const timeMs = /^\d+$/.test(asked) ? Number(asked) : Date.parse(asked);
  if (!Number.isSafeInteger(timeMs)) {
    throw new KappaError("KAPPA_USAGE", `as_of is "${asked.slice(0, 40)}", write epoch ms or 2026-01-31T12:00:00Z`);
  }
  return timeMs;
}

/** The bare probes tell the state and nothing else, and whoever probes has no token. */
function probe(request: FastifyRequest): boolean {
  return request.url === "/livez" || request.url === "/readyz";
}

function hostnameOf(request: FastifyRequest): string {
  return request.hostname.replace(/^\[(.*)\]$/, "$1");
}

function loopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/** Compares digests, so that neither content nor length shows in the time it takes. */
function sameSecret(given: string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function clientStatus(error: unknown): number | undefined {
  const status = error instanceof Error && "statusCode" in error ? error.statusCode : undefined;
  return typeof status === "number" && status >= 400 && status < 500 ? status : undefined;
}

function listenMessage(error: unknown, host: string, port: number): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  if (code === "EADDRINUSE")
    return `http port ${port} on ${host} is in use; set HTTP_PORT=${port + 1}, or 0 for any free one`;
  if (code === "EACCES") return `http port ${port} on ${host} may not be opened by this user; set HTTP_PORT=9464`;
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
    return `http host ${host} is no address of this machine; set HTTP_HOST=127.0.0.1`;
  return `http server cannot listen on ${host} port ${port}: ${messageOf(error)}`;
}
