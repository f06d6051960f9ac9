import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { type HttpConfig, HttpServer } from "../../src/observability/http-server.ts";
import type { Health, HttpSources } from "../../src/observability/http-sources.ts";
import type { Logger } from "../../src/observability/logger.ts";
import { PrometheusMeter } from "../../src/observability/prometheus-meter.ts";

const running: Health = {
  state: "RUNNING",
  live: true,
  modelLoaded: true,
  restoringTasks: 0,
  pausedInputs: 0,
  restoreSecondsLeft: null,
  checks: [{ name: "log", ok: true, detail: "durable" }],
};

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

let health: Health = running;
let logged: unknown[] = [];
const open: HttpServer[] = [];

const logger: Logger = {
  error: (fields) => void logged.push(fields),
  warn: () => {},
  info: () => {},
  debug: () => {},
  child: () => logger,
};

const sources: HttpSources = {
  health: { health: () => health },
  metrics: new PrometheusMeter(),
  info: { info: () => ({ application: "fraud" }) },
  topology: { describe: (format) => (format === "json" ? `{"format":"json"}` : `described as ${format}`) },
  state: {
    stores: () => [{ name: "card-velocity", kind: "events", key: "text", partitions: 4 }],
    read: (store, key, asOfMs, passedOn) => {
      if (key === "on-its-way")
        return Promise.reject(new KappaError("KAPPA_STATE_RESTORING", "task 3 is not open yet"));
      if (key === "elsewhere") return Promise.reject(new KappaError("KAPPA_STATE_ELSEWHERE", `passed on: ${passedOn}`));
      if (key === "broken") return Promise.reject(new Error("disk says no to card_881"));
      if (key === "12x") return Promise.reject(new KappaError("KAPPA_USAGE", "key is no number"));
      const entry = { partition: 3, asOfMs: asOfMs ?? 1_000, value: { store, key, paymentCount: 2 } };
      return Promise.resolve(key === "nobody" ? undefined : entry);
    },
  },
};

async function serve(config: Partial<HttpConfig> = {}): Promise<string> {
  const server = new HttpServer({ host: "127.0.0.1", port: 0, token: undefined, ...config }, sources, logger);
  open.push(server);
  return await server.listen();
}

function get(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { headers, agent: false }, async (reply) => {
      resolve({ status: reply.statusCode ?? 0, headers: reply.headers, body: await text(reply) });
    });
    sent.on("error", reject).end();
  });
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((server) => server.close()));
  health = running;
  logged = [];
});

test("not ready while restoring or paused, without a model or before RUNNING; ready after", async () => {
  const url = await serve();
  const ready = async (now: Health) => {
    health = now;
    const { status, body } = await get(`${url}/readyz`);
    return [status, JSON.parse(body)];
  };
  assert.deepEqual(await ready({ ...running, state: "RESTORING", restoringTasks: 2 }), [
    503,
    { status: "RESTORING", model_loaded: true, restoring: true },
  ]);
  assert.deepEqual(await ready({ ...running, restoringTasks: 1 }), [
    503,
    { status: "RUNNING", model_loaded: true, restoring: true },
  ]);
  assert.deepEqual(await ready({ ...running, modelLoaded: false }), [
    503,
    { status: "RUNNING", model_loaded: false, restoring: false },
  ]);
  assert.equal((await ready({ ...running, pausedInputs: 1 }))[0], 503);
  assert.deepEqual(await ready(running), [200, { status: "RUNNING", model_loaded: true, restoring: false }]);
});

test("?verbose lists the checks", async () => {
  const { body } = await get(`${await serve()}/readyz?verbose`);
  assert.deepEqual(JSON.parse(body).checks, running.checks);
});

test("live follows the poll loops, not readiness", async () => {
  const url = await serve();
  health = { ...running, state: "RESTORING", restoringTasks: 4 };
  assert.equal((await get(`${url}/livez`)).status, 200);
  health = { ...running, live: false };
  assert.equal((await get(`${url}/livez`)).status, 503);
});

