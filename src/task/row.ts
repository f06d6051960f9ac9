import type { Value } from "../topology/graph.ts";

/**
 * One event on its way through a sub-topology: its value and where it stands in the order of the task. One object a
 * row; processors replace `value` and hand the same row on, or a copy where the way forks.
 */
export class Row {
  /** What the row holds now; null only for a tombstone of a table. */
  value: Value;
  /** True for a null value: the deletion of a table's key. */
  tombstone: boolean;
  /** Event time, epoch ms. */
  timeMs: number;
  /** Highest time of the task's order so far, this row included: what lateness is judged by. Never falls. */
  orderTimeMs: number;
  /** Order among rows of one instant: control 0, tables and labels 1, events 2. */
  rank: number;
  /** Whether the event was older than the grace when the first stage that judges it read it. */
  late: boolean;
  /** Node whose children get the row. */
  origin: number;
  /** Offset (inputs) or row counter of the sender (repartitioned rows). */
  sequence: number;

  constructor(value: Value, timeMs: number, orderTimeMs: number, rank: number, origin: number, sequence: number) {
    this.value = value;
    this.tombstone = false;
    this.timeMs = timeMs;
    this.orderTimeMs = orderTimeMs;
    this.rank = rank;
    this.late = false;
    this.origin = origin;
    this.sequence = sequence;
  }

  /** The same row with another value: where the way forks, each arm has a row of its own. */
  copy(): Row {
    const copy = new Row(this.value, this.timeMs, this.orderTimeMs, this.rank, this.origin, this.sequence);
    copy.tombstone = this.tombstone;
    copy.late = this.late;
    return copy;
  }
}
