import type { WireExchange } from "kafkajs/src/cluster/index.js";
import { WireBytes } from "./kafka-fetch.ts";
import { readInt64 } from "./kafka-record-batch.ts";

/** Produce in version 7, with record batches that are encoded already. */
const produceKey = 0;
const produceVersion = 7;
const acksOfAll = -1;

/** One record batch for one partition: a request holds at most one for each. */
export interface ProducedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

/** What a broker says of one batch. */
export interface ProducedAnswer {
  readonly topic: string;
  readonly partition: number;
  /** Number of a protocol error; 0 for none. */
  readonly error: number;
  readonly baseOffset: number;
}

export function produceExchange(
  transactionalId: string,
  timeoutMs: number,
  batches: readonly ProducedBatch[],
): WireExchange<{ readonly batches: readonly ProducedAnswer[] }> {
  return {
    request: {
      apiKey: produceKey,
      apiVersion: produceVersion,
      apiName: "Produce",
      encode: async () => new WireBytes(encodeProduce(transactionalId, timeoutMs, batches)),
    },
    response: { decode: async (bytes) => decodeProduce(bytes), parse: async (answer) => answer },
    requestTimeout: timeoutMs,
    logResponseError: false,
  };
}

/**
 *     | transactionalId string | acks i16 | timeout i32 | topics |
 *     topic: | name | partitions |    partition: | number i32 | length i32 | batch |
 */
function encodeProduce(transactionalId: string, timeoutMs: number, batches: readonly ProducedBatch[]): Buffer {
  let length = 2 + Buffer.byteLength(transactionalId) + 6 + 4;
  for (const { topic, bytes } of batches) length += 2 + Buffer.byteLength(topic) + 12 + bytes.length;
  const request = Buffer.allocUnsafe(length);
  const idLength = request.write(transactionalId, 2);
  request.writeInt16BE(idLength, 0);
  let at = request.writeInt16BE(acksOfAll, 2 + idLength);
  at = request.writeInt32BE(timeoutMs, at);
  at = request.writeInt32BE(batches.length, at);
  for (const { topic, partition, bytes } of batches) {
    const nameLength = request.write(topic, at + 2);
    request.writeInt16BE(nameLength, at);
    at = request.writeInt32BE(1, at + 2 + nameLength);
    at = request.writeInt32BE(partition, at);
    at = request.writeInt32BE(bytes.length, at);
    at += bytes.copy(request, at);
  }
  return request;
}

/**
 *     | topics | throttle i32 |
 *     topic: | name | partitions |    partition: | number i32 | error i16 | baseOffset i64 | appendTime i64 | start i64 |
 */
function decodeProduce(bytes: Buffer): {
  readonly batches: readonly ProducedAnswer[];
  readonly clientSideThrottleTime: number;
} {
  const batches: ProducedAnswer[] = [];
  let at = 4;
  for (let topics = bytes.readInt32BE(0); topics > 0; topics--) {
    const nameLength = bytes.readInt16BE(at);
    const topic = bytes.toString("utf8", at + 2, at + 2 + nameLength);
    const count = bytes.readInt32BE(at + 2 + nameLength);
    at += 6 + nameLength;
    for (let i = 0; i < count; i++, at += 30) {
      const partition = bytes.readInt32BE(at);
      batches.push({ topic, partition, error: bytes.readInt16BE(at + 4), baseOffset: readInt64(bytes, at + 6) });
    }
  }
  return { batches, clientSideThrottleTime: bytes.readInt32BE(at) };
}
