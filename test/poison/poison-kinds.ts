import type { RecordSchema } from "../../src/index.ts";
import type { RecordHeader } from "../../src/log/record-batch.ts";
import type { DeadReason } from "../../src/task/dead-letter.ts";
import { kioskSchema, newerSchema, type Payment, paymentSchema, schemaIds, textAmountSchema } from "./payments.ts";
import { faultyNotes } from "./poisoned-topology.ts";

/** A record as a producer of the poisoned stream sends it. */
export interface SentRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly timeMs: number;
  readonly headers: readonly RecordHeader[];
}

/** What becomes of a record: decided, decided once mended, or dead for ever. */
export type Fate = "good" | "mended" | "dead";

/** One way in which a record differs from what its reader expects. */
export interface Kind {
  readonly name: string;
  readonly topic: "payments" | "web-payments" | "blocked-shops";
  /** Why it dies at first; null when it must be decided, strange as it is. */
  readonly reason: DeadReason | null;
  readonly fate: Fate;
  /** Whether it dies where its record bytes are gone: it is told by its payment id, and cannot be sent again. */
  readonly internal: boolean;
  /** @param random of the stream @param payment a good one, to be spoiled */
  record(payment: Payment, random: () => number): SentRecord;
}

type Change = Partial<SentRecord>;

const megabyte = 1 << 20;
const year2999 = Date.UTC(2999, 0, 1);

/** The value in the wire format. */
export function avro<Value>(schema: RecordSchema<Value>, id: number, value: Value): Buffer {
  for (let size = 1024; ; size *= 4) {
    const buffer = Buffer.alloc(size);
    buffer.writeUInt32BE(id, 1);
    const end = schema.encode(value, buffer, 5);
    if (end > 0) return buffer.subarray(0, end);
  }
}

function plain(payment: Payment): Buffer {
  return avro(paymentSchema, schemaIds.payment, payment);
}

