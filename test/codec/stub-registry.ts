import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

/** What a stub answers: a status with a body, `hang` for never, `drop` for a closed connection. */
export type StubAnswer = { readonly status: number; readonly body: unknown } | "hang" | "drop";

/** A request as the stub saw it. */
export interface StubRequest {
  /** Method and path, as `GET /schemas/ids/7`. */
  readonly line: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

/**
 * An HTTP server that answers as a test says, whatever no real registry can be brought to answer when it should: error
 * codes of every kind, silence, a page of a proxy.
 */
export class StubRegistry {
  readonly requests: StubRequest[] = [];
  readonly #server: Server;
  /** By method and path; the last one stays. */
  readonly #answers = new Map<string, StubAnswer[]>();
  #port = 0;

  private constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(port = 0): Promise<StubRegistry> {
    const stub = new StubRegistry();
    await new Promise<void>((resolve) => stub.#server.listen(port, "127.0.0.1", resolve));
    stub.#port = (stub.#server.address() as AddressInfo).port;
    return stub;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** From now on a request gets these answers, one after the other, and the last one again and again. */
  answer(line: string, ...answers: StubAnswer[]): void {
    this.#answers.set(line, answers);
  }

  /** Whether the id is that of a schema: all that most tests need. */
  hold(id: number, schema: string, more: object = {}): void {
    this.answer(`GET /schemas/ids/${id}`, { status: 200, body: { schema, ...more } });
  }

  /** How often a request came. */
  count(line: string): number {
    return this.requests.filter((each) => each.line === line).length;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const line = `${request.method} ${request.url}`;
    const body = await text(request);
    const { authorization } = request.headers;
    this.requests.push({ line, authorization, body: body === "" ? undefined : JSON.parse(body) });
    const answers = this.#answers.get(line) ?? [{ status: 404, body: { error_code: 40403, message: "stub: none" } }];
    const answer = (answers.length > 1 ? answers.shift() : answers[0]) as StubAnswer;
    if (answer === "hang") return;
    if (answer === "drop") {
      request.socket.destroy();
      return;
    }
    const json = typeof answer.body !== "string";
    response.writeHead(answer.status, { "content-type": json ? "application/json" : "text/html" });
    response.end(json ? JSON.stringify(answer.body) : answer.body);
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }
}
