import type { MessagePort } from "node:worker_threads";
import { KappaError } from "../core/errors.ts";
import { FileLog, type FileLogHandle } from "./file-log.ts";
import type { ClientTransport, JournalClient } from "./file-log-client.ts";
import { SharedEnds } from "./file-log-ends.ts";
import type { JournalReply, JournalRequest } from "./file-log-protocol.ts";
import { nodeFileSystem } from "./file-system.ts";

/** The embedded log in another thread of the process that owns it: an engine thread. Close it before the owner. */
export function fileLogOfThread(handle: FileLogHandle): FileLog {
  const { directory, ends, port } = handle;
  return new FileLog(
    directory,
    nodeFileSystem,
    new SharedEnds(ends),
    (client) => new PortTransport(directory, port, client),
  );
}

/** Frames are encoded here, in the thread, and their memory moves to the owner: no copy, no work there per byte. */
class PortTransport implements ClientTransport {
  readonly #port: MessagePort;

  constructor(directory: string, port: MessagePort, client: () => JournalClient) {
    this.#port = port;
    port.on("message", (reply: JournalReply) => client().receive(reply));
    port.on("close", () =>
      client().fail(new KappaError("KAPPA_LOG_CLOSED", `the log in ${directory} is closed`, { directory })),
    );
  }

  send(request: JournalRequest, frame: Buffer | undefined): void {
    if (frame === undefined) this.#port.postMessage({ request });
    else this.#port.postMessage({ request, frame: frame.buffer }, [frame.buffer as ArrayBuffer]);
  }

  close(): Promise<void> {
    this.#port.close();
    return Promise.resolve();
  }
}
