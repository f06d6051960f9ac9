import { KappaError, messageOf } from "../core/errors.ts";
import { passedOnHeader, type StoreDescription } from "../observability/http-sources.ts";

/** What a store holds under a key. */
export interface StateAnswer {
  readonly store: string;
  readonly key: string;
  readonly partition: number;
  /** Event time the value is as of, ISO 8601. */
  readonly as_of: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** How long a running application may take to answer, in ms. */
const answerMsDefault = 10_000;

export interface StateServiceOptions {
  /** Whether another process passes a query on, which then is not passed on a second time. */
  readonly passedOn?: boolean;
  /** How long an answer may take, in ms. */
  readonly answerMs?: number;
}

/** The state of a running application, asked over HTTP. */
export class StateService {
  readonly #url: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #answerMs: number;

  constructor(url: string, token: string | undefined, options: StateServiceOptions = {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#headers = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(options.passedOn ? { [passedOnHeader]: "1" } : {}),
    };
    this.#answerMs = options.answerMs ?? answerMsDefault;
  }

  /** @throws KAPPA_SERVICE_UNREACHABLE */
  async stores(): Promise<readonly StoreDescription[]> {
    const { body } = await this.#get("/stores");
    return (body as { readonly stores: readonly StoreDescription[] }).stores;
  }

  /** Tasks as the application last heard of them. @throws KAPPA_SERVICE_UNREACHABLE */
  async info(): Promise<Readonly<Record<string, unknown>>> {
    return (await this.#get("/info")).body as Readonly<Record<string, unknown>>;
  }

  /** @param asOf event time, epoch ms or ISO 8601 @returns undefined when nothing is held under the key */
  async read(store: string, key: string, asOf: string | undefined): Promise<StateAnswer | undefined> {
    const query = asOf === undefined ? "" : `?as_of=${encodeURIComponent(asOf)}`;
    const { status, body } = await this.#get(`/stores/${encodeURIComponent(store)}/${encodeURIComponent(key)}${query}`);
    if (status === 404) {
      const { error } = body as { readonly error: string };
      if (error.startsWith("no store")) throw new KappaError("KAPPA_USAGE", error, { store });
      return undefined;
    }
    return body as StateAnswer;
  }

  async #get(path: string): Promise<{ readonly status: number; readonly body: unknown }> {
    let response: Response;
    let body: unknown;
    try {
      const [headers, signal] = [this.#headers, AbortSignal.timeout(this.#answerMs)];
      response = await fetch(`${this.#url}${path}`, { headers, signal });
      body = await response.json();
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      throw new KappaError(
        "KAPPA_SERVICE_UNREACHABLE",
        `no application answers at ${this.#url}: ${messageOf(cause)}; start one with kappa run, or name another with --url`,
        { url: this.#url },
        error,
      );
    }
    if (response.ok || response.status === 404) return { status: response.status, body };
    const said = (body as { readonly error?: unknown }).error ?? response.statusText;
    const hint = response.status === 401 ? "; set HTTP_TOKEN as the application has it" : "";
    // 503: the same question may be answered later.
    const code = response.status === 503 ? "KAPPA_SERVICE_UNREACHABLE" : "KAPPA_USAGE";
    throw new KappaError(code, `${this.#url} answers ${response.status}: ${String(said)}${hint}`, { url: this.#url });
  }
}
