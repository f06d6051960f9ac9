/**
 * Values of one topic to bytes and back. Synchronous, and without an object of its own per record: bytes are read from
 * and written into the buffers that the log handed out.
 */
export interface Serde<Value> {
  /**
   * Decodes exactly the bytes from `start` to `end`.
   * @throws KAPPA_RECORD_INVALID or KAPPA_SCHEMA_UNKNOWN, with the `InvalidReason` as `reason` in the context
   */
  decode(buffer: Buffer, start: number, end: number): Value;

  /**
   * Encodes in place.
   * @returns the position behind the value, or a negative number when `buffer` is too small: then nothing counts as
   *   written, and the same call with more room succeeds
   * @throws KAPPA_RECORD_INVALID naming the `field` that does not fit the schema
   */
  encode(value: Value, buffer: Buffer, at: number): number;
}
