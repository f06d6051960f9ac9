import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";
import { LevelFolders } from "../../src/engine/level-folders.ts";
import { TaskDatabases } from "../../src/engine/task-databases.ts";
import { taskFolders } from "../../src/engine/task-folders.ts";
import { Child } from "../bench/child.ts";

// Goal: a process that is stopped keeps its databases locked; whoever takes its tasks over has databases of its own, and
// when the process is dead there is one of each again. Method: a second process, and the signals themselves.

const taskBytes = 1 << 20;

let stateDir: string;
let owner: Child;

const databases = (evades: boolean) => new TaskDatabases({ folders: new LevelFolders(stateDir), taskBytes, evades });
const folders = () => readdirSync(stateDir).sort();

/** Opens a task's database, writes that it is at `position` and closes it. @returns what it was at before */
async function write(partition: number, position: string): Promise<string | undefined> {
  const database = await databases(true).open(partition, false);
  const before = database.position?.toString();
  await database.beginFlush(Buffer.from(position)).write();
  await database.close();
  return before;
}

beforeEach(async () => {
  stateDir = mkdtempSync(join(tmpdir(), "kappa-databases-"));
  await write(3, "first");
  owner = new Child(new URL("./task-databases-process.ts", import.meta.url).href, { stateDir, partition: 3 });
  await owner.hear("open");
  process.kill(owner.pid, "SIGSTOP");
});

afterEach(() => {
  owner.kill();
  rmSync(stateDir, { recursive: true, force: true });
});

async function ownerDies(): Promise<void> {
  owner.kill();
  await owner.ended().catch(() => {}); // it was killed
}

test("where databases are not evaded, one that a stopped process has open is refused", async () => {
  await assert.rejects(databases(false).open(3, false), { code: "KAPPA_STATE_LOCKED" });
  await assert.rejects(databases(false).open(3, true), { code: "KAPPA_STATE_LOCKED" });
  assert.deepEqual(folders(), ["3"]);
});

test("while its owner is stopped a task has a database of its own, even one that is to be thrown away", async () => {
  assert.equal(await write(3, "second"), undefined);
  assert.deepEqual(folders(), ["3", "3-2"]);
  assert.equal(await write(3, "third"), "second");
  const afresh = await databases(true).open(3, true);
  assert.equal(afresh.position, null);
  await afresh.close();
  assert.deepEqual(folders(), ["3", "3-2"]);
});

test("once the owner is dead the database that was opened last is used, and the other one goes", async () => {
  await write(3, "second");
  await ownerDies();
  assert.equal(await write(3, "third"), "second");
  assert.deepEqual(folders(), ["3-2"]);
  assert.equal(await write(3, "fourth"), "third");
});

test("an owner that wakes up keeps its database until it closes it, and takes up the newest when it is its turn", async () => {
  await write(3, "second");
  process.kill(owner.pid, "SIGCONT");
  assert.equal(await write(3, "third"), "second");
  assert.ok(existsSync(join(stateDir, "3")));
  await owner.ask("close");
  assert.equal(taskFolders(stateDir).get(3)?.[0]?.path, join(stateDir, "3-2"));
  assert.equal(await owner.ask("open again"), "third");
  assert.deepEqual(folders(), ["3-2"]);
});
