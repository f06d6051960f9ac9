import { setTimeout as pause } from "node:timers/promises";
import { days } from "../../src/index.ts";
import { KafkaLog } from "../../src/log/kafka-log.ts";
import { Random } from "../../topologies/fraud/simulator/random.ts";
import { answer, orderOf } from "./child.ts";
import { Purchases } from "./purchases.ts";
import { Zipf } from "./zipf.ts";

export interface RestoreProducerOrder {
  readonly bootstrapServers: string;
  readonly dataDir: string;
  readonly partitions: number;
  readonly keys: number;
  /** Purchases a second once all keys have one. */
  readonly perSecond: number;
}

// Gives every key a purchase, and then goes on at a pace.

const { bootstrapServers, dataDir, partitions, keys, perSecond } = orderOf<RestoreProducerOrder>();
const log = await KafkaLog.open({ bootstrapServers: [bootstrapServers], clientId: "restore-producer" });
const purchases = await Purchases.open(log, partitions, `${dataDir}/registry`);
const startMs = Date.UTC(2026, 0, 5);
/** A prime, so that all keys come once and neighbours do not come together. */
const step = 1_299_709;
const everyMs = 20;
let going = false;
let ended = Promise.resolve();

async function load(): Promise<void> {
  for (let i = 0; i < keys; i++) await purchases.add((i * step) % keys, startMs + Math.floor((i / keys) * days(1)));
  await purchases.settle();
}

async function goOn(): Promise<void> {
  const zipf = new Zipf(keys, new Random(1, 1));
  const beganMs = performance.now();
  for (let sent = 0; going; ) {
    for (const due = ((performance.now() - beganMs) * perSecond) / 1000; sent < due; sent++)
      await purchases.add((zipf.next() * step) % keys, startMs + days(1) + sent * 10);
    await purchases.settle();
    await pause(everyMs);
  }
}

answer({
  load,
  go: () => {
    going = true;
    ended = goOn();
    return Promise.resolve();
  },
  pause: async () => {
    going = false;
    await ended;
  },
  stop: () => log.close(),
});
