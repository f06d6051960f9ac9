import type { Serde } from "../codec/serde.ts";
import { beginningOfTimeMs } from "../core/time.ts";
import type { Cursor } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { StreamSourceNode, TableSourceNode, Value } from "../topology/graph.ts";
import type { InputPosition } from "./commit-record.ts";
import { attemptsOf, type DeadLetters, passedBefore } from "./dead-letter.ts";
import { InputDecoder, type TimeBounds } from "./input-decoder.ts";
import type { Intake } from "./intake.ts";
import type { RowSource } from "./partition-group.ts";
import { Row } from "./row.ts";

/** What a dead letter takes in the log beside the bytes of its record, about. */
const letterBytes = 1024;

/** Memory of a batch that is kept although the next ones are small. */
const keptBytesMax = 64 * 1024;

/**
 * One partition of an input topic as rows in offset order. Its order time is the highest event time read so far, so it
 * never falls. A record that cannot become a row is a dead letter of the same transaction as the rows around it. One
 * whose schema the registry has not told yet is neither: the source pauses in front of it, and other sources wait for it
 * as for one that is behind, while the log is asked for nothing more.
 */
export class InputSource implements RowSource {
  readonly node: StreamSourceNode | TableSourceNode;
  readonly rank: number;
  /** As `InputPosition` has it. */
  readonly topicId: string | undefined;
  readonly #cursor: Cursor;
  readonly #decoder: InputDecoder;
  readonly #dead: DeadLetters;
  readonly #intake: Intake;
  readonly #endOffset: number;
  readonly #reader = new RecordBatchReader();
  /** Offset of the next record that the reader gives. */
  #next: number;
  #memory: Buffer = Buffer.alloc(0);
  #head: Row | null = null;
  #headOffset = -1;
  #taken = beginningOfTimeMs;
  /** Whether records are left that wait for the next commit, since this one is full. */
  #stopped = false;
  /** Whether the reader stands on a record that cannot be judged yet, the one at `#next`. */
  #paused = false;
  spoken = 0;

  /**
   * @param endOffset where the run ends; Infinity for a run that goes on
   * @param from where to continue
   */
  constructor(
    node: StreamSourceNode | TableSourceNode,
    cursor: Cursor,
    serde: Serde<Value>,
    dead: DeadLetters,
    intake: Intake,
    bounds: TimeBounds,
    endOffset: number,
    from: InputPosition,
  ) {
    this.node = node;
    this.topicId = from.topicId;
    this.rank = node.kind === "table" ? 1 : node.rank;
    this.#cursor = cursor;
    this.#decoder = new InputDecoder(node, serde, bounds);
    this.#dead = dead;
    this.#intake = intake;
    this.#endOffset = endOffset;
    this.#next = from.offset;
    this.#taken = from.orderTimeMs;
  }

  get ready(): boolean {
    return this.#head !== null;
  }

  get orderTimeMs(): number {
    return this.#head === null ? this.#taken : this.#head.orderTimeMs;
  }

  get sequence(): number {
    return this.#headOffset;
  }

  get caughtUp(): boolean {
    if (this.#head !== null || this.#stopped || this.#paused) return false;
    return this.#next >= this.#endOffset || (this.#endOffset === Number.POSITIVE_INFINITY && this.#cursor.caughtUp());
  }

  /** Offset up to which every record is a taken row or a dead letter. */
  get position(): number {
    return this.#head === null ? this.#next : this.#headOffset;
  }

  /** Order time of what was taken, as a commit record keeps it. */
  get takenOrderTimeMs(): number {
    return this.#taken;
  }

  /** Records that are visible and not taken. */
  get lag(): number {
    return Math.max(0, Math.min(Number(this.#cursor.end), this.#endOffset) - this.position);
  }

  /** What a paused source waits for, in words; null when it is not paused. */
  get waitsFor(): string | null {
    return this.#paused ? this.#decoder.message : null;
  }

  take(): Row {
    const row = this.#head as Row;
    this.#taken = row.orderTimeMs;
    this.#head = null;
    this.#advance();
    return row;
  }

  refresh(): void {
    if (this.#head === null) this.#advance();
  }

  #advance(): void {
    this.#stopped = false;
    while (this.#next < this.#endOffset) {
      if (this.#intake.spent) {
        this.#stopped = true;
        return;
      }
      while (!this.#paused && !this.#reader.next()) {
        const batch = this.#cursor.next();
        if (batch === undefined) {
          // A log may leave offsets out; those are behind us too.
          this.#next = Math.max(this.#next, Number(this.#cursor.position));
          return;
        }
        this.#reader.reset(this.#kept(batch.bytes));
        this.#next = Number(batch.baseOffset);
        if (this.#next >= this.#endOffset) return;
      }
      const offset = this.#next;
      const row = this.#decode(offset);
      if (this.#paused) return;
      this.#next++;
      if (row === null) continue;
      this.#head = row;
      this.#headOffset = offset;
      this.spoken++;
      return;
    }
  }

  /** A copy in memory of our own: other sources look at the log before all of it is taken. */
  #kept(bytes: Buffer): Buffer {
    const tooLarge = this.#memory.length > keptBytesMax && bytes.length < this.#memory.length / 8;
    if (bytes.length > this.#memory.length || tooLarge) this.#memory = Buffer.allocUnsafeSlow(bytes.length * 2);
    bytes.copy(this.#memory);
    return this.#memory.subarray(0, bytes.length);
  }

  /** The row of the reader's current record, or null when it became a dead letter or the source pauses. */
  #decode(offset: number): Row | null {
    const decoder = this.#decoder;
    const reader = this.#reader;
    const bytes = reader.valueEnd - reader.valueAt;
    const value = decoder.decode(reader);
    const paused = this.#paused;
    this.#paused = decoder.pending;
    if (this.#paused) {
      // It has something to say: a source that was passed over as silent is waited for again.
      if (!paused) this.spoken++;
      return null;
    }
    if (value === null) {
      this.#intake.take(bytes + letterBytes);
      const { reason, message } = decoder;
      const { name, topic } = this.node;
      const { partition } = this.#cursor;
      this.#dead.bury(reader, { topic, partition, offset, stage: name, reason, message });
      return null;
    }
    this.#intake.take(bytes);
    const { timeMs } = decoder;
    const row = new Row(value, timeMs, Math.max(timeMs, this.#taken), this.rank, this.node.id, offset);
    row.tombstone = decoder.tombstone;
    if (attemptsOf(reader) > 0) {
      row.late = true;
      if (passedBefore(reader)) row.passed = "before";
    }
    return row;
  }

  close(): void {
    this.#cursor.close();
  }
}
