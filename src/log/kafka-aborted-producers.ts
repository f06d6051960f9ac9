import { batchAttribute, batchField, batchHeadLength } from "./kafka-record-batch.ts";

/** A transaction that a broker says was aborted, and from which offset on it wrote. */
export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

/** The type in the key of a control record that ends an aborted transaction; 1 ends a committed one. */
const abortMarker = 0;

/**
 * Says, for the wire batches of one Fetch response in their order, which belong to aborted transactions: those of a
 * producer from the first offset of an entry on, up to its next abort marker. A producer can have several entries, with
 * committed transactions between them; the marker of the last one may lie beyond what was fetched.
 */
export class AbortedProducers {
  #transactions: readonly AbortedTransaction[] = [];
  #next = 0;
  readonly #producers = new Set<bigint>();

  /** Starts anew, with the entries of a response. */
  begin(transactions: readonly AbortedTransaction[]): void {
    this.#transactions = ascending(transactions)
      ? transactions
      : transactions.toSorted((a, b) => a.firstOffset - b.firstOffset);
    this.#next = 0;
    this.#producers.clear();
  }

  /** Takes note of the wire batch at `at`, and says whether its records were aborted. */
  aborted(bytes: Buffer, at: number, lastOffset: number): boolean {
    if (this.#transactions.length === 0) return false;
    const producerId = bytes.readBigInt64BE(at + batchField.producerId);
    for (; this.#next < this.#transactions.length; this.#next++) {
      const transaction = this.#transactions[this.#next];
      if (transaction === undefined || transaction.firstOffset > lastOffset) break;
      this.#producers.add(transaction.producerId);
    }
    const attributes = bytes.readInt16BE(at + batchField.attributes);
    if ((attributes & batchAttribute.control) === 0)
      return (attributes & batchAttribute.transactional) !== 0 && this.#producers.has(producerId);
    if (markerType(bytes, at) === abortMarker) this.#producers.delete(producerId);
    return false;
  }
}

function ascending(transactions: readonly AbortedTransaction[]): boolean {
  let before = Number.NEGATIVE_INFINITY;
  for (const { firstOffset } of transactions) {
    if (firstOffset < before) return false;
    before = firstOffset;
  }
  return true;
}

/**
 * The type of the control batch at `at`: its one record has the key `| version i16 | type i16 |`. -1 when compaction
 * took the record and left the batch.
 */
function markerType(bytes: Buffer, at: number): number {
  if (bytes.readInt32BE(at + batchField.recordCount) < 1) return -1;
  // Length, timestamp delta, offset delta and key length are passed over, and one byte of attributes.
  let keyAt = afterVarint(bytes, at + batchHeadLength) + 1;
  for (let i = 0; i < 3; i++) keyAt = afterVarint(bytes, keyAt);
  return bytes.readInt16BE(keyAt + 2);
}

function afterVarint(bytes: Buffer, varintAt: number): number {
  let at = varintAt;
  while (bytes.readUInt8(at) > 0x7f) at++;
  return at + 1;
}
