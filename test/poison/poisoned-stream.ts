import { partitionOf } from "../../src/index.ts";
import { seededRandom } from "../log/power-cut.ts";
import { idHeader } from "./fates.ts";
import type { Payment } from "./payments.ts";
import { type Kind, kinds, plainKinds, type SentRecord } from "./poison-kinds.ts";

/** A record of the stream and where it goes. */
export interface StreamRecord {
  readonly kind: Kind;
  /** Unique in the stream. */
  readonly paymentId: string;
  readonly shopId: string;
  /** Of the topic, unless that has one only. */
  readonly partition: number;
  readonly record: SentRecord;
}

const cards = 40;
const shops = 25;
const startMs = Date.UTC(2026, 0, 1);

/**
 * `count` payments of which about `poisonShare` are of the kinds other than plain, each of those at least twice, in a
 * drawn order. The same seed gives the same bytes.
 */
export function poisonedStream(count: number, poisonShare: number, partitions: number, seed: number): StreamRecord[] {
  const random = seededRandom(seed);
  const others = kinds.filter((kind) => !plainKinds.includes(kind));
  const poisoned = Math.max(others.length * 2, Math.round(count * poisonShare));
  const drawn = Array.from({ length: count }, (_, i) => {
    const among = i < poisoned ? others : plainKinds;
    return { kind: among[i % among.length] as Kind, at: random() };
  });
  drawn.sort((a, b) => a.at - b.at);
  return drawn.map(({ kind }, i) => {
    const payment = paymentOf(i, random);
    const spoiled = kind.record(payment, random);
    const id = { name: idHeader, value: Buffer.from(payment.payment_id) };
    const record = { ...spoiled, headers: [...spoiled.headers, id] };
    const key = record.key === null || record.key.length > 1024 ? payment.card_id : record.key.toString();
    const partition = kind.topic === "blocked-shops" ? 0 : partitionOf(key, partitions);
    return { kind, paymentId: payment.payment_id, shopId: payment.shop_id, partition, record };
  });
}

function paymentOf(i: number, random: () => number): Payment {
  const below = (limit: number): number => Math.floor(random() * limit);
  return {
    payment_id: `p${i}`,
    ts: startMs + i * 1000,
    card_id: `c${below(cards)}`,
    shop_id: `s${below(shops)}`,
    amount: below(100_000),
    lat: random() * 180 - 90,
    note: random() < 0.5 ? null : "as ordered",
    channel: random() < 0.5 ? "web" : "pos",
    online: random() < 0.5,
    scores: Array.from({ length: below(4) }, random),
    labels: random() < 0.5 ? {} : { colour: "red" },
  };
}
