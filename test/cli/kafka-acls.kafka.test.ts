import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type AclEntry,
  AclOperationTypes,
  AclPermissionTypes,
  AclResourceTypes,
  type Admin,
  Kafka,
  logLevel,
  ResourcePatternTypes,
} from "kafkajs";
import { afterAll, afterEach, beforeAll, beforeEach, test } from "vitest";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { CommandFolder, ndjson, paymentSchema, payments } from "./command.ts";

const password = "secret";
const usersMax = 40;
const users = Array.from({ length: usersMax }, (_, i) => `user-${i}`);
const source = join(import.meta.dirname, "..", "..", "src", "index.ts");

let broker: KafkaBroker;
let admin: Admin;
let folder: CommandFolder;
let userNumber = 0;
beforeAll(async () => {
  broker = await KafkaBroker.start({
    listeners: ["SASL_PLAINTEXT"],
    users: Object.fromEntries(users.map((name) => [name, password])),
    properties: {
      "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
      // Who comes over the listener without users: the broker itself, and this test to prepare.
      "super.users": "User:ANONYMOUS",
    },
  });
  const client = new Kafka({ brokers: [broker.bootstrapServers], logLevel: logLevel.NOTHING });
  admin = client.admin();
  await admin.connect();
});
afterAll(async () => {
  await admin.disconnect();
  await broker.stop();
});
beforeEach(() => {
  folder = new CommandFolder();
  writeFileSync(folder.file("payment.avsc"), JSON.stringify(paymentSchema));
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(60)));
});
afterEach(() => folder[Symbol.dispose]());

/** Two stages, a global table, and records that become dead letters or are late: everything a run can touch. */
const topologyText = (name: string): string => `
import { hours, minutes, RecordSchema, TopologyBuilder } from "${source}";
const payment = new RecordSchema(${JSON.stringify(paymentSchema)});
const count = new RecordSchema({ type: "record", name: "Count", fields: [
  { name: "payment_id", type: "string" }, { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
  { name: "card_id", type: "string" }, { name: "amount", type: "long" },
  { name: "count_1h", type: "long" }, { name: "amount_1h", type: "long" } ] });
const builder = new TopologyBuilder("${name}");
builder.stream("${name}-payments", { schema: payment, key: "card_id", time: "ts" })
  .features("card-count", { graceMs: minutes(5) }, (over) => ({ count_1h: over.sliding(hours(1)).count() }))
  .repartition("by-payment", { key: "payment_id" })
  .features("amount-count", { graceMs: minutes(5) }, (over) => ({ amount_1h: over.sliding(hours(1)).count() }))
  .to("${name}-counts", { schema: count, key: "card_id" });
export default builder.build();
`;

type Entry = Readonly<
  Record<
    "resourceType" | "resourceName" | "patternType" | "principal" | "host" | "operation" | "permissionType",
    string
  >
>;

async function grant(entries: readonly Entry[]): Promise<void> {
  const acl = entries.map((entry) => ({
    ...entry,
    resourceType: AclResourceTypes[entry.resourceType as keyof typeof AclResourceTypes],
    resourcePatternType: ResourcePatternTypes[entry.patternType as keyof typeof ResourcePatternTypes],
    operation: AclOperationTypes[entry.operation as keyof typeof AclOperationTypes],
    permissionType: AclPermissionTypes[entry.permissionType as keyof typeof AclPermissionTypes],
  })) as AclEntry[];
  await admin.createAcls({ acl });
}

/** An application of a user that has no rights yet: its entries, and a run over what its topic holds. */
async function application(): Promise<{
  name: string;
  entries: readonly Entry[];
  run: () => ReturnType<CommandFolder["run"]>;
}> {
  const name = `app-${userNumber}`;
  const user = users[userNumber++] ?? "";
  assert.notEqual(user, "", `there are ${usersMax} users only`);
  writeFileSync(folder.file(`${name}.ts`), topologyText(name));
  writeFileSync(folder.file(".env"), "");
  const produced = await folder.run(
    `produce ${name}-payments p.ndjson --key card_id --time ts --schema payment.avsc --partitions 2 ` +
      `--bootstrap-servers ${broker.bootstrapServers}`,
  );
  assert.equal(produced.code, 0, produced.err);
  const { rows } = await folder.run(`acls ${name}.ts --principal User:${user} --json`);
  const variables = {
    KAFKA_BOOTSTRAP_SERVERS: broker.bootstrapServersOf("SASL_PLAINTEXT"),
    KAFKA_SECURITY_PROTOCOL: "SASL_PLAINTEXT",
    KAFKA_SASL_MECHANISM: "SCRAM-SHA-256",
    KAFKA_SASL_USERNAME: user,
    KAFKA_SASL_PASSWORD: password,
  };
  const env = Object.entries(variables).map(([variable, value]) => `${variable}=${value}\n`);
  writeFileSync(folder.file(".env"), env.join(""));
  const line = `run ${name}.ts --until-end --http-port 0 --threads 1 --state-dir ${name}`;
  return { name, entries: rows as unknown as Entry[], run: () => folder.run(line) };
}

