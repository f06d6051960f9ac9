import type { WireEncoder, WireExchange } from "kafkajs/src/cluster/index.js";
import type { AbortedTransaction } from "./kafka-aborted-producers.ts";
import { readInt64, writeInt64 } from "./kafka-record-batch.ts";

/** Fetch in version 11, with record sets left as the bytes they are: kafkajs would make an object of every record. */
const fetchKey = 1;
const fetchVersion = 11;
const readCommitted = 1;

/** One partition that is asked for. */
export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  readonly fetchOffset: number;
}

/** What a broker says of one partition. */
export interface PartitionAnswer {
  readonly topic: string;
  readonly partition: number;
  /** Number of a protocol error; 0 for none. */
  readonly error: number;
  /** End of what read-committed readers may see. */
  readonly lastStableOffset: number;
  readonly aborted: readonly AbortedTransaction[];
  /** Batches as the log holds them, the last one perhaps cut. Valid while referenced. */
  readonly recordSet: Buffer;
}

export interface FetchAnswer {
  /** Of the whole request; 0 for none. */
  readonly error: number;
  readonly partitions: readonly PartitionAnswer[];
}

export interface FetchLimits {
  /** How long the broker waits for a first record, in ms. */
  readonly waitMs: number;
  /** Bytes of the whole answer; the first batch comes whatever its size. */
  readonly bytesMax: number;
  readonly partitionBytesMax: number;
}

/** Encoded bytes as kafkajs takes them. */
export class WireBytes implements WireEncoder {
  readonly buf: Buffer;

  constructor(bytes: Buffer) {
    this.buf = bytes;
  }

  get buffer(): Buffer {
    return this.buf;
  }

  size(): number {
    return this.buf.length;
  }
}

export function fetchExchange(wanted: readonly FetchedPartition[], limits: FetchLimits): WireExchange<FetchAnswer> {
  return {
    request: {
      apiKey: fetchKey,
      apiVersion: fetchVersion,
      apiName: "Fetch",
      encode: async () => new WireBytes(encodeFetch(wanted, limits)),
    },
    response: { decode: async (bytes) => decodeFetch(bytes), parse: async (answer) => answer },
    requestTimeout: limits.waitMs + 10_000,
    logResponseError: false,
  };
}

/**
 *     | replica i32 = -1 | wait i32 | minBytes i32 | maxBytes i32 | isolation i8 | session i32 = 0 | epoch i32 = -1
 *     | topics | forgotten i32 = 0 | rack string = "" |
 *     topic: | name | partitions |    partition: | number i32 | leaderEpoch i32 = -1 | offset i64 | start i64 = -1 | maxBytes i32 |
 *
 * Every partition is its own topic entry: their order is the order in which the broker fills the answer.
 */
function encodeFetch(
  wanted: readonly FetchedPartition[],
  { waitMs, bytesMax, partitionBytesMax }: FetchLimits,
): Buffer {
  let length = 25 + 4 + 4 + 2;
  for (const { topic } of wanted) length += 2 + Buffer.byteLength(topic) + 4 + 28;
  const bytes = Buffer.alloc(length);
  let at = bytes.writeInt32BE(-1, 0);
  at = bytes.writeInt32BE(waitMs, at);
  at = bytes.writeInt32BE(1, at);
  at = bytes.writeInt32BE(bytesMax, at);
  at = bytes.writeInt8(readCommitted, at);
  at = bytes.writeInt32BE(0, at);
  at = bytes.writeInt32BE(-1, at);
  at = bytes.writeInt32BE(wanted.length, at);
  for (const { topic, partition, fetchOffset } of wanted) {
    const written = bytes.write(topic, at + 2);
    bytes.writeInt16BE(written, at);
    at = bytes.writeInt32BE(1, at + 2 + written);
    at = bytes.writeInt32BE(partition, at);
    at = bytes.writeInt32BE(-1, at);
    writeInt64(bytes, fetchOffset, at);
    writeInt64(bytes, -1, at + 8);
    at = bytes.writeInt32BE(partitionBytesMax, at + 16);
  }
  at = bytes.writeInt32BE(0, at);
  bytes.writeInt16BE(0, at);
  return bytes;
}

/**
 *     | throttle i32 | error i16 | session i32 | topics |
 *     topic: | name | partitions |
 *     partition: | number i32 | error i16 | highWatermark i64 | lastStable i64 | start i64 | aborted | replica i32 | length i32 | records |
 */
function decodeFetch(bytes: Buffer): FetchAnswer & { readonly clientSideThrottleTime: number } {
  const partitions: PartitionAnswer[] = [];
  const clientSideThrottleTime = bytes.readInt32BE(0);
  const error = bytes.readInt16BE(4);
  let at = 14;
  for (let topics = bytes.readInt32BE(10); topics > 0; topics--) {
    const nameLength = bytes.readInt16BE(at);
    const topic = bytes.toString("utf8", at + 2, at + 2 + nameLength);
    at += 2 + nameLength;
    const count = bytes.readInt32BE(at);
    at += 4;
    for (let i = 0; i < count; i++) {
      const aborted: AbortedTransaction[] = [];
      let end = at + 34;
      for (let left = bytes.readInt32BE(at + 30); left > 0; left--) {
        aborted.push({ producerId: bytes.readBigInt64BE(end), firstOffset: readInt64(bytes, end + 8) });
        end += 16;
      }
      const length = Math.max(0, bytes.readInt32BE(end + 4));
      partitions.push({
        topic,
        partition: bytes.readInt32BE(at),
        error: bytes.readInt16BE(at + 4),
        lastStableOffset: readInt64(bytes, at + 14),
        aborted,
        recordSet: bytes.subarray(end + 8, end + 8 + length),
      });
      at = end + 8 + length;
    }
  }
  return { error, partitions, clientSideThrottleTime };
}
