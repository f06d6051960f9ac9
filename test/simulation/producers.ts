import { RecordBatchWriter } from "../../src/log/record-batch.ts";
import type { Random } from "./random.ts";
import type { Arrival } from "./scenario.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SimulatedCluster } from "./simulated-cluster.ts";
import type { SimulatedPartition } from "./simulated-partition.ts";

/** A record of an input, where it came to stand. */
export interface Fed extends Arrival {
  readonly offset: number;
}

/** The producers outside: they append to the inputs, and remember what and where, so that nobody has to read it back. */
export class Producers {
  readonly #random: Random;
  readonly #writer = new RecordBatchWriter();
  readonly #fed: Fed[] = [];

  constructor(arrivals: readonly Arrival[], scheduler: Scheduler, random: Random, cluster: SimulatedCluster) {
    this.#random = random;
    for (const arrival of arrivals) {
      const partition = cluster.held(arrival.topic)?.partitions[arrival.partition];
      if (partition !== undefined) scheduler.after(arrival.atMs, () => this.#append(arrival, partition));
    }
  }

  /** What a partition of an input was given, in its order. */
  fed(topic: Arrival["topic"], partition: number): Fed[] {
    return this.#fed.filter((each) => each.topic === topic && each.partition === partition);
  }

  #append(arrival: Arrival, partition: SimulatedPartition): void {
    this.#fed.push({ ...arrival, offset: partition.endOffset });
    const writer = this.#writer;
    writer.append(arrival.timeMs, Buffer.from(arrival.key), Buffer.from(arrival.value));
    partition.appendPlain({ count: 1, bytes: Buffer.from(writer.written()) });
    writer.clear();
    // Producers outside have transactions as well, and some of them are aborted.
    if (this.#random.chance(0.03)) partition.mark("outside", 0, "aborted");
  }
}
