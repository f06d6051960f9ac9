import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { onTestFinished, test } from "vitest";
import { cardPaymentSchema, cardVelocitySchema } from "../../schemas/records.ts";
import { freePort } from "../../scripts/stack/free-port.ts";
import type { EngineOptions } from "../../src/engine/engine.ts";
import { Engine, openFileLog } from "../../src/index.ts";
import type { OwnedFileLog } from "../../src/log/file-log.ts";
import { withCode } from "../codec/registry-conformance.ts";
import { StubRegistry } from "../codec/stub-registry.ts";
import { removeDirectory, temporaryDirectory } from "../log/temporary-directory.ts";
import { until, VelocityApplication } from "../registry/velocity-application.ts";

const partitions = 2;
const subject = "velocity-decisions-value";
const paymentId = 1;
const decisionId = 2;

/** An application on an embedded log with a registry that the test answers for. */
class Fixture {
  readonly directory: string;
  readonly log: OwnedFileLog;
  readonly application: VelocityApplication;
  readonly url: string;
  readonly warnings: string[] = [];

  private constructor(directory: string, log: OwnedFileLog, url: string) {
    this.directory = directory;
    this.log = log;
    this.url = url;
    this.application = new VelocityApplication(log, "velocity", partitions);
  }

  static async open(url: string): Promise<Fixture> {
    const directory = temporaryDirectory();
    const log = await openFileLog({ directory: join(directory, "log") });
    const fixture = new Fixture(directory, log, url);
    onTestFinished(async () => {
      await fixture.application.close();
      await log.close();
      removeDirectory(directory);
    });
    await fixture.application.createInput();
    return fixture;
  }

  async start(more: Partial<EngineOptions> = {}): Promise<Engine> {
    const engine = await Engine.start({
      topology: this.application.topology,
      log: this.log,
      dataDir: this.directory,
      threads: 2,
      registry: { kind: "confluent", url: this.url },
      onWarning: (_, message) => this.warnings.push(message),
      ...more,
    });
    onTestFinished(() => engine.stop().catch(() => {}));
    return engine;
  }
}

/** A registry that knows payments, and gives decisions an id. */
async function stubbed(port = 0): Promise<StubRegistry> {
  const stub = await StubRegistry.start(port);
  onTestFinished(() => stub.stop());
  stub.hold(paymentId, cardPaymentSchema.definition);
  stub.hold(decisionId, cardVelocitySchema.definition);
  stub.answer(`POST /subjects/${subject}`, { status: 404, body: { error_code: 40401 } });
  stub.answer(`PUT /config/${subject}`, { status: 200, body: { compatibility: "BACKWARD" } });
  stub.answer(`POST /subjects/${subject}/versions`, { status: 200, body: { id: decisionId } });
  return stub;
}

test("a registry that is away holds up its record's partition alone, and one that is back lets it go on", async () => {
  const port = await freePort();
  const stub = await stubbed(port);
  const fixture = await Fixture.open(stub.url);
  const { application } = fixture;
  const engine = await fixture.start();
  await application.pay(0, 10, paymentId);
  await application.pay(1, 10, paymentId);
  assert.equal((await application.decided(20, 10_000)).length, 20);

  await stub.stop();
  const first = await application.pay(0, 5, paymentId);
  const held = [...(await application.pay(0, 5, 77)), ...(await application.pay(0, 5, paymentId))];
  const others = await application.pay(1, 30, paymentId);
  const meanwhile = new Set((await application.decided(55, 10_000)).map((each) => each.paymentId));
  assert.ok([...first, ...others].every((id) => meanwhile.has(id)));
  assert.ok(!held.some((id) => meanwhile.has(id)));
  await until(() => engine.waits.length === 1, 5000);
  await until(() => fixture.warnings.length === 1, 5000);
  assert.deepEqual(
    engine.waits.map(({ topic, partition, reason }) => [topic, partition, /ECONNREFUSED/.test(reason)]),
    [["velocity-payments", 0, true]],
  );

  const back = await stubbed(port);
  back.hold(77, cardPaymentSchema.definition);
  const decisions = await application.decided(65, 15_000);
  assert.deepEqual(new Set(decisions.map((each) => each.paymentId)).size, 65);
  assert.equal(decisions.length, 65);
  assert.ok(decisions.every((each) => each.schemaId === decisionId));
  await until(() => engine.waits.length === 0 && fixture.warnings.length === 2, 5000);
  assert.deepEqual(fixture.warnings, ["input waits for the schema registry; it goes on by itself", "input goes on"]);
  assert.deepEqual(await application.deadReasons(), []);
});

test("an application that is stopped while an input waits takes the record up again, and buries it if nobody has its id", async () => {
  const port = await freePort();
  const stub = await stubbed(port);
  const fixture = await Fixture.open(stub.url);
  const { application } = fixture;
  const before = await fixture.start();
  stub.answer("GET /schemas/ids/77", "hang");
  await application.pay(0, 3, paymentId);
  await application.pay(0, 2, 77);
  await application.pay(0, 3, paymentId);
  assert.equal((await application.decided(3, 10_000)).length, 3);
  await until(() => before.waits.length === 1, 5000);
  const startMs = performance.now();
  await before.stop();
  assert.ok(performance.now() - startMs < 5000, "a request that hangs does not hold up the end");
  assert.deepEqual([(await application.decisions()).length, await application.deadReasons()], [3, []]);

  stub.answer("GET /schemas/ids/77", { status: 404, body: { error_code: 40403 } });
  await fixture.start();
  assert.equal((await application.decided(6, 10_000)).length, 6);
  assert.deepEqual(await application.deadReasons(), ["schema_unknown", "schema_unknown"]);
});

test("a start waits for a registry that is away and says so; with its ids on disk it does not need it", async () => {
  const port = await freePort();
  const fixture = await Fixture.open(`http://127.0.0.1:${port}`);
  const { application } = fixture;
  const starting = fixture.start();
  await until(() => fixture.warnings.length > 0, 5000);
  assert.equal(fixture.warnings[0], "waiting for the schema registry: schemas of outputs are to be registered");
  const stub = await stubbed(port);
  const first = await starting;
  assert.equal(fixture.warnings.at(-1), "the schema registry answers: going on");
  await application.pay(0, 5, paymentId);
  assert.equal((await application.decided(5, 10_000)).length, 5);
  await first.stop();
  await stub.stop();

  fixture.warnings.length = 0;
  await fixture.start();
  assert.deepEqual(fixture.warnings, ["schema registry away: taking the id that it gave before"]);
  await application.pay(1, 5, paymentId);
  assert.equal((await application.decided(10, 10_000)).length, 10);
});

test("a start that waits is given up when it is told to", async () => {
  const fixture = await Fixture.open(`http://127.0.0.1:${await freePort()}`);
  const stop = new AbortController();
  const starting = fixture.start({ signal: stop.signal });
  setTimeout(() => stop.abort(), 1500);
  await assert.rejects(starting, withCode("KAPPA_SERVICE_UNREACHABLE"));
});

test("a user that the registry refuses ends a start at once", async () => {
  const stub = await stubbed();
  stub.answer(`POST /subjects/${subject}`, { status: 401, body: { error_code: 401 } });
  const fixture = await Fixture.open(stub.url);
  await assert.rejects(fixture.start(), withCode("KAPPA_SERVICE_REFUSED", "SCHEMA_REGISTRY_API_KEY"));
  await pause(0);
  assert.deepEqual(fixture.warnings, []);
});
