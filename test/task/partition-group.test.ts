import assert from "node:assert/strict";
import { test } from "vitest";
import { PartitionGroup, type RowSource } from "../../src/task/partition-group.ts";
import { Row } from "../../src/task/row.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";

const mergeWaitMs = 5;

/** A partition of which rows become visible when they are looked for. */
class Partition implements RowSource {
  readonly rank = 2;
  readonly log: number[] = [];
  sequence = -1;
  orderTimeMs = 0;
  ready = false;
  spoken = 0;

  get caughtUp(): boolean {
    return !this.ready && this.log.length === 0;
  }

  refresh(): void {
    const timeMs = this.ready ? undefined : this.log.shift();
    if (timeMs === undefined) return;
    this.ready = true;
    this.orderTimeMs = timeMs;
    this.sequence++;
    this.spoken++;
  }

  take(): Row {
    this.ready = false;
    return new Row({}, this.orderTimeMs, this.orderTimeMs, this.rank, 0, this.sequence);
  }
}

test("a source that was passed over is looked at again before a row of the same transaction is taken elsewhere", () => {
  const clock = new ManualClock();
  const [silent, other] = [new Partition(), new Partition()];
  const group = new PartitionGroup([silent, other], clock, mergeWaitMs, false);
  other.log.push(1);
  group.refresh();
  assert.equal(group.next(), null, "the silent one is waited for");
  clock.advance(mergeWaitMs);
  assert.equal(group.next()?.timeMs, 1, "and passed over");

  // Within one cycle: the group has looked, then a transaction comes that both have rows of.
  other.log.push(2);
  group.refresh();
  silent.log.push(5);
  other.log.push(10);
  const taken: number[] = [];
  for (let row = group.next(); row !== null; row = group.next()) {
    taken.push(row.timeMs);
    if (taken.length === 3) break;
    other.refresh();
  }
  assert.deepEqual(taken, [2, 5]);
  clock.advance(mergeWaitMs);
  assert.equal(group.next()?.timeMs, 10);
  assert.deepEqual(group.takeChoices(), []);
});

test("a row is taken late when a row that sorts behind it was, whatever was taken late in between", () => {
  const clock = new ManualClock();
  const sources = [new Partition(), new Partition(), new Partition()];
  const [first, second, third] = sources as [Partition, Partition, Partition];
  const group = new PartitionGroup(sources, clock, mergeWaitMs, false);
  const take = (): number | undefined => {
    group.refresh();
    const row = group.next();
    if (row !== null) return row.sequence;
    clock.advance(mergeWaitMs);
    const passed = group.next();
    if (passed !== null) return passed.sequence;
    clock.advance(mergeWaitMs);
    return group.next()?.sequence;
  };

  // All of one instant: the third source has spoken, then the first, then the second.
  third.log.push(7);
  assert.equal(take(), 0);
  first.log.push(7);
  assert.equal(take(), 0);
  second.log.push(7);
  assert.equal(take(), 0);
  // The order has reached the third source, so its next row is in order.
  third.log.push(7);
  assert.equal(take(), 1);
  assert.deepEqual(group.takeChoices(), [
    { source: 0, sequence: 0, count: 1, afterSource: 2, afterSequence: 0 },
    { source: 1, sequence: 0, count: 1, afterSource: 0, afterSequence: 0 },
  ]);
});
