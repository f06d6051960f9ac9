import { unreadable } from "./invalid-record.ts";

/**
 * The Confluent wire format, which every schema registry client speaks:
 *
 *     | 0x00 | schema id u32 BE | Avro binary |
 *
 * https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
 */
export const wireHeaderLength = 5;
const magicByte = 0;

/** @throws KAPPA_RECORD_INVALID when the bytes do not begin as the format says */
export function readSchemaId(buffer: Buffer, start: number, end: number): number {
  if (end - start < wireHeaderLength) {
    unreadable("decode", `value of ${end - start} bytes, the schema id alone takes ${wireHeaderLength}`);
  }
  const magic = buffer[start];
  if (magic !== magicByte)
    unreadable("decode", `value begins with byte ${magic}, not ${magicByte}: it has no schema id`);
  return buffer.readUInt32BE(start + 1);
}

/** Writes the header at `at`. The buffer has room for it. */
export function writeSchemaId(id: number, buffer: Buffer, at: number): void {
  buffer[at] = magicByte;
  buffer.writeUInt32BE(id, at + 1);
}
