import assert from "node:assert/strict";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { afterAll, beforeAll, test } from "vitest";
import { KappaError } from "../../src/index.ts";
import { LevelBackend } from "../../src/state/level-backend.ts";
import { readLevelFiles } from "../../src/state/level-files.ts";
import { LevelLedger } from "../../src/state/level-ledger.ts";
import { seededRandom } from "../log/power-cut.ts";

// Goal: whatever happens to the files of a database, it is the state as of one of its batches, or it says that it is
// damaged. Method: batches over few keys, each with its own number under one of them, so that what is read back can be
// compared with what a map held after that batch.

const keyCount = 2000;
const batches = 240;
const markerKey = Buffer.from([1, 0, 0]);

const keyOf = (n: number): Buffer => Buffer.from([1, 1 + (n >>> 8), n & 0xff]);

interface Model {
  /** After batch n: version of each key, 0 when it has none. */
  readonly versions: readonly Uint16Array[];
  readonly directory: string;
}

/** A value is of its key and version, and longer than they are, so that blocks are compressed. */
const written = (n: number, version: number): Buffer =>
  Buffer.from(`${n} ${version} ${"payment ".repeat(3 + (n % 7))}${(n * version) % 997}`);

let model: Model;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "kappa-level-"));
  const random = seededRandom(7);
  const backend = await LevelBackend.open({ path: join(directory, "whole"), writeBufferBytes: 64 * 1024 });
  const versions = [new Uint16Array(keyCount)];
  for (let n = 1; n <= batches; n++) {
    const held = Uint16Array.from(versions[n - 1] as Uint16Array);
    const batch = backend.batch();
    batch.put(markerKey, Buffer.from(String(n)));
    for (let i = 0; i < 60; i++) {
      const key = Math.floor(random() ** 2 * keyCount);
      held[key] = random() < 0.15 ? 0 : n;
      if (held[key] === 0) batch.delete(keyOf(key));
      else batch.put(keyOf(key), written(key, n));
    }
    await batch.write(false);
    versions.push(held);
    // Once what is young is a table too, so that there are several levels.
    if (n === batches / 2) await backend.compact(Buffer.from([1]), Buffer.from([2]));
  }
  await backend.close();
  model = { versions, directory };
});

afterAll(() => rmSync(model.directory, { recursive: true, force: true }));

/** Opens it and reads every key. @returns the batch that it is as of; null when it says that it is damaged */
async function readBack(path: string, random: () => number): Promise<number | null> {
  let backend: LevelBackend | undefined;
  try {
    backend = await LevelBackend.open({ path, writeBufferBytes: 64 * 1024 });
    const start = Math.floor(random() * keyCount);
    const read: (string | undefined)[] = [];
    for (let i = 0; i < keyCount; i++) {
      const key = (start + i) % keyCount;
      read[key] = backend.get(keyOf(key))?.toString();
    }
    const n = Number(backend.get(markerKey)?.toString() ?? 0);
    const held = model.versions[n] as Uint16Array;
    for (let key = 0; key < keyCount; key++) {
      const version = held[key] as number;
      const expected = version === 0 ? undefined : written(key, version).toString();
      assert.equal(read[key], expected, `key ${key} after batch ${n}`);
    }
    return n;
  } catch (error) {
    if (error instanceof KappaError && error.code === "KAPPA_STATE_CORRUPT") return null;
    throw error;
  } finally {
    await backend?.close();
  }
}

type Harm = (path: string, bytes: Buffer, random: () => number) => void;

