import { crc32 } from "node:zlib";
import { copyBytes } from "../core/byte-copies.ts";
import { crc32Of } from "../core/crc32.ts";
import { KappaError } from "../core/errors.ts";
import { BufferViews } from "./buffer-views.ts";
import { type ByteReader, ByteWriter } from "./bytes.ts";
import { keyBytesBound, keyBytesMax, readKey, type StateKey, writeKey } from "./state-key.ts";
import type { StoreLayout } from "./store-layout.ts";

const kindEntity = 0;
const kindPart = 1;

/** crc32 u32, layout u8, newest content f64. */
const prefixBytes = 13;
const newestAt = 5;

/** In front of a value that is being written: room for a key of usual length, so that one checksum takes both. */
const keyRoom = 64;

/**
 * What the keys and values of one store look like on disk.
 *
 *     entity key:  | store u8 | 0 | key |
 *     part key:    | store u8 | 1 | length of key u16 BE | key | part u32 BE |
 *     value:       | crc32 u32 | layout u8 | newest content, ms f64 | payload |
 *
 * The length in a part's key keeps the parts of "a" apart from those of "ab". The checksum covers the key as well, so a
 * value in a wrong place is found out. The newest content's time is in front, so that a sweep need not decode.
 *
 * Keys and values are written into one buffer each: what is returned shows them until the next one.
 */
export class StoredForm {
  readonly #number: number;
  readonly #layout: StoreLayout;
  /** The key that was written last, up to `#keyEnd`. */
  readonly #keyBuffer: Buffer = Buffer.allocUnsafeSlow(keyBytesMax + 16);
  #keyEnd = 0;
  readonly #keyViews = new BufferViews(0);
  readonly #writer = new ByteWriter();
  readonly #valueViews = new BufferViews(keyRoom);

  /** @param number of the store, 1 to 255 */
  constructor(number: number, layout: StoreLayout) {
    this.#number = number;
    this.#layout = layout;
  }

  entityKey(key: StateKey): Buffer {
    keyBytesBound(key);
    this.#keyBuffer[0] = this.#number;
    this.#keyBuffer[1] = kindEntity;
    return this.#keyUpTo(writeKey(this.#keyBuffer, 2, key));
  }

  partKey(key: StateKey, part: number): Buffer {
    this.#keyBuffer[0] = this.#number;
    this.#keyBuffer[1] = kindPart;
    const end = writeKey(this.#keyBuffer, 4, key);
    this.#keyBuffer.writeUInt16BE(end - 4, 2);
    return this.#keyUpTo(this.#keyBuffer.writeUInt32BE(part, end));
  }

  #keyUpTo(end: number): Buffer {
    this.#keyEnd = end;
    return this.#keyViews.to(this.#keyBuffer, end);
  }

  /** Where the keys of entities lie: those after `after`, of texts those that begin with `prefix`. */
  range(after: StateKey | null, prefix: string | null): readonly [from: Buffer, to: Buffer] {
    let from = Buffer.from([this.#number, kindEntity]);
    let to = Buffer.from([this.#number, kindPart]);
    if (prefix !== null) {
      from = Buffer.from(this.entityKey(prefix));
      to = Buffer.concat([from, Buffer.alloc(1, 0xff)]); // no UTF-8 byte is 0xff
    }
    if (after !== null) from = Buffer.concat([this.entityKey(after), Buffer.alloc(1)]);
    return [from, to];
  }

  keyOf(entityKey: Buffer): StateKey {
    return readKey(entityKey, 2, entityKey.length);
  }

  /** Begins a value; its payload is written into the returned writer. */
  begin(newestMs: number): ByteWriter {
    const writer = this.#writer;
    writer.clear();
    writer.reserve(keyRoom);
    writer.at = keyRoom;
    writer.u32(0);
    writer.u8(this.#layout.version);
    writer.f64(newestMs);
    return writer;
  }

  /** Seals the value that was begun, for the key that was written last. */
  seal(): Buffer {
    const [keyBuffer, keyEnd] = [this.#keyBuffer, this.#keyEnd];
    const { buffer, at: end } = this.#writer;
    const start = keyRoom + 4 - keyEnd;
    if (start < 0) {
      const ofKey = crc32(keyBuffer.subarray(0, keyEnd));
      buffer.writeUInt32LE(crc32(buffer.subarray(keyRoom + 4, end), ofKey), keyRoom);
    } else {
      // One call for both: the key goes in front of what follows the checksum, whose place is free as yet.
      copyBytes(keyBuffer, 0, keyEnd, buffer, start);
      buffer.writeUInt32LE(crc32Of(buffer, start, end), keyRoom);
    }
    return this.#valueViews.to(buffer, end);
  }

  newestMs(value: Buffer): number {
    return value.readDoubleLE(newestAt);
  }

  /** Sets a reader on the payload of the value of the key that was written last. @throws KAPPA_STATE_CORRUPT */
  open(value: Buffer, key: StateKey, reader: ByteReader): ByteReader {
    const { store, version } = this.#layout;
    const stored = value.length >= prefixBytes ? value.readUInt32LE(0) : -1;
    const computed = crc32(value.subarray(4), crc32(this.#keyBuffer.subarray(0, this.#keyEnd)));
    if (stored !== computed) {
      const message = `store ${store}: a value of ${value.length} bytes has checksum ${stored}, its content ${computed}`;
      throw new KappaError("KAPPA_STATE_CORRUPT", message, { store, key });
    }
    if (value[4] !== version) {
      const message = `store ${store}: a value has layout ${value[4]}, the store ${version}`;
      throw new KappaError("KAPPA_STATE_CORRUPT", message, { store, key });
    }
    return reader.reset(value, prefixBytes);
  }
}
