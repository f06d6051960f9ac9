import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { installDebianPackage } from "./debian-package.ts";
import { freePort } from "./free-port.ts";
import { LocalService, type ServiceFolder, serviceFolder, started } from "./local-service.ts";
import { ServiceProcess } from "./service-process.ts";

/** How to run Redis; without any of it, an empty one on a free port. */
export interface RedisServerOptions {
  /** Where it keeps its data and its log file. Default: a folder of its own that `stop` removes. */
  readonly dataDir?: string;
  readonly port?: number;
}

/** Redis of the system's package. Every write is in its append-only file, so that a kill loses none. */
export class RedisServer extends LocalService {
  readonly #port: number;

  private constructor(folder: ServiceFolder, port: number) {
    super(folder);
    this.#port = port;
  }

  /** A Redis that answers commands. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    await installDebianPackage("redis-server");
    const folder = await serviceFolder(options.dataDir, "redis");
    return started(new RedisServer(folder, options.port ?? (await freePort())));
  }

  get url(): string {
    return `redis://127.0.0.1:${this.#port}`;
  }

  protected override launch(): Promise<ServiceProcess> {
    const address = ["--bind", "127.0.0.1", "--port", String(this.#port)];
    const storage = ["--dir", this.folder.path, "--appendonly", "yes", "--save", ""];
    const logFile = join(this.folder.path, "redis.log");
    return ServiceProcess.start(
      { name: "Redis", program: "redis-server", args: [...address, ...storage], logFile },
      () => this.#answers(),
    );
  }

  /** It refuses commands while it reads its file; `PONG` means that it is through. */
  async #answers(): Promise<void> {
    const socket = createConnection({ port: this.#port, host: "127.0.0.1" });
    try {
      const reply = new Promise<string>((resolve, reject) => {
        socket.once("error", reject).once("data", (bytes) => resolve(bytes.toString().trim()));
        socket.end("PING\r\n");
      });
      const answer = await Promise.race([reply, sleep(2000, "no answer", { ref: false })]);
      if (answer !== "+PONG") throw new Error(answer);
    } finally {
      socket.destroy();
    }
  }
}
