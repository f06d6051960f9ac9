import assert from "node:assert/strict";
import { onTestFinished, test } from "vitest";
import { RecordSchema, type Topology, TopologyBuilder } from "../../src/index.ts";
import { TopologyTestDriver } from "../../src/testing/topology-test-driver.ts";

const base = Date.UTC(2026, 0, 5);
const year2999 = Date.UTC(2999, 0, 1);

interface Sale {
  readonly id: string;
  readonly shop: number;
  readonly ts: number;
}
interface Shop {
  readonly shop: number;
  readonly ts: number;
  readonly name: string;
}

const long = (name: string) => ({ name, type: "long" });
const text = (name: string) => ({ name, type: "string" });
const saleSchema = new RecordSchema<Sale>({
  type: "record",
  name: "Sale",
  fields: [text("id"), long("shop"), long("ts")],
});
const shopSchema = new RecordSchema<Shop>({
  type: "record",
  name: "Shop",
  fields: [long("shop"), long("ts"), text("name")],
});
const namedSchema = new RecordSchema<{ readonly id: string; readonly name: string }>({
  type: "record",
  name: "Named",
  fields: [text("id"), text("name")],
});

/** Sales with the names of their shops; a table is global, or partitioned as the sales are. */
function sales(global: boolean): Topology {
  const builder = new TopologyBuilder("sales");
  const options = { schema: shopSchema, key: "shop", time: "ts", format: "json" } as const;
  const shops = global ? builder.globalTable("shops", options) : builder.table("shops", options);
  builder
    .stream("sales", { schema: saleSchema, key: "shop", time: "ts" })
    .leftJoin("named", shops, { key: "shop", columns: { name: "text" } }, (_, shop) => ({ name: shop?.name ?? "?" }))
    .to("named", { schema: namedSchema, key: "id" });
  return builder.build();
}

async function opened(global: boolean, partitions = 1) {
  const driver = await TopologyTestDriver.open(sales(global), { partitions });
  onTestFinished(() => driver.close());
  const shops = driver.input("shops");
  return {
    driver,
    shop: (value: string, partition = 0) => shops.pipeBytes(Buffer.from("1"), Buffer.from(value), base, partition),
    deletion: (key: string | null, timeMs: number) =>
      shops.pipeBytes(key === null ? null : Buffer.from(key), null, timeMs),
    async sale(id: string, ts = base): Promise<string | undefined> {
      await driver.input("sales").pipe({ id, shop: 1, ts });
      await driver.settle();
      const named = driver.output("named", namedSchema).values();
      return named.find((each) => each.id === id)?.name;
    },
    letters: () =>
      driver
        .records("sales-dead-letters")
        .map(({ headers, value }) => [
          `${headers["__streams.errors.partition"]}:${headers["__streams.errors.offset"]}`,
          headers["kappa.dlq.reason"],
          value === null ? null : String(value),
        ]),
  };
}

const good = JSON.stringify({ shop: 1, ts: base, name: "corner" });

test("a bad record of a table that every task reads is one dead letter, over all tasks and restarts", async () => {
  const { driver, shop, sale, letters } = await opened(true, 3);
  await shop("{", 2);
  await shop(good, 1);
  await shop('{"shop":1,"ts":"now","name":"x"}', 1);
  assert.equal(await sale("a"), "corner");
  const expected = [
    ["1:1", "decode", '{"shop":1,"ts":"now","name":"x"}'],
    ["2:0", "decode", "{"],
  ];
  assert.deepEqual(letters().sort(), expected);
  for (const state of ["kept", "lost"] as const) {
    await driver.restart(state);
    await driver.settle();
    assert.deepEqual(letters().sort(), expected, `state ${state}`);
  }
  await shop("[", 2);
  await driver.settle();
  assert.deepEqual(letters().sort(), [...expected, ["2:1", "decode", "["]]);
});

test("many bad records of such a table are buried over several commits, in their order", async () => {
  const { driver, shop, letters } = await opened(true);
  for (let i = 0; i < 2500; i++) await shop("{");
  const commits = () => driver.log.endOffset("sales-commits", 0, "durable");
  const before = await commits();
  await driver.settle();
  const made = (await commits()) - before;
  assert.ok(made >= 3n, `${made} commits`);
  assert.deepEqual(
    letters().map(([place]) => place),
    Array.from({ length: 2500 }, (_, i) => `0:${i}`),
  );
});

for (const global of [true, false]) {
  const kind = global ? "global" : "partitioned";
  test(`${kind} table: a deletion out of time, without a key or of no number is a dead letter and deletes nothing`, async () => {
    const { driver, shop, deletion, sale, letters } = await opened(global);
    await shop(good);
    for (const [key, timeMs] of [
      ["1", 0],
      ["1", year2999],
      ["1", Number.NaN],
      [null, base],
      ["one", base],
      ["01", base],
      [" ", base],
    ] as const)
      await deletion(key, timeMs);
    await shop(JSON.stringify({ shop: 1, ts: year2999, name: "of the future" }));
    await driver.settle();
    const reasons = letters().map(([, reason]) => reason);
    assert.deepEqual(reasons, [
      ...["timestamp", "timestamp", "timestamp", "null_key", "decode", "decode", "decode"],
      "timestamp",
    ]);
    assert.equal(await sale("a"), "corner");
    // Had the year 2999 been believed, every sale from now on would be late.
    await deletion("1", base + 10);
    await driver.settle();
    assert.equal(await sale("b", base + 5), "corner");
    assert.equal(await sale("c", base + 20), "?");
    assert.equal(letters().length, 8);
  });
}
