import { existsSync, readFileSync, statSync } from "node:fs";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { systemClock } from "../core/clock.ts";
import { damaged, type LevelTable } from "./level-files.ts";
import { tableDamage } from "./level-table.ts";

const fileName = "CHECKED";
/** Changes with every start of the system. */
const bootFile = "/proc/sys/kernel/random/boot_id";

/** Between two looks at which tables there are, in ms: LevelDB can make a hundred MB of them in one. */
const lookEveryMs = 1000;
/** A table that was written to so recently may still grow, in ms: one of 2 MB is written in a fifth of it. */
const growingMs = 500;

/**
 * Which tables of a database are sound. LevelDB does not look at their checksums: a flipped bit is an absent key or an
 * older value of it, or, once the table is compacted, a failed assertion that ends the process. So every table is read
 * before LevelDB opens the database, unless a file beside them says that nobody has touched it since LevelDB wrote it or
 * since it was read:
 *
 *     | crc32 of the rest, hex | boot id | a line a table: name, bytes, times of change, inode |
 *
 * An opening after a crash reads what is younger than the last look. The system's start makes the file worthless: what
 * disks lose when the power is cut shows in no time of change.
 */
export class LevelLedger {
  readonly #path: string;
  readonly #boot: string | null;
  /** Lines by table. */
  #sound: Map<string, string>;
  /** What the file says. */
  #written = "";
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | null = null;

  private constructor(path: string, boot: string | null, sound: Map<string, string>) {
    this.#path = path;
    this.#boot = boot;
    this.#sound = sound;
  }

  /** Reads the tables that are not known to be sound. @throws KAPPA_STATE_CORRUPT */
  static async check(path: string, tables: readonly LevelTable[]): Promise<LevelLedger> {
    const boot = existsSync(bootFile) ? readFileSync(bootFile, "latin1").trim() : null;
    const known = boot === null ? new Set() : await linesKnown(join(path, fileName), boot);
    const sound = new Map<string, string>();
    for (const { name, bytes } of tables) {
      const line = lineOf(path, name);
      if (line === undefined || !known.has(line)) {
        const content = await readFile(join(path, name));
        const size = content.length === bytes ? null : `${content.length} bytes, its MANIFEST says ${bytes}`;
        const damage = size ?? tableDamage(content);
        if (damage !== null) throw damaged(path, `${name}: ${damage}`);
      }
      if (line !== undefined) sound.set(name, line);
    }
    return new LevelLedger(path, boot, sound);
  }

  /** From now on notes the tables that LevelDB has made, until it is closed. */
  watch(): void {
    this.#look();
    this.#timer = setInterval(() => this.#look(), lookEveryMs).unref();
  }

  #look(): void {
    if (this.#looking !== null) return;
    // It saves time, no more.
    this.#looking = this.#write(systemClock.now() - growingMs)
      .catch(() => {})
      .finally(() => {
        this.#looking = null;
      });
  }

  /** LevelDB has closed the database: its tables stay as they are. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
    await this.#write(Number.POSITIVE_INFINITY).catch(() => {});
  }

  async #write(writtenBeforeMs: number): Promise<void> {
    if (this.#boot === null) return;
    const sound = new Map<string, string>();
    for (const name of await readdir(this.#path)) {
      if (!name.endsWith(".ldb")) continue;
      const line = this.#sound.get(name) ?? lineOf(this.#path, name, writtenBeforeMs);
      if (line !== undefined) sound.set(name, line);
    }
    this.#sound = sound;
    const text = [this.#boot, ...sound.values(), ""].join("\n");
    if (text === this.#written) return;
    const path = join(this.#path, fileName);
    await writeFile(`${path}.new`, `${checksumOf(text)}\n${text}`, "latin1");
    await rename(`${path}.new`, path);
    this.#written = text;
  }
}

/** What the file system says of a table; undefined when it is gone, or was written to later. */
function lineOf(path: string, name: string, writtenBeforeMs = Number.POSITIVE_INFINITY): string | undefined {
  const found = statSync(join(path, name), { bigint: true, throwIfNoEntry: false });
  if (found === undefined || Number(found.mtimeMs) > writtenBeforeMs) return undefined;
  return `${name} ${found.size} ${found.mtimeNs} ${found.ctimeNs} ${found.ino}`;
}

async function linesKnown(path: string, boot: string): Promise<Set<string>> {
  if (!existsSync(path)) return new Set();
  const content = await readFile(path, "latin1");
  const end = content.indexOf("\n");
  const text = content.slice(end + 1);
  if (content.slice(0, end) !== checksumOf(text) || !text.startsWith(`${boot}\n`)) return new Set();
  return new Set(text.split("\n").slice(1, -1));
}

function checksumOf(text: string): string {
  return crc32(Buffer.from(text, "latin1")).toString(16);
}
