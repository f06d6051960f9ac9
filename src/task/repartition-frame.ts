import type { RecordBatchWriter } from "../log/record-batch.ts";

/**
 * The value of a record of a repartition topic: what one commit of one task sends to one partition.
 *
 *     | version u8 | caughtUp u8 | frontierRank u8 | parts u8 | source u32 | generation f64 | frontierTimeMs f64 | parts
 *     part: | port u32 | length u32 | row batch |
 *
 * A frame without parts carries the frontier alone. The parts of a frame are the streams of the key space; the row
 * counters in them tell how they interleave.
 */
const version = 1;
const headerLength = 24;

/** Reads the head of frames; one serves any number of them. */
export class RepartitionFrame {
  source = 0;
  generation = 0;
  frontierTimeMs = 0;
  frontierRank = 0;
  caughtUp = false;
  parts = 0;

  read(bytes: Buffer): void {
    this.caughtUp = bytes[1] === 1;
    this.frontierRank = bytes[2] as number;
    this.parts = bytes[3] as number;
    this.source = bytes.readUInt32LE(4);
    this.generation = bytes.readDoubleLE(8);
    this.frontierTimeMs = bytes.readDoubleLE(16);
  }

  static forEachPart(bytes: Buffer, visit: (port: number, batch: Buffer) => void): void {
    const parts = bytes[3] as number;
    let at = headerLength;
    for (let i = 0; i < parts; i++) {
      const port = bytes.readUInt32LE(at);
      const length = bytes.readUInt32LE(at + 4);
      visit(port, bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length;
    }
  }
}

/** What the head of a frame says. */
export interface FrameHead {
  readonly source: number;
  readonly generation: number;
  readonly frontierTimeMs: number;
  readonly frontierRank: number;
  readonly caughtUp: boolean;
}

/** Appends a frame as one record; `timeMs` becomes the record's timestamp. */
export function appendFrame(
  writer: RecordBatchWriter,
  timeMs: number,
  head: FrameHead,
  ports: readonly number[],
  batches: readonly Buffer[],
): void {
  writer.begin(timeMs, null);
  let length = headerLength;
  for (const batch of batches) length += 8 + batch.length;
  writer.reserve(length);
  const { buffer } = writer;
  let at = writer.at;
  buffer[at] = version;
  buffer[at + 1] = head.caughtUp ? 1 : 0;
  buffer[at + 2] = head.frontierRank;
  buffer[at + 3] = batches.length;
  buffer.writeUInt32LE(head.source, at + 4);
  buffer.writeDoubleLE(head.generation, at + 8);
  buffer.writeDoubleLE(head.frontierTimeMs, at + 16);
  at += headerLength;
  for (let i = 0; i < batches.length; i++) {
    const batch = batches[i] as Buffer;
    buffer.writeUInt32LE(ports[i] as number, at);
    buffer.writeUInt32LE(batch.length, at + 4);
    buffer.set(batch, at + 8);
    at += 8 + batch.length;
  }
  writer.advance(length);
  writer.end();
}
