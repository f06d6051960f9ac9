import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { afterEach, beforeEach, test } from "vitest";
import { CommandFolder, ndjson, payments } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
  writeFileSync(folder.file("p.ndjson"), ndjson(payments(1)));
  writeFileSync(folder.file("topology.ts"), topology);
});
afterEach(() => folder[Symbol.dispose]());

const topology = `
import { RecordSchema, TopologyBuilder } from "${new URL("../../src/index.ts", import.meta.url).pathname}";
const schema = new RecordSchema({ type: "record", name: "A", fields: [
  { name: "id", type: "string" }, { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } } ] });
const builder = new TopologyBuilder("app");
builder.stream("a", { schema, key: "id", time: "ts" }).to("b", { schema, key: "id" });
export default builder.build();
`;

test("Kafka that is not there ends every command with 3, naming the address and who named it", async () => {
  writeFileSync(folder.file(".env"), "KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1\n");
  for (const line of [
    "topics list",
    "topics create a",
    "topics tail a",
    "produce a p.ndjson --key card_id --format json",
    "run topology.ts",
    "dlq list",
    "explain a",
  ]) {
    const { code, err } = await folder.run(line);
    assert.equal(code, 3, `${line}: ${err}`);
    assert.match(
      err,
      /cannot reach Kafka at 127\.0\.0\.1:1 \(KAFKA_BOOTSTRAP_SERVERS from \.env\): .*ECONNREFUSED/,
      line,
    );
    assert.match(err, /Start one: npm run stack — or try without Kafka: npm start \(KAPPA_LOG_UNAVAILABLE\)/, line);
  }
});
