import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib";
import { ScratchBytes } from "../core/scratch-bytes.ts";
import { decodeLz4, encodeLz4 } from "./lz4.ts";
import { RepeatedBytes } from "./repeated-bytes.ts";
import { decodeSnappy, encodeSnappy } from "./snappy.ts";

/** How the records of a batch are compressed, with the number that stands for it in the attributes of the batch. */
export const kafkaCompressions = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;

export type KafkaCompression = keyof typeof kafkaCompressions;

const compressionNames = Object.keys(kafkaCompressions);

/**
 * What a batch may unpack to, in bytes. A few bytes that unpack to gigabytes would end the process, so a batch is
 * refused above 64 MiB, and above 1 MiB when that is more than 100 times what it takes packed.
 */
const unpackedMax = 64 << 20;
const unpackedAlways = 1 << 20;
const ratioMax = 100;

/** What zlib takes at once if it is not told otherwise. */
const chunkMin = 16 << 10;

/** Unpacks records. Synchronous: a batch has to come out before the next one, and takes less than a ms. */
export class KafkaDecompressor {
  readonly #scratch: ScratchBytes = new ScratchBytes();

  /**
   * The records that `codec` packed into the bytes from `at` to `end`; valid until the next call.
   *
   * @throws Error when they are damaged, unpack to too much, or the codec is none
   */
  decompress(codec: number, bytes: Buffer, at: number, end: number): Buffer {
    const limit = Math.min(unpackedMax, Math.max(unpackedAlways, (end - at) * ratioMax));
    // Most batches come out as one chunk then, which need not be joined with others.
    const chunkSize = Math.min(unpackedAlways, Math.max(chunkMin, (end - at) * 4));
    this.#scratch.trim();
    switch (codec) {
      case kafkaCompressions.gzip:
        return gunzipSync(bytes.subarray(at, end), { maxOutputLength: limit, chunkSize });
      case kafkaCompressions.zstd:
        return zstdDecompressSync(bytes.subarray(at, end), { maxOutputLength: limit, chunkSize });
      case kafkaCompressions.snappy:
        return this.#unpacked(decodeSnappy(bytes, at, end, this.#scratch, limit));
      case kafkaCompressions.lz4:
        return this.#unpacked(decodeLz4(bytes, at, end, this.#scratch, limit));
      default:
        throw new Error("an unknown codec");
    }
  }

  #unpacked(length: number): Buffer {
    return this.#scratch.bytes.subarray(0, length);
  }
}

/** Packs records. */
export class KafkaCompressor {
  readonly #compression: KafkaCompression;
  readonly #scratch: ScratchBytes = new ScratchBytes();
  readonly #repeated: RepeatedBytes = new RepeatedBytes();

  constructor(compression: KafkaCompression) {
    this.#compression = compression;
  }

  /** The number of the codec. */
  get codec(): number {
    return kafkaCompressions[this.#compression];
  }

  /** The bytes from `at` to `end`, packed; valid until the next call. */
  compress(bytes: Buffer, at: number, end: number): Buffer {
    switch (this.#compression) {
      case "none":
        return bytes.subarray(at, end);
      case "gzip":
        return gzipSync(bytes.subarray(at, end));
      case "zstd":
        return zstdCompressSync(bytes.subarray(at, end));
      case "snappy":
        return this.#packed(encodeSnappy(bytes, at, end, this.#scratch, this.#repeated));
      case "lz4":
        return this.#packed(encodeLz4(bytes, at, end, this.#scratch, this.#repeated));
      default:
        return this.#compression satisfies never;
    }
  }

  #packed(length: number): Buffer {
    return this.#scratch.bytes.subarray(0, length);
  }
}

/** The name of a codec, for a message. */
export function compressionName(codec: number): string {
  return compressionNames[codec] ?? `codec ${codec}`;
}