const kindOf = ({ resourceType, resourceName, operation }: Entry, name: string): string =>
  `${resourceType} ${resourceName.replace(name, "APP")} ${operation}`;

test("a run with exactly the rights that acls prints works, and begins again where it was", async () => {
  const { name, entries, run } = await application();
  const before = await folder.run(`doctor ${name}.ts --json`);
  assert.equal(before.code, 4, before.err);
  const lacking = new Map(before.rows.filter(({ ok }) => ok === false).map((row) => [row.name, row]));
  for (const [check, right] of [
    [`topic ${name}-payments`, `Describe on topic ${name}-payments`],
    [`topic ${name}-commits`, `Describe on topic ${name}-commits`],
    [`topic ${name}-counts`, `Describe on topic ${name}-counts`],
    [`group ${name}`, `Read on group ${name}`],
    ["rights", ` on .*${name}`],
  ] as const) {
    assert.match(
      String(lacking.get(check)?.detail),
      new RegExp(`the user lacks .*${right}`),
      `${check}: ${before.out}`,
    );
    assert.match(String(lacking.get(check)?.fix), /^kappa acls /, check);
  }
  assert.match(before.err, /\nnext: kappa acls /);
  await grant(entries);
  const checked = await folder.run(`doctor ${name}.ts --json`);
  const faults = checked.rows.filter(({ ok }) => ok === false).map(({ name: check }) => check);
  assert.deepEqual(faults, [], checked.out);
  const first = await run();
  assert.equal(first.code, 0, first.err);
  const again = await run();
  assert.equal(again.code, 0, again.err);
  const { rows } = await folder.run(`topics hash ${name}-counts --json --bootstrap-servers ${broker.bootstrapServers}`);
  assert.equal(rows.length, 0, "whoever runs it may not read what it writes");
  writeFileSync(folder.file(".env"), "");
  const hashed = await folder.run(`topics hash ${name}-counts --json --bootstrap-servers ${broker.bootstrapServers}`);
  assert.equal(hashed.rows[0]?.records, 60, hashed.err);
});

test("each right that is taken away ends the run, which names it", { timeout: 300_000 }, async () => {
  const { entries: all, name: firstName } = await application();
  const kinds = all.map((entry) => kindOf(entry, firstName));
  assert.equal(new Set(kinds).size, kinds.length, "each right is printed once");
  for (const kind of kinds) {
    const { name, entries, run } = await application();
    const missing = entries.filter((entry) => kindOf(entry, name) === kind);
    assert.equal(missing.length, 1);
    // What is missing is to be the right itself, not Describe, which it contains.
    const describes = missing.map((entry) => ({ ...entry, operation: "DESCRIBE" }));
    await grant([...entries.filter((entry) => !missing.includes(entry)), ...describes]);
    const { code, err } = await run();
    const [{ operation = "", resourceName = "" } = {}] = missing;
    const right = operation.toLowerCase().replace(/(^|_)(.)/g, (_all, _gap, letter: string) => letter.toUpperCase());
    assert.equal(code, 2, `${kind}: ${err}`);
    assert.match(err, /\(KAPPA_LOG_REFUSED\)/, `${kind}: ${err}`);
    assert.match(err, new RegExp(`the user lacks ${right} on [a-z ]*${resourceName}`), `${kind}: ${err}`);
  }
});

test("the rights are printed as commands of Kafka's own tool", async () => {
  writeFileSync(folder.file("a.ts"), topologyText("a"));
  const nobody = await folder.run("acls a.ts");
  assert.equal(nobody.code, 2);
  assert.match(nobody.err, /add --principal User:NAME/);
  const { out } = await folder.run("acls a.ts --principal User:x --bootstrap-servers b:9092");
  const lines = out.trim().split("\n");
  const command = "kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:x";
  assert.equal(lines[0], `${command} --operation Read --operation DescribeConfigs --topic a-payments`);
  assert.equal(lines.at(-2), `${command} --operation Read --group a`);
  assert.equal(lines.at(-1), `${command} --operation Write --transactional-id a- --resource-pattern-type prefixed`);
  assert.equal(lines.length, 9);
});
