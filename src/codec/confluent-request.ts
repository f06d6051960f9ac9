import { type ErrorContext, KappaError, messageOf } from "../core/errors.ts";

/** A request as the library builds it. */
export interface ConfluentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly user?: { readonly name: string; readonly password: string };
  /** How long the whole answer may take, in ms. */
  readonly timeoutMs: number;
  /** Ends the request when nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** Longest text of a registry that is passed on in a message. */
const reasonLengthMax = 300;

/** What each status says of the service, not of what was asked: it may answer otherwise later. */
const passing = new Set([408, 425, 429]);

/**
 * Sends one request, once, and gives the JSON of the answer. What went wrong is told by status and error code alone:
 * texts differ between registries.
 *
 * @throws KAPPA_SCHEMA_UNKNOWN (404 with a code of the protocol), KAPPA_SCHEMA_INCOMPATIBLE (409), KAPPA_SCHEMA_INVALID
 *   (42201), KAPPA_SERVICE_REFUSED (401, 403), KAPPA_CONFIG_INVALID for an answer that no registry gives,
 *   KAPPA_SERVICE_UNREACHABLE for all that may pass
 */
export async function sendConfluent(request: ConfluentRequest): Promise<unknown> {
  const { method, url, headers, body, user, timeoutMs, signal } = request;
  const authorization = user && `Basic ${Buffer.from(`${user.name}:${user.password}`).toString("base64")}`;
  let status: number;
  let text: string;
  try {
    const answer = await fetch(url, {
      method,
      headers: authorization === undefined ? headers : { ...headers, authorization },
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    status = answer.status;
    text = await answer.text();
  } catch (error) {
    throw unreachable(url, causeOf(error), error);
  }
  const json = parsed(text);
  if (status >= 200 && status < 300 && json !== undefined) return json;
  throw refusalOf(status, json, { url, status });
}

function refusalOf(status: number, json: unknown, context: ErrorContext & { readonly url: string }): KappaError {
  const { url } = context;
  const { error_code: code, message } = (json ?? {}) as { readonly error_code?: unknown; readonly message?: unknown };
  const said = typeof message === "string" ? message.slice(0, reasonLengthMax) : "";
  const errorCode = typeof code === "number" ? code : null;
  const all = { ...context, errorCode };
  const reason = `${url} answers ${status}${errorCode === null ? "" : ` (${errorCode})`}${said === "" ? "" : `: ${said}`}`;
  if (status >= 500 || passing.has(status)) return unreachable(url, reason, undefined, all);
  if (status === 401 || status === 403) {
    const mend = "set SCHEMA_REGISTRY_API_KEY and SCHEMA_REGISTRY_API_SECRET to a user that may";
    return new KappaError("KAPPA_SERVICE_REFUSED", `the schema registry refuses: ${reason}; ${mend}`, all);
  }
  if (status === 409) return new KappaError("KAPPA_SCHEMA_INCOMPATIBLE", `schema is refused: ${reason}`, all);
  if (status === 422 && errorCode === 42201) return new KappaError("KAPPA_SCHEMA_INVALID", `no schema: ${reason}`, all);
  if (status === 422) return new KappaError("KAPPA_SERVICE_REFUSED", `the schema registry refuses: ${reason}`, all);
  if (status === 404 && errorCode !== null && Math.floor(errorCode / 100) === 404)
    return new KappaError("KAPPA_SCHEMA_UNKNOWN", reason, all);
  // Such as the 404 of a proxy, or a page for people: were it taken at its word, records would die of a wrong address.
  const mend = "correct SCHEMA_REGISTRY_URL";
  return new KappaError("KAPPA_CONFIG_INVALID", `there is no schema registry: ${reason}; ${mend}`, all);
}

function unreachable(url: string, reason: string, cause?: unknown, context: ErrorContext = { url }): KappaError {
  return new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `the schema registry does not answer: ${reason.startsWith(url) ? reason : `${url}: ${reason}`}`,
    context,
    cause,
  );
}

/** `fetch failed` says nothing; what it failed of does. */
function causeOf(error: unknown): string {
  return messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
}

function parsed(text: string): unknown {
  try {
    const json: unknown = JSON.parse(text);
    return json ?? undefined;
  } catch {
    return undefined;
  }
}
