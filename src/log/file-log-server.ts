import { mkdtempSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bodyStands } from "./file-log-frame.ts";
import { MessageReader, sendMessage } from "./file-log-message.ts";
import type { JournalRequest } from "./file-log-protocol.ts";
import { JournalSession, type SessionHost } from "./file-log-session.ts";
import type { FileSystem } from "./file-system.ts";

/** The path of a Unix socket fits in 104 bytes on macOS, 108 on Linux. */
const socketPathBytesMax = 100;

/** The socket of the owner, when its path is short enough. */
export function socketPath(directory: string): string {
  return join(directory, "owner.sock");
}

/** The file that names the socket, when the path in the directory would be too long. */
export function socketPathFile(directory: string): string {
  return join(directory, "owner.path");
}

export function fitsSocketPath(path: string): boolean {
  return Buffer.byteLength(path) <= socketPathBytesMax;
}

/** Lets other processes append through the owner of the journal, by a Unix socket in its directory. */
export class JournalServer {
  readonly #host: SessionHost;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;

  static async listen(fileSystem: FileSystem, directory: string, host: SessionHost): Promise<JournalServer> {
    const server = new JournalServer(host);
    let path = socketPath(directory);
    if (!fitsSocketPath(path)) {
      path = join(mkdtempSync(join(tmpdir(), "kappa-")), "owner.sock");
      const file = await fileSystem.create(socketPathFile(directory));
      await file.write([Buffer.from(path)], 0);
      await file.close();
    }
    // Left by an owner that was killed; whoever holds the lock is the only one who listens.
    await fileSystem.remove(path);
    await new Promise<void>((resolve, reject) => {
      server.#server.once("error", reject);
      server.#server.listen(path, resolve);
    });
    return server;
  }

  private constructor(host: SessionHost) {
    this.#host = host;
    this.#server = createServer((socket) => this.#serve(socket));
    // Serving others is no reason for a process to stay.
    this.#server.unref();
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.unref();
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    const session = new JournalSession(this.#host, (reply) => {
      if (!socket.destroyed) sendMessage(socket, reply, undefined);
    });
    const reader = new MessageReader((header, frame) => {
      // The check of a stranger's bytes that a thread's frames need not pass.
      const sound = frame === undefined || isSound(frame);
      session.receive(header as JournalRequest, sound ? frame : undefined);
    });
    socket.on("data", (chunk) => {
      try {
        reader.take(chunk);
      } catch {
        socket.destroy();
      }
    });
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function isSound(frame: Buffer): boolean {
  try {
    return bodyStands(frame, 0);
  } catch {
    return false;
  }
}
