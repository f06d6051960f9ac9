import { connect, type Socket } from "node:net";
import { KappaError, messageOf } from "../core/errors.ts";
import { FileLog, type FileLogOptions, type OwnedFileLog, openFileLog } from "./file-log.ts";
import { ClientTransport, type JournalClient } from "./file-log-client.ts";
import { PublishedEnds } from "./file-log-durable-end.ts";
import { MessageReader, sendMessage } from "./file-log-message.ts";
import type { JournalReply, JournalRequest } from "./file-log-protocol.ts";
import { fitsSocketPath, socketPath, socketPathFile } from "./file-log-server.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";

/** How long an owner that holds the lock may take to answer, in ms: it may be recovering, or ending. */
const connectWithinMs = 5000;
const connectPauseMs = 50;

/**
 * Opens the embedded log of a directory for a process that does not care who owns it: takes the lock when it is free,
 * else appends through the owner. When that owner ends, appends reject with KAPPA_LOG_CLOSED: open the log again.
 *
 * @throws KAPPA_LOG_LOCKED when there is an owner that does not answer; KAPPA_LOG_CORRUPT
 */
export async function connectFileLog(options: FileLogOptions): Promise<FileLog | OwnedFileLog> {
  const { directory, fileSystem = nodeFileSystem } = options;
  for (let waitedMs = 0; ; waitedMs += connectPauseMs) {
    try {
      return await openFileLog(options);
    } catch (error) {
      if (!(error instanceof KappaError && error.code === "KAPPA_LOG_LOCKED")) throw error;
      const socket = await reach(fileSystem, directory);
      if (socket !== undefined) return fileLogOfSocket(fileSystem, directory, socket);
      if (waitedMs >= connectWithinMs) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, connectPauseMs));
  }
}

/** @returns undefined when nobody listens */
function reach(fileSystem: FileSystem, directory: string): Promise<Socket | undefined> {
  const inside = socketPath(directory);
  const path = fitsSocketPath(inside) ? inside : readText(fileSystem, socketPathFile(directory));
  if (path === undefined) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", () => resolve(undefined));
  });
}

function readText(fileSystem: FileSystem, path: string): string | undefined {
  const file = fileSystem.openForReading(path);
  if (file === undefined) return undefined;
  const bytes = Buffer.alloc(file.size());
  file.read(bytes, 0);
  file.close();
  return bytes.toString();
}

function fileLogOfSocket(fileSystem: FileSystem, directory: string, socket: Socket): FileLog {
  const ends = new PublishedEnds(fileSystem, directory);
  return new FileLog(
    directory,
    fileSystem,
    ends,
    (client) => new SocketTransport(directory, socket, client, (reply) => ends.heard(reply.ends)),
  );
}

class SocketTransport extends ClientTransport {
  readonly #socket: Socket;

  constructor(directory: string, socket: Socket, client: () => JournalClient, heard: (reply: JournalReply) => void) {
    super();
    this.#socket = socket;
    const reader = new MessageReader((header) => {
      const reply = header as JournalReply;
      heard(reply);
      client().receive(reply);
    });
    const ended = (why: string) =>
      client().fail(
        new KappaError(
          "KAPPA_LOG_CLOSED",
          `the process that owns ${directory} ${why}; what it did not acknowledge may have arrived: open the log again`,
          { directory },
        ),
      );
    socket.on("data", (chunk) => {
      try {
        reader.take(chunk);
      } catch (error) {
        ended(`does not answer sensibly (${messageOf(error)})`);
        socket.destroy();
      }
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => ended("ended"));
  }

  send(request: JournalRequest, frame: Buffer | undefined): void {
    sendMessage(this.#socket, request, frame);
  }

  async close(): Promise<void> {
    if (this.#socket.closed) return;
    await new Promise<void>((resolve) => {
      this.#socket.once("close", () => resolve());
      this.#socket.destroy();
    });
  }
}

/**
 * The embedded log of a directory for a process that only reads: what is durable, whether an owner runs or not. It
 * needs no lock and appends nothing.
 */
export function readFileLog(directory: string, fileSystem: FileSystem = nodeFileSystem): FileLog {
  return new FileLog(directory, fileSystem, new PublishedEnds(fileSystem, directory), () => new NoTransport(directory));
}

class NoTransport extends ClientTransport {
  readonly #directory: string;

  constructor(directory: string) {
    super();
    this.#directory = directory;
  }

  send(): void {
    const directory = this.#directory;
    throw new KappaError("KAPPA_LOG_CLOSED", `the log in ${directory} was opened for reading only`, { directory });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