/** What can happen to a file. */
const harms: Readonly<Record<string, Harm>> = {
  "a flipped bit": (path, bytes, random) => {
    const at = Math.floor(random() * bytes.length);
    bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(random() * 8));
    writeFileSync(path, bytes);
  },
  "a zeroed page": (path, bytes, random) => {
    const at = 4096 * Math.floor((random() * bytes.length) / 4096);
    bytes.fill(0, at, Math.min(bytes.length, at + 4096));
    writeFileSync(path, bytes);
  },
  "an end that is cut off": (path, bytes, random) => truncateSync(path, Math.floor(random() * bytes.length)),
  "an end of zeros": (path, bytes, random) => {
    bytes.fill(0, Math.floor(random() * bytes.length));
    writeFileSync(path, bytes);
  },
  "a missing file": (path) => rmSync(path),
  "other bytes": (path, bytes, random) => {
    const at = Math.floor(random() * bytes.length);
    for (let i = at; i < Math.min(bytes.length, at + 40); i++) bytes[i] = Math.floor(random() * 256);
    writeFileSync(path, bytes);
  },
};

test("the database that is damaged has several tables, and a log of several batches", async () => {
  const names = readdirSync(join(model.directory, "whole"));
  const bytesOf = (suffix: string) =>
    names
      .filter((name) => name.endsWith(suffix))
      .map((name) => readFileSync(join(model.directory, "whole", name)).length);
  assert.ok(bytesOf(".ldb").length >= 3, names.join(" "));
  assert.ok(Math.max(...bytesOf(".log")) > 3 * 4096, names.join(" "));
  const copy = join(model.directory, "sound");
  cpSync(join(model.directory, "whole"), copy, { recursive: true });
  assert.equal(await readBack(copy, Math.random), batches);
});

test("a table that was found sound is read again when it was touched since, or the system was started anew", async () => {
  const path = join(model.directory, "place");
  cpSync(join(model.directory, "whole"), path, { recursive: true });
  await (await LevelBackend.open({ path })).close(); // what is young is a table from here on
  await (await LevelBackend.open({ path })).close();
  const [table] = readdirSync(path).filter((name) => name.endsWith(".ldb"));
  const file = join(path, table as string);
  const bytes = readFileSync(file);
  const at = Math.floor(bytes.length / 2);
  bytes[at] = (bytes[at] as number) ^ 1;
  const { atime, mtime } = statSync(file);
  writeFileSync(file, bytes);
  utimesSync(file, atime, mtime); // as if nobody had touched it
  await assert.rejects(LevelBackend.open({ path }), { code: "KAPPA_STATE_CORRUPT" });

  await (await LevelLedger.check(path, [])).close(); // notes all tables and has read none
  await LevelLedger.check(path, await readLevelFiles(path)); // believes it: this is what makes an opening quick
  const [, boot, ...lines] = readFileSync(join(path, "CHECKED"), "latin1").split("\n");
  const otherBoot = [boot?.replaceAll(/\w/g, "0"), ...lines].join("\n");
  writeFileSync(join(path, "CHECKED"), `${crc32(otherBoot).toString(16)}\n${otherBoot}`);
  await assert.rejects(LevelBackend.open({ path }), { code: "KAPPA_STATE_CORRUPT" });
});

for (const [name, harm] of Object.entries(harms)) {
  test(`${name} anywhere: the state as of one batch, or damage`, async () => {
    let [found, sooner] = [0, 0];
    for (let seed = 1; seed <= 150; seed++) {
      const random = seededRandom(seed);
      const copy = join(model.directory, "copy");
      rmSync(copy, { recursive: true, force: true });
      cpSync(join(model.directory, "whole"), copy, { recursive: true });
      const names = readdirSync(copy).filter((each) => /^(CURRENT|MANIFEST-.*|.*\.(ldb|log))$/.test(each));
      const file = join(copy, names[Math.floor(random() * names.length)] as string);
      harm(file, readFileSync(file), random);
      const n = await readBack(copy, random).catch((error: unknown) => {
        throw new Error(`seed ${seed}, ${file}`, { cause: error });
      });
      if (n === null) found++;
      else if (n < batches) sooner++;
    }
    assert.ok(found + sooner > 75, `${found} found, ${sooner} sooner`);
  });
}
