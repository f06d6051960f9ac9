import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Numbers of requests of the Kafka protocol. */
export const apiKeys = { produce: 0, fetch: 1, initProducerId: 22, addPartitionsToTxn: 24, endTxn: 26 } as const;

/** What becomes of a request: it reaches the broker, now or at `release`; it does not; or its answer does not come back. */
export type Fate = "pass" | "hold" | "cut" | "mute";

/**
 * Stands between a client and a broker and decides the fate of each request. One that is held stays on its way whatever
 * becomes of the client, as a packet in a network does, and so do those behind it on its connection.
 *
 *     | length i32 | api key i16 | ... |        a request; answers go through as they come
 */
export class TcpProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  #targetPort = 0;
  /** Asked for every request, by the number of its kind. */
  fate: (apiKey: number) => Fate = () => "pass";

  private constructor() {
    this.#server = createServer((client) => this.#open(client));
  }

  /** A proxy on a port of its own, or on `port`; its target may be named later, but before anybody connects. */
  static async listen(port = 0): Promise<TcpProxy> {
    const proxy = new TcpProxy();
    proxy.#server.listen(port, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  target(port: number): void {
    this.#targetPort = port;
  }

  #open(client: Socket): void {
    const link = new Link(client, connect(this.#targetPort, "127.0.0.1"), (apiKey) => this.fate(apiKey));
    this.#links.add(link);
    link.ended = () => this.#links.delete(link);
  }

  /** Requests that are on their way. */
  get held(): number {
    let held = 0;
    for (const link of this.#links) held += link.held.length;
    return held;
  }

  /** Lets go of what is held, on so many connections: the oldest first. */
  release(connections = Number.POSITIVE_INFINITY): void {
    const holding = [...this.#links].filter(({ held }) => held.length > 0);
    for (const link of holding.slice(0, connections)) link.release();
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}

/** One connection of a client, and the one to the broker that goes with it. */
class Link {
  readonly #client: Socket;
  readonly #broker: Socket;
  readonly #fate: (apiKey: number) => Fate;
  readonly held: Buffer[] = [];
  #unread: Buffer = Buffer.alloc(0);
  #muted = false;
  ended: () => void = () => {};

  constructor(client: Socket, broker: Socket, fate: (apiKey: number) => Fate) {
    this.#client = client.setNoDelay(true);
    this.#broker = broker.setNoDelay(true);
    this.#fate = fate;
    client.on("data", (bytes) => this.#requests(bytes));
    broker.on("data", (bytes) => void (this.#muted || client.destroyed || client.write(bytes)));
    // What is held outlives the client.
    client.on("close", () => void (this.held.length > 0 || this.destroy()));
    broker.on("close", () => this.destroy());
    for (const socket of [client, broker]) socket.on("error", () => {});
  }

  #requests(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= 4 && this.#unread.length >= 4 + this.#unread.readInt32BE(0)) {
      const length = 4 + this.#unread.readInt32BE(0);
      const request = this.#unread.subarray(0, length);
      this.#unread = this.#unread.subarray(length);
      const fate = this.#fate(request.readInt16BE(4));
      if (fate === "cut") {
        this.destroy();
        return;
      }
      if (fate === "mute") this.#muted = true;
      if (fate === "hold" || this.held.length > 0) this.held.push(request);
      else this.#broker.write(request);
    }
  }

  release(): void {
    for (const request of this.held.splice(0)) this.#broker.write(request);
    if (this.#client.destroyed) this.#broker.end();
  }

  destroy(): void {
    this.#client.destroy();
    this.#broker.destroy();
    this.ended();
  }
}
