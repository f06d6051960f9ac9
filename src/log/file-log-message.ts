import type { Socket } from "node:net";
import { KappaError } from "../core/errors.ts";
import { transactionBytesMax } from "./transaction.ts";

/**
 * A message on the socket between a process and the owner of the journal, little-endian:
 *
 *     | length u32 of what follows | headerLength u32 | header JSON | frame |
 */
const prefixLength = 8;
/** A transaction, its directory and its header. */
const messageBytesMax = transactionBytesMax + 8 * 1024 * 1024;

export function sendMessage(socket: Socket, header: unknown, frame: Buffer | undefined): void {
  const text = Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(prefixLength);
  prefix.writeUInt32LE(4 + text.length + (frame?.length ?? 0), 0);
  prefix.writeUInt32LE(text.length, 4);
  socket.cork();
  socket.write(Buffer.concat([prefix, text]));
  if (frame !== undefined) socket.write(frame);
  socket.uncork();
}

/** Cuts the bytes of a socket into messages. */
export class MessageReader {
  readonly #receive: (header: unknown, frame: Buffer | undefined) => void;
  #chunks: Buffer[] = [];
  #byteLength = 0;

  constructor(receive: (header: unknown, frame: Buffer | undefined) => void) {
    this.#receive = receive;
  }

  /** @throws KAPPA_LOG_FAILED when the other side does not speak this protocol */
  take(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#byteLength += chunk.length;
    while (this.#byteLength >= prefixLength) {
      const length = 4 + this.#peek();
      if (length > messageBytesMax)
        throw new KappaError("KAPPA_LOG_FAILED", `a message of ${length} bytes, the limit is ${messageBytesMax}`);
      if (this.#byteLength < length) return;
      this.#deliver(length);
    }
  }

  #peek(): number {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= 4) return first.readUInt32LE(0);
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#peek();
  }

  #deliver(length: number): void {
    const all = this.#chunks.length === 1 ? this.#chunks[0] : undefined;
    const bytes = all ?? Buffer.concat(this.#chunks, this.#byteLength);
    this.#chunks = bytes.length > length ? [bytes.subarray(length)] : [];
    this.#byteLength = bytes.length - length;
    const headerEnd = prefixLength + bytes.readUInt32LE(4);
    // A frame is patched in place and written later: it must not share memory with the next message.
    const frame = headerEnd < length ? Buffer.from(bytes.subarray(headerEnd, length)) : undefined;
    this.#receive(JSON.parse(bytes.toString("utf8", prefixLength, headerEnd)), frame);
  }
}
