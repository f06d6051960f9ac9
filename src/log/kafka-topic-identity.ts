import type { WireExchange } from "kafkajs/src/cluster/index.js";
import { WireBytes } from "./kafka-fetch.ts";
import type { TopicIdentity } from "./log.ts";

/** Metadata in version 12, the first ones that name the id of a topic; kafkajs speaks older ones. */
export const metadataKey = 3;
export const metadataVersion = 12;
const idLength = 16;

/** What a broker says of one topic; an error is the number of a protocol error, 0 for none. */
export interface IdentityAnswer {
  readonly error: number;
  readonly identity: TopicIdentity;
}

export function identityExchange(topic: string): WireExchange<IdentityAnswer> {
  return {
    request: {
      apiKey: metadataKey,
      apiVersion: metadataVersion,
      apiName: "Metadata",
      encode: async () => new WireBytes(encode(topic)),
    },
    response: { decode: async (bytes) => decode(bytes), parse: async (answer) => answer },
    logResponseError: false,
  };
}

/**
 *     | tags = 0 | topics | create u8 = 0 | rights u8 = 0 | tags = 0 |
 *     topic: | id, 16 bytes = 0 | name | tags = 0 |
 *
 * Counts and lengths are varints, one more than what they count. The first tags belong to the head, which kafkajs writes
 * as older requests have it.
 */
function encode(topic: string): Buffer {
  const name = Buffer.from(topic);
  return Buffer.concat([
    Buffer.from([0, 2]),
    Buffer.alloc(idLength),
    varint(name.length + 1),
    name,
    Buffer.from([0, 0, 0, 0]),
  ]);
}

/**
 *     | tags | throttle i32 | brokers | cluster | controller i32 | topics ...
 *     broker: | number i32 | host | port i32 | rack | tags |
 *     topic: | error i16 | name | id, 16 bytes | internal u8 | partitions ...
 */
function decode(bytes: Buffer): IdentityAnswer & { readonly clientSideThrottleTime: number } {
  const reader = new FlexibleReader(bytes);
  reader.tags();
  const clientSideThrottleTime = reader.int32();
  for (let brokers = reader.count(); brokers > 0; brokers--) {
    reader.skip(4);
    reader.text();
    reader.skip(4);
    reader.text();
    reader.tags();
  }
  reader.text();
  reader.skip(4);
  reader.count();
  const error = reader.int16();
  reader.text();
  const id = reader.take(idLength).toString("base64url");
  reader.skip(1);
  return { error, identity: { id, partitions: reader.count() }, clientSideThrottleTime };
}

/** Reads what flexible versions of the protocol are made of. */
class FlexibleReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(length: number): void {
    this.#at += length;
  }

  take(length: number): Buffer {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  int16(): number {
    return this.take(2).readInt16BE();
  }

  int32(): number {
    return this.take(4).readInt32BE();
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes.readUInt8(this.#at++);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  /** Elements of an array; 0 for one that is null. */
  count(): number {
    return Math.max(0, this.#varint() - 1);
  }

  /** Passes over a text. */
  text(): void {
    this.skip(this.count());
  }

  tags(): void {
    for (let left = this.#varint(); left > 0; left--) {
      this.#varint();
      this.skip(this.#varint());
    }
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}
