import { RecordSchema } from "../../src/index.ts";

/** A payment as the producers of the poisoned stream mean it. */
export interface Payment {
  readonly payment_id: string;
  readonly ts: number;
  readonly card_id: string;
  readonly shop_id: string;
  readonly amount: number;
  readonly lat: number;
  readonly note: string | null;
  readonly channel: string;
  readonly online: boolean;
  readonly scores: readonly number[];
  readonly labels: Readonly<Record<string, string>>;
}

/** What the first deployment reads. The last two fields are empty in most payments: two bytes that poison replaces. */
export const paymentDefinition = definitionWith({});

/** What the missing id names: a newer schema than the reader's, of a producer that was deployed first. */
export const newerDefinition = {
  ...paymentDefinition,
  fields: [...paymentDefinition.fields, { name: "device_id", type: ["null", "string"], default: null }],
};

/** A producer that sends amounts as text: no reader of numbers can take them. */
export const textAmountDefinition = definitionWith({ amount: "string" });

/** A producer whose channel the first deployment has never heard of. */
export const kioskDefinition = definitionWith({ channel: channelOf(["web", "pos", "kiosk"]) });

/** What the mended deployment reads: amounts as numbers or text, and the new channel. */
const mendedDefinition = definitionWith({
  amount: ["long", "string"],
  channel: channelOf(["web", "pos", "kiosk"]),
});

export const paymentSchema = new RecordSchema<Payment>(paymentDefinition);
export const newerSchema = new RecordSchema<Payment & { readonly device_id: string | null }>(newerDefinition);
export const textAmountSchema = new RecordSchema<Omit<Payment, "amount"> & { readonly amount: string }>(
  textAmountDefinition,
);
export const kioskSchema = new RecordSchema<Payment>(kioskDefinition);
export const mendedSchema = new RecordSchema<Omit<Payment, "amount"> & { readonly amount: number | string }>(
  mendedDefinition,
);

/** Ids that the stream is written with. `missing` is registered only by the mend, `impossible` can never be. */
export const schemaIds = { payment: 1, textAmount: 42, kiosk: 43, missing: 77, impossible: 4_000_000_000 } as const;

function definitionWith(types: { readonly amount?: unknown; readonly channel?: unknown }) {
  return {
    type: "record",
    name: "PoisonedPayment",
    fields: [
      { name: "payment_id", type: "string" },
      { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
      { name: "card_id", type: "string" },
      { name: "shop_id", type: "string" },
      { name: "amount", type: types.amount ?? "long" },
      { name: "lat", type: "double" },
      { name: "note", type: ["null", "string"] },
      { name: "channel", type: types.channel ?? channelOf(["web", "pos"]) },
      { name: "online", type: "boolean" },
      { name: "scores", type: { type: "array", items: "double" } },
      { name: "labels", type: { type: "map", values: "string" } },
    ] as readonly object[],
  };
}

function channelOf(symbols: readonly string[]): object {
  return { type: "enum", name: "Channel", symbols };
}

/** A shop that no payment is accepted from. */
export interface BlockedShop {
  readonly shop_id: string;
  readonly ts: number;
  readonly why: string;
}

export const blockedShopSchema = new RecordSchema<BlockedShop>({
  type: "record",
  name: "BlockedShop",
  fields: [
    { name: "shop_id", type: "string" },
    { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "why", type: "string" },
  ],
});

/** What the topology says of a payment. */
export interface PaymentDecision {
  readonly payment_id: string;
  readonly card_id: string;
  readonly amount: number;
  readonly channel: string;
  readonly card_count: number;
  readonly card_total: number;
  readonly shop_count: number;
  readonly decision: string;
}

export const paymentDecisionSchema = new RecordSchema<PaymentDecision>({
  type: "record",
  name: "PaymentDecision",
  fields: [
    { name: "payment_id", type: "string" },
    { name: "card_id", type: "string" },
    { name: "amount", type: "long" },
    { name: "channel", type: "string" },
    { name: "card_count", type: "long" },
    { name: "card_total", type: "long" },
    { name: "shop_count", type: "long" },
    { name: "decision", type: "string" },
  ],
});
