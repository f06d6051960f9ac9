import assert from "node:assert/strict";
import { test } from "vitest";
import { AvroSerde, type KnownSchemas } from "../../src/codec/avro-serde.ts";
import { type AvroType, parseRecordType } from "../../src/codec/avro-type.ts";
import { recordSchema } from "../../src/codec/record-schema.ts";
import { unknownSchema } from "../../src/codec/schema-compatibility.ts";
import { KappaError } from "../../src/core/errors.ts";

interface Payment {
  readonly id: string;
  readonly amount: number;
}

const json = (...more: unknown[]): unknown => ({
  type: "record",
  name: "Payment",
  fields: [{ name: "id", type: "string" }, { name: "amount", type: "long" }, ...more],
});
const schema = recordSchema<Payment>(json());

/** Remembers how often it was asked. */
class Schemas implements KnownSchemas {
  readonly types = new Map<number, AvroType>();
  asked = 0;

  known(id: number): AvroType | undefined {
    this.asked++;
    return this.types.get(id);
  }

  missing(id: number): KappaError {
    return unknownSchema(id);
  }
}

function serde(): { serde: AvroSerde<Payment>; schemas: Schemas } {
  const schemas = new Schemas();
  schemas.types.set(7, schema.avro);
  return { serde: new AvroSerde(schema, 7, schemas), schemas };
}

function failure(run: () => unknown): KappaError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof KappaError, String(error));
    return error;
  }
  assert.fail("nothing was thrown");
}

test("a value is a zero byte, the schema id big-endian, and Avro", () => {
  const buffer = Buffer.alloc(64);
  const end = serde().serde.encode({ id: "ab", amount: 3 }, buffer, 1);
  assert.equal(buffer.subarray(1, end).toString("hex"), "0000000007" + "046162" + "06");
});

test("a buffer too small for the value or for the header alone gives a negative number", () => {
  const whole = 5 + 3 + 1;
  for (let room = 0; room < whole; room++) {
    assert.ok(serde().serde.encode({ id: "ab", amount: 3 }, Buffer.alloc(room), 0) < 0, `room ${room}`);
  }
  assert.equal(serde().serde.encode({ id: "ab", amount: 3 }, Buffer.alloc(whole), 0), whole);
});

test("a value of an older or newer writer is read as ours, and the registry is asked once for each id", () => {
  const { serde: ours, schemas } = serde();
  const newer = recordSchema<Payment & { currency: string }>(json({ name: "currency", type: "string" }));
  schemas.types.set(8, newer.avro);
  const buffer = Buffer.alloc(64);
  for (let i = 0; i < 3; i++) {
    for (const id of [7, 8]) {
      const writer = new AvroSerde(newer, id, schemas);
      const end =
        id === 7
          ? ours.encode({ id: "a", amount: i }, buffer, 2)
          : writer.encode({ id: "a", amount: i, currency: "EUR" }, buffer, 2);
      assert.deepEqual(ours.decode(buffer, 2, end), { id: "a", amount: i });
    }
  }
  assert.equal(schemas.asked, 2);
});

test("an unknown id is asked for again: it may be registered meanwhile", () => {
  const { serde: ours, schemas } = serde();
  const bytes = Buffer.from("0000000009" + "0261" + "02", "hex");
  const error = failure(() => ours.decode(bytes, 0, bytes.length));
  assert.equal(error.code, "KAPPA_SCHEMA_UNKNOWN");
  assert.deepEqual(error.context, { id: 9, reason: "schema_unknown" });
  schemas.types.set(9, parseRecordType(json()));
  assert.deepEqual(ours.decode(bytes, 0, bytes.length), { id: "a", amount: 1 });
});

test("what is malformed says so: no magic byte, no id, cut short, left over, incompatible", () => {
  const { serde: ours, schemas } = serde();
  schemas.types.set(8, parseRecordType({ type: "record", name: "Payment", fields: [{ name: "id", type: "int" }] }));
  const cases: [string, string][] = [
    ["", "decode"],
    ["00000000", "decode"],
    ["7b226964", "decode"],
    ["0100000007" + "0261" + "02", "decode"],
    ["0000000007" + "02", "decode"],
    ["0000000007" + "0261" + "02" + "00", "decode"],
    ["0000000008" + "02", "schema_incompatible"],
  ];
  for (const [hex, reason] of cases) {
    const bytes = Buffer.from(hex, "hex");
    const error = failure(() => ours.decode(bytes, 0, bytes.length));
    assert.equal(error.code, "KAPPA_RECORD_INVALID", hex);
    assert.equal(error.context.reason, reason, hex);
  }
});
