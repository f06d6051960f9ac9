import { assert } from "../core/assert.ts";
import type { Topic } from "./log.ts";

/**
 * The topics of a journal. A topic's id is its place in the order of creation; topics are never removed, so ids, and
 * the *slots* of all partitions counted through, mean the same in every segment and every process.
 *
 *     topic  0 (2 partitions)  1 (3 partitions)
 *     slot   0  1              2  3  4
 */
export class TopicTable {
  readonly #topics: Topic[] = [];
  readonly #firstSlots: number[] = [];
  readonly #ids = new Map<string, number>();
  #slotCount = 0;

  get length(): number {
    return this.#topics.length;
  }
  get slotCount(): number {
    return this.#slotCount;
  }
  get topics(): readonly Topic[] {
    return this.#topics;
  }

  /** @returns the id of the new topic */
  add(topic: Topic): number {
    assert(!this.#ids.has(topic.name), () => `topic ${topic.name} is added twice`);
    const id = this.#topics.length;
    this.#topics.push(topic);
    this.#firstSlots.push(this.#slotCount);
    this.#ids.set(topic.name, id);
    this.#slotCount += topic.partitions;
    return id;
  }

  byName(name: string): Topic | undefined {
    const id = this.#ids.get(name);
    return id === undefined ? undefined : this.#topics[id];
  }

  idOf(name: string): number {
    const id = this.#ids.get(name);
    assert(id !== undefined, () => `topic ${name} has no id`);
    return id;
  }

  /** The slot of a partition, or -1 when the table has no such topic or partition. */
  slotOf(id: number, partition: number): number {
    const topic = this.#topics[id];
    const first = this.#firstSlots[id];
    if (topic === undefined || first === undefined || partition < 0 || partition >= topic.partitions) return -1;
    return first + partition;
  }

  slotOfPartition(name: string, partition: number): number {
    const id = this.#ids.get(name);
    return id === undefined ? -1 : this.slotOf(id, partition);
  }
}

/** Body of the frame that creates a topic. */
export interface TopicNote {
  readonly id: number;
  readonly topic: Topic;
}

/** Body of the frame that begins a segment: with it a segment explains itself and older ones can be deleted. */
export interface SnapshotNote {
  readonly topics: readonly Topic[];
  /** The next offset of every slot when the segment began. */
  readonly nextOffsets: readonly number[];
}

/** Adds the topics of a snapshot that a table does not have yet. */
export function addSnapshot(table: TopicTable, snapshot: SnapshotNote): void {
  for (const topic of snapshot.topics.slice(table.length)) table.add(topic);
}

/** Adds the topic of a topic frame, unless a snapshot had it already. */
export function addTopic(table: TopicTable, note: TopicNote): void {
  if (note.id < table.length) return;
  assert(note.id === table.length, () => `topic ${note.topic.name} has id ${note.id}, the next is ${table.length}`);
  table.add(note.topic);
}
