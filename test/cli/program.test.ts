import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { afterEach, beforeEach, test } from "vitest";
import { collectParameter, noParameters, parameterText } from "../../src/cli/arguments.ts";
import { parseDuration, parsePosition } from "../../src/cli/log-position.ts";
import { jsonLine, shellWord, visible } from "../../src/cli/plain-text.ts";
import { CommandFolder, paymentSchema } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => folder[Symbol.dispose]());

test("help and version are answers; an unknown verb or option is wrong usage with a suggestion", async () => {
  assert.equal((await folder.run("--version")).code, 0);
  const help = await folder.run("topics tail --help");
  assert.equal(help.code, 0);
  assert.match(help.out, /--data-dir <value>/, "options of the program are shown with those of the verb");
  const verb = await folder.run("topcs");
  assert.deepEqual([verb.code, verb.out], [2, ""]);
  assert.match(verb.err, /Did you mean topics\?/);
  const option = await folder.run("topics tail x --partion 1");
  assert.equal(option.code, 2);
  assert.match(option.err, /Did you mean --partition\?/);
  assert.equal((await folder.run("")).code, 2);
});

test("a stack is shown with --debug alone", async () => {
  const plain = await folder.run("topics list");
  assert.equal(plain.code, 2);
  assert.match(plain.err, /^error: there is no log in .* \(KAPPA_USAGE\)\n$/);
  assert.match((await folder.run("topics list --debug")).err, /\n\s+at /);
});

test("the next command carries the data folder and the parameters that were given", async () => {
  const created = await folder.run("--data-dir other topics create a");
  assert.match(created.err, /next: kappa produce a .* --data-dir other\n$/);
});

test("the configuration is printed with where each value came from", async () => {
  writeFileSync(folder.file(".env"), "HTTP_TOKEN=0123456789abcdef\n");
  const { rows, out } = await folder.run("config --http-port 7777 --json");
  const row = (name: string) => rows.find((each) => each.name === name);
  assert.deepEqual(row("httpPort"), { name: "httpPort", value: "7777", source: "flag" });
  assert.deepEqual(row("httpToken"), { name: "httpToken", value: "********", source: ".env" });
  assert.doesNotMatch(out, /0123456789abcdef/);
  const wrong = await folder.run("config --http-port 99999");
  assert.equal(wrong.code, 2);
  assert.match(wrong.err, /--http-port/);
});

test("schemas are registered and listed; one that breaks readers, or takes a taken id, is refused", async () => {
  writeFileSync(folder.file("v1.avsc"), JSON.stringify(paymentSchema));
  const changed = { ...paymentSchema, fields: [...paymentSchema.fields, { name: "extra", type: "string" }] };
  writeFileSync(folder.file("v2.avsc"), JSON.stringify(changed));
  assert.deepEqual((await folder.run("schemas register p-value v1.avsc --id 7")).rows, [
    { subject: "p-value", version: 1, id: 7 },
  ]);
  const broken = await folder.run("schemas register p-value v2.avsc");
  assert.equal(broken.code, 2);
  assert.match(broken.err, /extra/);
  assert.equal((await folder.run("schemas register other-value v2.avsc --id 7")).code, 2);
  const missing = await folder.run("schemas register p-value gone.avsc");
  assert.match(missing.err, /cannot read the schema/);
  assert.equal(missing.code, 2);
  const { rows } = await folder.run("schemas list --json");
  assert.deepEqual(
    rows.map(({ subject, version, id }) => [subject, version, id]),
    [["p-value", 1, 7]],
  );
});

test("the entry file runs as a process, and its exit code is that of the program", () => {
  const main = join(import.meta.dirname, "..", "..", "src", "cli", "main.ts");
  const kappa = (...words: string[]) =>
    spawnSync(process.execPath, [main, ...words], { cwd: folder.path, encoding: "utf8" });
  assert.equal(kappa("--version").status, 0);
  const wrong = kappa("nothing");
  assert.deepEqual([wrong.status, wrong.stdout], [2, ""]);
});

test("positions and lengths of time are read as people write them", () => {
  const nowMs = Date.UTC(2026, 0, 2);
  assert.deepEqual(parsePosition("-2h", nowMs), { kind: "time", timeMs: nowMs - 7_200_000 });
  assert.deepEqual(parsePosition("2026-01-01", nowMs), { kind: "time", timeMs: Date.UTC(2026, 0, 1) });
  assert.deepEqual(parsePosition("12", nowMs), { kind: "offset", offset: 12n });
  assert.equal(parseDuration("1.5h"), 5_400_000);
  for (const text of ["", "5", "1y", "h", "-1h", "2 h"]) assert.throws(() => parseDuration(text));
  for (const text of ["", "2h", "today", "2026-13-01", "1e3"]) assert.throws(() => parsePosition(text, nowMs));
});

test("parameters are numbers, booleans and null where they look like it, and come back as printed", () => {
  const given = ["a=1", "b=true", "c=null", "d=x=y", 'e="7"', "f=", "g=007"].reduce(
    (all, text) => collectParameter(text, all),
    noParameters,
  );
  assert.deepEqual(given, { a: 1, b: true, c: null, d: "x=y", e: "7", f: "", g: "007" });
  for (const [name, value] of Object.entries(given)) {
    assert.deepEqual(collectParameter(`${name}=${parameterText(value)}`, noParameters), { [name]: value });
  }
  assert.throws(() => collectParameter("=1", noParameters));
});

test("no control character of data reaches a terminal", () => {
  assert.equal(visible("a\x1b[2J\x9b\tb"), "a\\x1b[2J\\x9b\tb");
  assert.equal(jsonLine({ a: "\x1b\x7f\x9b" }), '{"a":"\\u001b\\u007f\\u009b"}');
  assert.deepEqual(JSON.parse(jsonLine({ a: "\x1b\x7f\x9b" })), { a: "\x1b\x7f\x9b" });
  assert.equal(shellWord("it's $HOME"), `'it'\\''s $HOME'`);
});
