import type { Column } from "../codec/column.ts";
import { RowBatchReader } from "../codec/row-batch.ts";
import { KappaError } from "../core/errors.ts";
import type { Cursor, RecordBatch } from "../log/log.ts";
import { RecordBatchReader } from "../log/record-batch.ts";
import type { Value } from "../topology/graph.ts";
import type { Intake } from "./intake.ts";
import type { RowSource } from "./partition-group.ts";
import { RepartitionFrame } from "./repartition-frame.ts";
import { Row } from "./row.ts";

interface HeldFrame {
  readonly offset: number;
  readonly bytes: Buffer;
}

/** Takes the place of a frame that was opened, until the places are given back. */
const spentFrame: HeldFrame = { offset: -1, bytes: Buffer.alloc(0) };

/** What rows of one stream of a key space look like, and which node they continue at. */
export interface Port {
  readonly node: number;
  readonly columns: readonly Column[];
}

/** Where a lane goes on, as the last commit record has it. */
export interface LaneStart {
  /** Counter of the last row taken; -1 for none. */
  readonly consumed: number;
  /** Nothing that sorts before this comes after that row. */
  readonly orderTimeMs: number;
  readonly rank: number;
  /** The run in which the upstream task had said last that it has no more; 0 for none. */
  readonly caughtUpIn: number;
}

/** What the upstream tasks of a stage have said, as a commit record keeps it: one value a lane. */
export interface LanesHeard {
  readonly orderTimeMs: readonly number[];
  readonly rank: readonly number[];
  /**
   * The run in which the task said last that it has no more, 0 for none; it counts in no other. Not only of the run that
   * the commit was made in: a process that has not heard of a new one yet takes what is said in it, and it is said once.
   */
  readonly caughtUpIn: readonly number[];
}

/**
 * The rows that one upstream task sends to this task, in the order it emitted them. Frames are held as bytes and
 * decoded when they reach the head; the physical order in which upstream tasks append is never used.
 */
export class Lane implements RowSource {
  readonly #ports: readonly Port[];
  readonly #readers: RowBatchReader[];
  readonly #live: boolean[];
  readonly #generation: number;
  readonly #intake: Intake;
  readonly #frames: HeldFrame[] = [];
  #nextFrame = 0;
  #current: HeldFrame | null = null;
  /** Port whose reader stands on the head, or -1. */
  #head = -1;
  #consumed: number;
  #taken: number;
  #frontierTimeMs: number;
  #frontierRank: number;
  /** See `LanesHeard`. */
  #caughtUpIn = 0;
  /** The same as of the commit that the lane goes on from. */
  readonly #wasCaughtUpIn: number;
  spoken = 0;
  heldBytes = 0;

  /** @param generation of this run: only frames written in it can say that their writer has caught up */
  constructor(ports: readonly Port[], generation: number, from: LaneStart, intake: Intake) {
    this.#ports = ports;
    this.#readers = ports.map((port) => new RowBatchReader(port.columns));
    this.#live = ports.map(() => false);
    this.#generation = generation;
    this.#consumed = from.consumed;
    this.#taken = this.#frontierTimeMs = from.orderTimeMs;
    this.#frontierRank = from.rank;
    this.#wasCaughtUpIn = from.caughtUpIn;
    this.#intake = intake;
  }

  /** A frame of this lane, in log order. */
  push(offset: number, frame: RepartitionFrame, bytes: Buffer): void {
    if (frame.parts > 0) {
      // A copy: the bytes lie in a window of the log, 20 times as large, that would stay in memory with them.
      this.#frames.push({ offset, bytes: Buffer.from(bytes) });
      this.heldBytes += bytes.length;
    }
    this.#frontierTimeMs = frame.frontierTimeMs;
    this.#frontierRank = frame.frontierRank;
    this.#caughtUpIn = frame.caughtUp ? frame.generation : 0;
    this.spoken++;
  }

  get ready(): boolean {
    return this.#head >= 0;
  }

  get orderTimeMs(): number {
    return this.#head >= 0 ? (this.#readers[this.#head] as RowBatchReader).orderTimeMs : this.#frontier();
  }

