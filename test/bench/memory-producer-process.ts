import { join } from "node:path";
import { days, partitionOf } from "../../src/index.ts";
import { connectFileLog } from "../../src/log/file-log-socket.ts";
import { Random } from "../../topologies/fraud/simulator/random.ts";
import { answer, orderOf } from "./child.ts";
import { historyMs } from "./memory-topology.ts";
import { Purchases } from "./purchases.ts";
import { Zipf } from "./zipf.ts";

export interface MemoryProducerOrder {
  readonly dataDir: string;
  readonly partitions: number;
  readonly keys: number;
  readonly events: number;
}

const startMs = Date.UTC(2026, 0, 5);
/** Primes that spread the keys, one for the order they are loaded in and one for their ranks. */
const loadStep = 1_299_709;
const rankStep = 15_485_863;

/** The same purchases in the same order whenever it is run. */
class Phases {
  readonly #order: MemoryProducerOrder;
  readonly #purchases: Purchases;
  readonly #random = new Random(2, 1);

  constructor(order: MemoryProducerOrder, purchases: Purchases) {
    this.#order = order;
    this.#purchases = purchases;
  }

  /** One purchase of each key, over the first day. */
  async load(): Promise<void> {
    const { keys } = this.#order;
    for (let i = 0; i < keys; i++) {
      await this.#purchases.add((i * loadStep) % keys, startMs + Math.floor((i / keys) * days(1)));
    }
    await this.#purchases.settle();
  }

  /** Purchases over the two days that follow; the key of rank r is chosen as often as 1 / r says. */
  async run(): Promise<void> {
    const { keys, events } = this.#order;
    const zipf = new Zipf(keys, this.#random);
    for (let i = 0; i < events; i++) {
      const key = ((zipf.next() - 1) * rankStep) % keys;
      await this.#purchases.add(key, startMs + days(1) + Math.floor((i / events) * days(2)));
    }
    await this.#purchases.settle();
  }

  /** One purchase in each partition, when all others are past keeping. */
  async expire(): Promise<void> {
    const { partitions } = this.#order;
    const met = new Set<number>();
    for (let key = 0; met.size < partitions; key++) {
      const partition = partitionOf(key, partitions);
      if (met.has(partition)) continue;
      met.add(partition);
      await this.#purchases.add(key, startMs + 12 * historyMs);
    }
    await this.#purchases.settle();
  }
}

const order = orderOf<MemoryProducerOrder>();
const log = await connectFileLog({ directory: join(order.dataDir, "log") });
const registryDir = join(order.dataDir, "registry");
const phases = new Phases(order, await Purchases.open(log, order.partitions, registryDir));
answer({
  load: () => phases.load(),
  run: () => phases.run(),
  expire: () => phases.expire(),
  stop: () => log.close(),
});
