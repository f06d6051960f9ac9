import assert from "node:assert/strict";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { createLogger, type LogLevel } from "../../src/observability/logger.ts";

function capture(level: LogLevel = "info", pretty = false) {
  const lines: string[] = [];
  const logger = createLogger({ level, pretty, to: { write: (line: string) => void lines.push(line) } });
  return { logger, lines };
}

test("a line is one JSON object: level, time, data, message", () => {
  const { logger, lines } = capture();
  logger.child({ task: 3 }).info({ records: 84_112 }, "restored");
  const { time, ...line } = JSON.parse(lines[0] ?? "");
  assert.deepEqual(line, { level: "info", task: 3, records: 84_112, message: "restored" });
  assert.match(time, /^\d{4}-\d\d-\d\dT.*Z$/);
});

test("below the level nothing is written", () => {
  const { logger, lines } = capture("warn");
  logger.info({}, "no");
  logger.warn({}, "yes");
  assert.equal(lines.length, 1);
});

test("secrets and record keys never reach the output, at any of the first three levels", () => {
  const { logger, lines } = capture("debug");
  const canary = "canary-4242";
  for (const name of ["password", "token", "httpToken", "authorization", "apiSecret", "key", "recordKey"]) {
    logger.info({ [name]: canary }, "flat");
    logger.info({ headers: { [name]: canary } }, "nested");
    logger.debug({ config: { http: { [name]: canary } } }, "deep");
    logger.child({ [name]: canary }).warn({}, "child");
    logger.error({ error: new KappaError("KAPPA_RECORD_INVALID", "bad", { [name]: canary, offset: 5n }) }, "failed");
  }
  assert.equal(lines.length, 35);
  assert.deepEqual(
    lines.filter((line) => line.includes(canary)),
    [],
  );
});

test("an error is logged with code, recovery, context and causes", () => {
  const { logger, lines } = capture();
  const cause = new Error("ENOSPC", { cause: new TypeError("deep") });
  logger.error(
    { error: new KappaError("KAPPA_LOG_FAILED", "sync failed", { segment: 7, position: 12n }, cause) },
    "stop",
  );
  const { error } = JSON.parse(lines[0] ?? "");
  assert.equal(error.code, "KAPPA_LOG_FAILED");
  assert.equal(error.recovery, "stop");
  assert.deepEqual(error.context, { segment: 7, position: 12 });
  assert.equal(error.message, "sync failed");
  assert.equal(error.cause.message, "ENOSPC");
  assert.equal(error.cause.cause.name, "TypeError");
});

test("control characters in data cannot forge a line", () => {
  const { logger, lines } = capture();
  logger.info({ topic: 'a\n{"level":"error"}\u001b[31m' }, "named\nbadly");
  assert.equal(lines.length, 1);
  assert.equal(lines[0]?.trimEnd().split("\n").length, 1);
  assert.ok(!lines[0]?.includes("\u001b"));
});

test("control characters in data cannot drive a terminal", () => {
  const { logger, lines } = capture("info", true);
  logger.info({ topic: "a\u001b[31m\u009b" }, "named \u001b[31m\r");
  logger.error({ error: new Error("boom \u001b[2J", { cause: new Error("deep \u0007") }) }, "failed");
  const text = lines.join("");
  assert.match(text, /INFO: named /);
  assert.match(text, /boom .*deep/s);
  assert.doesNotMatch(text, /(?!\n)\p{Cc}/u);
});