test("metrics come in the text format Prometheus asks for", async () => {
  const { status, headers, body } = await get(`${await serve()}/metrics`);
  assert.equal(status, 200);
  assert.equal(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  assert.match(body, /# TYPE kappa_records_consumed_total counter/);
});

test("the topology comes as text, or as what is asked for", async () => {
  const url = `${await serve()}/topology`;
  assert.equal((await get(url)).body, "described as text");
  assert.equal((await get(url, { accept: "text/html,*/*" })).body, "described as text");
  assert.equal((await get(url, { accept: "application/json" })).body, `{"format":"json"}`);
  assert.equal((await get(`${url}?format=mermaid`, { accept: "application/json" })).body, "described as mermaid");
  const wrong = await get(`${url}?format=svg`);
  assert.equal(wrong.status, 400);
  assert.match(wrong.body, /one of text, mermaid, json/);
});

test("what nobody can answer at present is 503, to be asked again; what cannot be asked is 400", async () => {
  const url = `${await serve()}/stores/card-velocity`;
  const moving = await get(`${url}/on-its-way`);
  assert.deepEqual([moving.status, moving.headers["retry-after"]], [503, "1"]);
  assert.deepEqual(JSON.parse(moving.body), { error: "task 3 is not open yet", code: "KAPPA_STATE_RESTORING" });
  const elsewhere = await get(`${url}/elsewhere`);
  assert.deepEqual([elsewhere.status, JSON.parse(elsewhere.body).error], [503, "passed on: false"]);
  const passedOn = await get(`${url}/elsewhere`, { "kappa-passed-on": "1" });
  assert.equal(JSON.parse(passedOn.body).error, "passed on: true");
  assert.equal((await get(`${url}/12x`)).status, 400);
  assert.deepEqual(logged, []);
});

test("how long restoring takes is told to who asks for more", async () => {
  health = { ...running, state: "RESTORING", restoringTasks: 2, restoreSecondsLeft: 40 };
  const { status, body } = await get(`${await serve()}/readyz?verbose`);
  assert.deepEqual([status, JSON.parse(body).restoring_tasks, JSON.parse(body).restore_seconds_left], [503, 2, 40]);
});

test("state is read by store and key, as of a time", async () => {
  const url = await serve();
  assert.deepEqual(JSON.parse((await get(`${url}/stores`)).body), { stores: sources.state.stores() });
  const key = encodeURIComponent("card/881 ü");
  assert.deepEqual(JSON.parse((await get(`${url}/stores/card-velocity/${key}?as_of=2026-01-31T12:00:00Z`)).body), {
    store: "card-velocity",
    key: "card/881 ü",
    partition: 3,
    as_of: "2026-01-31T12:00:00.000Z",
    value: { store: "card-velocity", key: "card/881 ü", paymentCount: 2 },
  });
  assert.equal((await get(`${url}/stores/card-velocity/${"k".repeat(1024)}`)).status, 200);
  assert.equal((await get(`${url}/stores/card-velocity/nobody`)).status, 404);
  assert.equal((await get(`${url}/stores/card-velocity/12x`)).status, 400);
  assert.equal((await get(`${url}/stores/card-velocity/card?as_of=yesterday`)).status, 400);
  const unknown = await get(`${url}/stores/__proto__/card`);
  assert.equal(unknown.status, 404);
  assert.match(unknown.body, /there are: card-velocity/);
});

test("a failure inside is logged and told to nobody", async () => {
  const { status, body } = await get(`${await serve()}/stores/card-velocity/broken`);
  assert.equal(status, 500);
  assert.deepEqual(JSON.parse(body), { error: "internal error" });
  assert.equal(logged.length, 1);
});

test("an unknown path names the known ones", async () => {
  const { status, body } = await get(`${await serve()}/`);
  assert.equal(status, 404);
  assert.match(body, /\/readyz/);
});

test("with a token every request needs it but the bare probes", async () => {
  const url = await serve({ token: "s3cret-s3cret-s3cret" });
  assert.equal((await get(`${url}/livez`)).status, 200);
  assert.equal((await get(`${url}/readyz`)).status, 200);
  for (const path of [
    "/readyz?verbose",
    "/metrics",
    "/info",
    "/topology",
    "/stores",
    "/stores/card-velocity/a",
    "/x",
  ]) {
    assert.equal((await get(url + path)).status, 401, path);
    assert.equal((await get(url + path, { authorization: "Bearer s3cret" })).status, 401, path);
    assert.notEqual((await get(url + path, { authorization: "Bearer s3cret-s3cret-s3cret" })).status, 401, path);
  }
});

test("without a token a name that merely resolves to this machine is refused", async () => {
  const url = await serve();
  const { port } = new URL(url);
  assert.equal((await get(`${url}/stores`, { host: `evil.example:${port}` })).status, 403);
  assert.equal((await get(`${url}/stores`, { host: "127.0.0.1.evil.example" })).status, 403);
  for (const host of [`localhost:${port}`, "localhost", `127.0.0.1:${port}`, `[::1]:${port}`]) {
    assert.equal((await get(`${url}/stores`, { host })).status, 200, host);
  }
});

test("an address other than loopback needs a token", () => {
  const config = { port: 0, token: undefined };
  for (const host of ["0.0.0.0", "::", "192.168.1.2", "kappa.example", "127.evil.example"]) {
    assert.throws(() => new HttpServer({ ...config, host }, sources, logger), /set HTTP_TOKEN/, host);
  }
  assert.doesNotThrow(
    () => new HttpServer({ host: "0.0.0.0", port: 0, token: "s3cret-s3cret-s3cret" }, sources, logger),
  );
});

test("a port in use is named, with what to set", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as AddressInfo;
  await assert.rejects(serve({ port }), (error) => {
    assert.ok(error instanceof KappaError);
    assert.equal(error.code, "KAPPA_CONFIG_INVALID");
    assert.equal(
      error.message,
      `http port ${port} on 127.0.0.1 is in use; set HTTP_PORT=${port + 1}, or 0 for any free one`,
    );
    return true;
  });
  taken.close();
});
