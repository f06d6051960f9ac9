import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { KappaError } from "../core/errors.ts";
import { readLevelLog } from "./level-log.ts";
import { LevelVarints } from "./level-varints.ts";

/** A table of a database, as its MANIFEST has it. */
export interface LevelTable {
  readonly name: string;
  readonly bytes: number;
}

/** Tags in an edit of a MANIFEST. */
const tags = { comparator: 1, logNumber: 2, compactPointer: 5, deletedFile: 6, newFile: 7 } as const;
/** Of numbers that say nothing here: next file, last sequence, previous log of an old release. */
const numberTags: readonly number[] = [3, 4, 9];

/** In front of the operations of a batch: sequence u64, count u32. */
const batchHeaderBytes = 12;

/** What the edits of a MANIFEST come to. */
interface LevelVersion {
  /** Logs before this one are in tables. */
  logNumber: number;
  /** By level and number. */
  readonly tables: Map<string, LevelTable>;
}

/**
 * Looks at the files of a database that is about to be opened, since LevelDB takes damage for a shorter history: it
 * begins anew without a CURRENT, skips zeros in a MANIFEST, and drops batches in the middle of a log. Whatever is
 * missing here has something newer behind it; a log that merely ends sooner is the state as of an earlier batch.
 *
 * @returns its tables, of which nothing is known but that they are there; none for a database that is not
 * @throws KAPPA_STATE_CORRUPT; also for a database that another process is writing to
 */
export async function readLevelFiles(path: string): Promise<LevelTable[]> {
  if (!existsSync(path)) return [];
  const names = await readdir(path);
  if (!names.includes("CURRENT")) {
    const left = names.find((name) => /^\d+\.(ldb|log)$/.test(name));
    if (left === undefined) return [];
    throw damaged(path, `CURRENT is missing, ${left} is there`);
  }
  const current = await readFile(join(path, "CURRENT"), "latin1");
  const manifest = /^(MANIFEST-\d+)\n$/.exec(current)?.[1];
  if (manifest === undefined) throw damaged(path, `CURRENT names no MANIFEST in its ${current.length} bytes`);
  if (!names.includes(manifest)) throw damaged(path, `${manifest} is missing, which CURRENT names`);
  const version = readManifest(path, manifest, await readFile(join(path, manifest)));
  await checkBatches(path, names, version);
  const tables = [...version.tables.values()];
  const missing = tables.find(({ name }) => !names.includes(name));
  if (missing !== undefined) throw damaged(path, `${missing.name} is missing, which ${manifest} names`);
  return tables;
}

function readManifest(path: string, name: string, bytes: Buffer): LevelVersion {
  const { records, gapAt } = readLevelLog(bytes);
  if (gapAt !== null) throw damaged(path, `${name} cannot be read at ${gapAt} of ${bytes.length}`);
  const version: LevelVersion = { logNumber: -1, tables: new Map() };
  try {
    for (const record of records) applyEdit(version, record);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw damaged(path, `${name} holds an edit that cannot be read`);
  }
  if (version.logNumber < 0) throw damaged(path, `${name} begins with no whole edit`);
  return version;
}

function applyEdit(version: LevelVersion, edit: Buffer): void {
  const reader = new LevelVarints(edit);
  while (!reader.ended) {
    const tag = reader.number();
    if (tag === tags.comparator) reader.lengthAndBytes();
    else if (tag === tags.logNumber) version.logNumber = reader.number();
    else if (numberTags.includes(tag)) reader.number();
    else if (tag === tags.compactPointer) {
      reader.number();
      reader.lengthAndBytes();
    } else if (tag === tags.deletedFile) version.tables.delete(`${reader.number()} ${reader.number()}`);
    else if (tag === tags.newFile) {
      const [level, number, bytes] = [reader.number(), reader.number(), reader.number()];
      for (const _end of ["smallest key", "largest key"]) reader.lengthAndBytes();
      version.tables.set(`${level} ${number}`, { name: `${fileNumber(number)}.ldb`, bytes });
    } else throw new RangeError(`tag ${tag}`);
  }
}

function fileNumber(number: number): string {
  return String(number).padStart(6, "0");
}

/**
 * LevelDB numbers the operations of all batches in one row. Those that are in no table yet are in the log that the
 * MANIFEST names and in later ones, and none may be missing between two.
 */
async function checkBatches(path: string, names: readonly string[], { logNumber }: LevelVersion): Promise<void> {
  const numbers = names
    .map((name) => Number(/^(\d+)\.log$/.exec(name)?.[1] ?? -1))
    .filter((number) => number >= logNumber)
    .sort((a, b) => a - b);
  // A database that was never written to names none.
  if (logNumber > 0 && numbers[0] !== logNumber) throw damaged(path, `${logName(logNumber)} is missing`);
  let next: number | null = null;
  for (const number of numbers) {
    const { records, gapAt } = readLevelLog(await readFile(join(path, logName(number))));
    if (gapAt !== null) throw damaged(path, `${logName(number)} cannot be read at ${gapAt}, and has batches behind it`);
    for (const record of records) {
      const first = record.length < batchHeaderBytes ? -1 : Number(record.readBigUInt64LE(0));
      if (first < 0 || (next === null ? number !== logNumber : first !== next))
        throw damaged(path, `${logName(number)} goes on at ${first}, where ${next ?? "an earlier log"} is next`);
      next = first + record.readUInt32LE(batchHeaderBytes - 4);
    }
  }
}

function logName(number: number): string {
  return `${fileNumber(number)}.log`;
}

/** What the files of a database hold is not what was written. */
export function damaged(path: string, what: string): KappaError {
  return new KappaError("KAPPA_STATE_CORRUPT", `state in ${path} is damaged: ${what}`, { path });
}
