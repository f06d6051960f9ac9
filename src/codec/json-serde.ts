import { nestingMax, unfit, unreadable, valueBytesMax } from "./invalid-record.ts";
import { type Conform, jsonConformer } from "./json-conformer.ts";
import type { RecordSchema } from "./record-schema.ts";
import type { Serde } from "./serde.ts";

/**
 * JSON text of the values that the Avro serde of the same schema gives: absent is the default or null, fields that the
 * schema does not know are passed over (`__proto__` is one of them), and every other field is checked as it comes in
 * and as it goes out.
 */
export class JsonSerde<Value> implements Serde<Value> {
  readonly #read: Conform;
  readonly #written: Conform;

  constructor(schema: RecordSchema<Value>) {
    this.#read = jsonConformer(schema.avro, misread);
    this.#written = jsonConformer(schema.avro, unfit);
  }

  decode(buffer: Buffer, start: number, end: number): Value {
    if (end - start > valueBytesMax) unreadable("limits", `value of ${end - start} bytes, limit ${valueBytesMax}`);
    if (deeperThan(nestingMax, buffer, start, end)) unreadable("limits", `value nested deeper than ${nestingMax}`);
    let parsed: unknown;
    try {
      parsed = JSON.parse(buffer.toString("utf8", start, end));
    } catch (cause) {
      // The parser's message quotes the text, which is personal data: it stays in the cause.
      unreadable("decode", `${end - start} bytes that are not JSON`, {}, cause);
    }
    return this.#read(parsed) as Value;
  }

  encode(value: Value, buffer: Buffer, at: number): number {
    const text = JSON.stringify(this.#written(value));
    const length = Buffer.byteLength(text);
    if (at + length > buffer.length) return buffer.length - at - length;
    return at + buffer.write(text, at, length, "utf8");
  }
}

function misread(field: string, expected: string, value: unknown): never {
  try {
    return unfit(field, expected, value);
  } catch (error) {
    return unreadable("decode", (error as Error).message, { field });
  }
}

/**
 * Whether brackets outside of strings nest deeper than `limit`. Most values have no more opening brackets than that, in
 * strings or not, and are told by counting them.
 */
function deeperThan(limit: number, buffer: Buffer, start: number, end: number): boolean {
  let brackets = 0;
  for (let i = start; i < end; i++) if (((buffer[i] as number) | 0x20) === 0x7b) brackets++; // [ or {
  if (brackets <= limit) return false;
  let depth = 0;
  let quoted = false;
  for (let i = start; i < end; i++) {
    const byte = buffer[i] as number;
    if (byte === 0x22) quoted = !quoted;
    else if (quoted) {
      if (byte === 0x5c) i++; // a backslash takes the next byte with it
    } else if ((byte | 0x20) === 0x7b) {
      depth++;
      if (depth > limit) return true;
    } else if ((byte | 0x20) === 0x7d) depth--;
  }
  return false;
}