/** A payment whose last bytes, those of an empty array and an empty map, are others. */
function ending(payment: Payment, ...bytes: readonly number[]): Buffer {
  return Buffer.concat([plain({ ...payment, scores: [], labels: {} }).subarray(0, -2), Buffer.from(bytes)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value * 2;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
}

function sent(payment: Payment, value: Buffer, change: Change = {}): SentRecord {
  return { key: Buffer.from(payment.card_id), value, timeMs: payment.ts, headers: [], ...change };
}

interface Told {
  readonly fate?: Fate;
  readonly internal?: boolean;
}

function avroKind(
  name: string,
  reason: DeadReason | null,
  make: (payment: Payment, random: () => number) => Buffer | Change,
  told: Told = {},
): Kind {
  return {
    name,
    topic: "payments",
    reason,
    fate: told.fate ?? (reason === null ? "good" : "dead"),
    internal: told.internal ?? false,
    record(payment, random) {
      const made = make(payment, random);
      return Buffer.isBuffer(made) ? sent(payment, made) : sent(payment, plain(payment), made);
    },
  };
}

function jsonKind(
  name: string,
  reason: DeadReason | null,
  make: (payment: Payment, text: string) => string | Buffer | object | Change,
  asChange = false,
): Kind {
  return {
    name: `JSON: ${name}`,
    topic: "web-payments",
    reason,
    fate: reason === null ? "good" : "dead",
    internal: false,
    record(payment) {
      const text = JSON.stringify(payment);
      const made = make(payment, text);
      if (asChange) return sent(payment, Buffer.from(text), made as Change);
      if (Buffer.isBuffer(made)) return sent(payment, made);
      return sent(payment, Buffer.from(typeof made === "string" ? made : JSON.stringify(made)));
    },
  };
}

function keyed(payment: Payment, card_id: string): Change {
  return { key: Buffer.from(card_id), value: plain({ ...payment, card_id }) };
}

const avroKinds: readonly Kind[] = [
  avroKind("plain", null, (payment) => plain(payment)),
  avroKind("-0 as a double", null, (payment) => plain({ ...payment, lat: -0 })),
  avroKind("map key constructor", null, (payment) =>
    plain({ ...payment, labels: { constructor: "x", toString: "y" } }),
  ),
  ...["__proto__", "constructor", "toString", "hasOwnProperty", ""].map((key) =>
    avroKind(`key ${JSON.stringify(key)}`, null, (payment) => keyed(payment, key)),
  ),
  avroKind("header __proto__", null, () => ({
    headers: [
      { name: "__proto__", value: Buffer.from("{}") },
      { name: "kappa.dlq.attempts", value: Buffer.from("-7") },
    ],
  })),

  avroKind(
    "unknown schema id",
    "schema_unknown",
    (payment) => {
      return avro(newerSchema, schemaIds.missing, { ...payment, device_id: "d1" });
    },
    { fate: "mended" },
  ),
  avroKind(
    "text where a number was",
    "schema_incompatible",
    (payment) => {
      return avro(textAmountSchema, schemaIds.textAmount, { ...payment, amount: String(payment.amount) });
    },
    { fate: "mended" },
  ),
  avroKind(
    "symbol unknown to the reader",
    "schema_incompatible",
    (payment) => {
      return avro(kioskSchema, schemaIds.kiosk, { ...payment, channel: "kiosk" });
    },
    { fate: "mended" },
  ),

  avroKind("truncated", "decode", (payment, random) => {
    const value = plain(payment);
    return value.subarray(0, 5 + Math.floor(random() * (value.length - 5)));
  }),
  avroKind("only a schema id", "decode", (payment) => plain(payment).subarray(0, 5)),
  avroKind("empty value", "decode", () => Buffer.alloc(0)),
  avroKind("no magic byte", "decode", (payment) => Buffer.concat([Buffer.from([1]), plain(payment).subarray(1)])),
  avroKind("bytes left over", "decode", (payment) => Buffer.concat([plain(payment), Buffer.from([0])])),
  avroKind("boolean of 2", "decode", (payment) => {
    return Buffer.concat([plain({ ...payment, scores: [], labels: {} }).subarray(0, -3), Buffer.from([2, 0, 0])]);
  }),
  avroKind("symbol 60 of 2", "decode", (payment) => {
    return Buffer.concat([plain({ ...payment, scores: [], labels: {} }).subarray(0, -4), Buffer.from([120, 0, 0, 0])]);
  }),
  avroKind("long beyond 2^53", "decode", (payment) => ending(payment, 0xfe, ...Array(8).fill(0xff), 1)),
  avroKind("map key __proto__", "decode", (payment) => {
    return ending(payment, 0, 2, 18, ...Buffer.from("__proto__"), 2, 120, 0);
  }),
  avroKind("schema id that can be none", "schema_unknown", (payment) => {
    return avro(paymentSchema, schemaIds.impossible, payment);
  }),
  avroKind("block of 2^40 items", "limits", (payment) => ending(payment, ...varint(2 ** 40))),
  avroKind("2 MB value", "limits", (payment) => plain({ ...payment, note: "x".repeat(2 * megabyte) })),
  avroKind("key of 2 KB", "limits", () => ({ key: Buffer.alloc(2048, "k") })),
  avroKind("key field of 2 KB", "limits", (payment) => plain({ ...payment, card_id: "c".repeat(2048) })),
  avroKind("null key", "null_key", () => ({ key: null })),
  avroKind("null value", "null_value", () => ({ value: null })),
  avroKind("NaN", "not_finite", (payment) => plain({ ...payment, lat: Number.NaN })),
  avroKind("infinite", "not_finite", (payment) => plain({ ...payment, lat: Number.NEGATIVE_INFINITY })),
  avroKind("NaN in an array", "not_finite", (payment) => plain({ ...payment, scores: [1, Number.NaN] })),
  avroKind("event time in 1970", "timestamp", (payment) => plain({ ...payment, ts: 0 })),
  avroKind("event time before 1970", "timestamp", (payment) => plain({ ...payment, ts: -5 })),
  avroKind("event time in 2999", "timestamp", (payment) => plain({ ...payment, ts: year2999 })),
  avroKind("a bug throws", "processing", (payment) => keyedBytes({ ...payment, note: faultyNotes.bug }), {
    fate: "mended",
  }),
  avroKind("first stage throws", "processing", (payment) => plain({ ...payment, note: faultyNotes.first })),
  avroKind(
    "second stage throws",
    "processing",
    (payment) => {
      return keyedBytes({ ...payment, note: faultyNotes.second });
    },
    { internal: true },
  ),
  avroKind("output does not fit", "processing", (payment) => keyedBytes({ ...payment, note: faultyNotes.sink }), {
    internal: true,
  }),
];

/** Of a card of its own: it is counted by the first stage before the second one throws. */
function keyedBytes(payment: Payment): Buffer {
  return plain({ ...payment, card_id: "dies-later" });
}

const jsonKinds: readonly Kind[] = [
  jsonKind("plain", null, (payment) => payment),
  jsonKind("field __proto__", null, (_, text) => text.replace("{", '{"__proto__":{"amount":1,"admin":true},')),
  jsonKind("unknown fields", null, (payment) => ({ ...payment, constructor: 1, toString: "x" })),
  jsonKind("half a surrogate pair in the key field", null, (payment) => ({ ...payment, card_id: "\ud800" })),
  jsonKind("no JSON", "decode", () => "<payment/>"),
  jsonKind("cut off", "decode", (_, text) => text.slice(0, -10)),
  jsonKind("NaN", "decode", (_, text) => text.replace(/"lat":[^,]+/, '"lat":NaN')),
  jsonKind('"NaN"', "decode", (payment) => ({ ...payment, lat: "NaN" })),
  jsonKind("1e999", "decode", (_, text) => text.replace(/"lat":[^,]+/, '"lat":1e999')),
  jsonKind("an array", "decode", (payment) => [payment]),
  jsonKind("null", "decode", () => "null"),
  jsonKind("text where a number was", "decode", (payment) => ({ ...payment, amount: String(payment.amount) })),
  jsonKind("a fraction where a long was", "decode", (payment) => ({ ...payment, amount: 1.5 })),
  jsonKind("null key field", "decode", (payment) => ({ ...payment, card_id: null })),
  jsonKind("no key field", "decode", ({ card_id: _, ...payment }) => payment),
  jsonKind("not UTF-8", "decode", () => Buffer.from([0xff, 0xfe, 0x00, 0x80])),
  jsonKind("map key __proto__", "decode", (_, text) => text.replace(/"labels":.*/, '"labels":{"__proto__":"x"}}')),
  jsonKind("100,000 deep", "limits", () => "[".repeat(100_000)),
  jsonKind("2 MB value", "limits", (payment) => ({ ...payment, note: "x".repeat(2 * megabyte) })),
  jsonKind("event time in 2999", "timestamp", (payment) => ({ ...payment, ts: year2999 })),
  jsonKind("null key", "null_key", () => ({ key: null }), true),
  jsonKind("null value", "null_value", () => ({ value: null }), true),
];

function shopKind(name: string, reason: DeadReason, make: (shop: object, ts: number) => SentRecord | object): Kind {
  return {
    name: `list: ${name}`,
    topic: "blocked-shops",
    reason,
    fate: "dead",
    internal: false,
    record({ shop_id, ts }) {
      const made = make({ shop_id, ts, why: "complaints" }, ts);
      if ("headers" in made) return made as SentRecord;
      return { key: Buffer.from(shop_id), value: Buffer.from(JSON.stringify(made)), timeMs: ts, headers: [] };
    },
  };
}

/** A list that every task holds whole: its records die once, not once a task. */
const shopKinds: readonly Kind[] = [
  shopKind("no JSON", "decode", (_, timeMs) => ({
    key: Buffer.from("s1"),
    value: Buffer.from("{"),
    timeMs,
    headers: [],
  })),
  shopKind("wrong type", "decode", (shop) => ({ ...shop, why: 5 })),
  shopKind("event time in 2999", "timestamp", (shop) => ({ ...shop, ts: year2999 })),
  shopKind("null key", "null_key", (_, timeMs) => ({ key: null, value: Buffer.from("{}"), timeMs, headers: [] })),
  shopKind("deletion in 1970", "timestamp", () => ({ key: Buffer.from("s1"), value: null, timeMs: 0, headers: [] })),
];

export const kinds: readonly Kind[] = [...avroKinds, ...jsonKinds, ...shopKinds];
/** The kinds whose records are as they should be. */
export const plainKinds: readonly Kind[] = kinds.filter(({ name }) => name === "plain" || name === "JSON: plain");
