import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, beforeEach, test } from "vitest";
import type { FilePlace, RowFields } from "../../src/cli/row-file.ts";
import { openRowFile } from "../../src/cli/row-file-opener.ts";
import { KappaError } from "../../src/core/errors.ts";
import { CommandFolder } from "./command.ts";

let folder: CommandFolder;
beforeEach(() => {
  folder = new CommandFolder();
});
afterEach(() => folder[Symbol.dispose]());

const start: FilePlace = { row: 0, byte: 0 };

async function read(name: string, from = start): Promise<{ rows: (RowFields | KappaError)[]; places: FilePlace[] }> {
  const file = await openRowFile(folder.file(name));
  const rows: (RowFields | KappaError)[] = [];
  const places: FilePlace[] = [];
  for await (const chunk of file.chunks(from)) {
    rows.push(...chunk.rows);
    places.push(chunk.end);
  }
  await file.close();
  return { rows, places };
}

const quoted = (field: string | null): string => (field === null ? "" : `"${field.replaceAll('"', '""')}"`);

test("what RFC 4180 quotes comes back, whatever it holds", async () => {
  const field = fc.option(fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", "ö", " "), maxLength: 6 }));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(field, field), { maxLength: 8 }), async (rows) => {
      // A row of two nulls is the line ",": told from an empty line, which is no row.
      const lines = rows.map((row) => `${row.map(quoted).join(",")}\r\n`);
      writeFileSync(folder.file("t.csv"), `a,b\r\n${lines.join("")}`);
      const { rows: found } = await read("t.csv");
      assert.deepEqual(
        found,
        rows.map(([a, b]) => ({ a, b })),
      );
    }),
    { numRuns: 60 },
  );
});

test("reading goes on from any place that was named, without a row twice or missing", async () => {
  const lines = Array.from({ length: 10_000 }, (_, i) => `${i},"x\n${"y".repeat(i % 300)}"\n`);
  writeFileSync(folder.file("t.csv"), `id,text\n${lines.join("")}`);
  writeFileSync(folder.file("t.ndjson"), lines.map((_, i) => `{"id":"${i}"}\n`).join(""));
  for (const name of ["t.csv", "t.ndjson"]) {
    const whole = await read(name);
    assert.equal(whole.rows.length, 10_000);
    assert.ok(whole.places.length > 2);
    for (const place of whole.places) {
      const rest = await read(name, place);
      assert.equal((rest.rows[0] as RowFields | undefined)?.id, place.row === 10_000 ? undefined : String(place.row));
      assert.equal(rest.rows.length, 10_000 - place.row);
    }
  }
});

test("a row with too many or too few fields is a fault of that row alone", async () => {
  writeFileSync(folder.file("t.csv"), "a,b\n1,2\n1\n1,2,3\n3,4");
  const { rows } = await read("t.csv");
  assert.deepEqual(
    rows.map((row) => (row instanceof KappaError ? row.message : row)),
    [{ a: "1", b: "2" }, "it has 1 fields, the head names 2", "it has 3 fields, the head names 2", { a: "3", b: "4" }],
  );
});

test("a head that names no column, or one twice, is refused", async () => {
  for (const head of ["", "a,,b\n", "a,a\n"]) {
    writeFileSync(folder.file("t.csv"), head);
    await assert.rejects(read("t.csv"), (error) => error instanceof KappaError && error.code === "KAPPA_FILE_INVALID");
  }
});