  /** While frames wait undecoded the frontier they came with is ahead of their rows. */
  #frontier(): number {
    return this.#nextFrame < this.#frames.length ? this.#taken : this.#frontierTimeMs;
  }

  get rank(): number {
    return this.#head >= 0 ? (this.#readers[this.#head] as RowBatchReader).rank : this.#frontierRank;
  }

  get sequence(): number {
    return this.#head >= 0 ? (this.#readers[this.#head] as RowBatchReader).sequence : -1;
  }

  /** The newest frontier heard, whether or not the rows before it were taken. */
  get heardTimeMs(): number {
    return this.#frontierTimeMs;
  }

  /** Whether the upstream task said that it has no more, whether or not its rows were taken. */
  get heardCaughtUp(): boolean {
    return this.#caughtUpIn === this.#generation;
  }

  get caughtUp(): boolean {
    return this.heardCaughtUp && this.#empty;
  }

  get #empty(): boolean {
    return this.#head < 0 && this.#nextFrame >= this.#frames.length;
  }

  /** What is promised of the rows that are not taken: nothing of them sorts before (time, rank). */
  get promisedTimeMs(): number {
    return this.#empty ? this.#frontierTimeMs : this.#taken;
  }
  get promisedRank(): number {
    return this.#empty ? this.#frontierRank : 0;
  }

  /** Where the upstream task said last that it has no more, be it before the task was opened; of what is not held. */
  get promisedCaughtUpIn(): number {
    if (this.spoken === 0) return this.#wasCaughtUpIn;
    return this.#empty ? this.#caughtUpIn : 0;
  }

  /** Every frame that was there when the task was opened has been read: who was silent meanwhile is as it was. */
  readToEnd(): void {
    if (this.spoken === 0) this.#caughtUpIn = this.#wasCaughtUpIn;
  }

  /** Counter of the last row taken. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Offset of the oldest frame that is not fully taken, or -1. */
  get oldestFrame(): number {
    return this.#current?.offset ?? this.#frames[this.#nextFrame]?.offset ?? -1;
  }

  refresh(): void {
    if (this.#head < 0) this.#seekHead();
  }

  take(): Row {
    const port = this.#head;
    const reader = this.#readers[port] as RowBatchReader;
    const row = new Row(
      reader.value() as Value,
      reader.timeMs,
      reader.orderTimeMs,
      reader.rank,
      (this.#ports[port] as Port).node,
      reader.sequence,
    );
    row.late = reader.late;
    this.#consumed = reader.sequence;
    this.#taken = reader.orderTimeMs;
    this.#intake.take(reader.rowBytes);
    this.#live[port] = reader.next();
    this.#seekHead();
    return row;
  }

  /** The port whose row has the lowest counter; opens the next frame when the current one is used up. */
  #seekHead(): void {
    for (;;) {
      let head = -1;
      let lowest = 0;
      for (let port = 0; port < this.#live.length; port++) {
        if (!this.#live[port]) continue;
        const { sequence } = this.#readers[port] as RowBatchReader;
        if (head < 0 || sequence < lowest) {
          head = port;
          lowest = sequence;
        }
      }
      this.#head = head;
      if (head >= 0 || !this.#openNextFrame()) return;
    }
  }

  #openNextFrame(): boolean {
    if (this.#current !== null) {
      this.heldBytes -= this.#current.bytes.length;
      this.#current = null;
    }
    const frame = this.#frames[this.#nextFrame];
    if (frame === undefined) {
      if (this.#nextFrame > 0) {
        this.#frames.length = 0;
        this.#nextFrame = 0;
      }
      return false;
    }
    this.#frames[this.#nextFrame] = spentFrame;
    this.#nextFrame++;
    if (this.#nextFrame >= 1024) {
      this.#frames.splice(0, this.#nextFrame);
      this.#nextFrame = 0;
    }
    this.#current = frame;
    RepartitionFrame.forEachPart(frame.bytes, (port, bytes) => {
      const reader = this.#readers[port] as RowBatchReader;
      reader.reset(bytes);
      // Rows at or below the counter were taken before a restart.
      let live = reader.next();
      while (live && reader.sequence <= this.#consumed) live = reader.next();
      this.#live[port] = live;
    });
    return true;
  }
}

/** The repartition topic of a key space, as one lane an upstream task. */
export class LaneInput {
  readonly topic: string;
  readonly lanes: readonly Lane[];
  readonly #cursor: Cursor;
  readonly #reader = new RecordBatchReader();
  readonly #frame = new RepartitionFrame();
  #next: number;
  #readToEnd = false;

  constructor(topic: string, cursor: Cursor, lanes: readonly Lane[]) {
    this.topic = topic;
    this.#cursor = cursor;
    this.lanes = lanes;
    this.#next = Number(cursor.position);
  }

  /** Hands every frame that is visible to its lane. */
  poll(): void {
    for (let batch = this.#fetched(); batch !== undefined; batch = this.#fetched()) {
      this.#reader.reset(batch.bytes);
      this.#next = Number(batch.baseOffset);
      while (this.#reader.next()) {
        const bytes = this.#reader.value() as Buffer;
        this.#frame.read(bytes);
        this.lanes[this.#frame.source]?.push(this.#next, this.#frame, bytes);
        this.#next++;
      }
    }
    this.#next = Number(this.#cursor.position);
    if (this.#readToEnd || !this.#cursor.caughtUp()) return;
    this.#readToEnd = true;
    for (const lane of this.lanes) lane.readToEnd();
  }

  #fetched(): RecordBatch | undefined {
    try {
      return this.#cursor.next();
    } catch (error) {
      throw trimmedByOwner(error);
    }
  }

  /**
   * What a restart must know besides the rows: a task that has nothing to send says so once, perhaps long ago, and is
   * waited for by whoever did not hear it.
   */
  get heard(): LanesHeard {
    const { lanes } = this;
    return {
      orderTimeMs: lanes.map((lane) => lane.promisedTimeMs),
      rank: lanes.map((lane) => lane.promisedRank),
      caughtUpIn: lanes.map((lane) => lane.promisedCaughtUpIn),
    };
  }

  /** Offset to read from after a restart: every frame before it was taken whole. */
  get position(): number {
    let position = this.#next;
    for (const lane of this.lanes) {
      const oldest = lane.oldestFrame;
      if (oldest >= 0 && oldest < position) position = oldest;
    }
    return position;
  }

  get heldBytes(): number {
    let bytes = 0;
    for (const lane of this.lanes) bytes += lane.heldBytes;
    return bytes;
  }

  close(): void {
    this.#cursor.close();
  }
}

/**
 * What only this task reads is trimmed only by its owner: if it is gone while the task runs, somebody else has opened the
 * task. Records that were lost otherwise are missed when it is opened again.
 */
export function trimmedByOwner(error: unknown): unknown {
  if (!(error instanceof KappaError) || error.code !== "KAPPA_LOG_TRUNCATED") return error;
  const message = `${error.message}: another process has opened the task and trimmed what it had taken`;
  return new KappaError("KAPPA_TASK_FENCED", message, error.context, error);
}
