import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { MemberIdentity } from "../../src/engine/member-identity.ts";
import { LevelBackend } from "../../src/state/level-backend.ts";

function stateDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "kappa-identity-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

test("an identity is the same again once it was released, and is nobody else's before", async () => {
  const stateDir = stateDirectory();
  const first = await MemberIdentity.claim(stateDir);
  const second = await MemberIdentity.claim(stateDir);
  assert.notEqual(second.id, first.id);
  await first.release();
  const again = await MemberIdentity.claim(stateDir);
  assert.equal(again.id, first.id);
  await Promise.all([again.release(), second.release()]);
});

test("an identity whose files are damaged is another one, and no reason not to start", async () => {
  const stateDir = stateDirectory();
  const first = await MemberIdentity.claim(stateDir);
  await first.release();
  writeFileSync(join(stateDir, "member-0", "CURRENT"), "nothing");
  const next = await MemberIdentity.claim(stateDir);
  assert.notEqual(next.id, first.id);
  await next.release();
  const again = await MemberIdentity.claim(stateDir);
  assert.equal(again.id, next.id);
  await again.release();
});

test("a damaged identity that another process has meanwhile begun anew is left to it", async () => {
  const stateDir = stateDirectory();
  const { open } = LevelBackend;
  onTestFinished(() => {
    LevelBackend.open = open;
  });
  let other: LevelBackend | undefined;
  LevelBackend.open = async (options) => {
    LevelBackend.open = open;
    other = await open(options);
    throw new KappaError("KAPPA_STATE_CORRUPT", "state in member-0 is damaged");
  };
  const identity = await MemberIdentity.claim(stateDir);
  assert.ok(existsSync(join(stateDir, "member-0", "CURRENT")), "its files are there");
  assert.ok(existsSync(join(stateDir, "member-1")), "this process has another identity");
  await other?.close();
  await identity.release();
});

test("an identity that could not be written down is free for the next attempt", async () => {
  const stateDir = stateDirectory();
  const { batch } = LevelBackend.prototype;
  onTestFinished(() => {
    LevelBackend.prototype.batch = batch;
  });
  LevelBackend.prototype.batch = () => {
    LevelBackend.prototype.batch = batch;
    throw new KappaError("KAPPA_STATE_FAILED", "no space left");
  };
  await assert.rejects(MemberIdentity.claim(stateDir), { code: "KAPPA_STATE_FAILED" });
  const identity = await MemberIdentity.claim(stateDir);
  assert.ok(!existsSync(join(stateDir, "member-1")), "the first one is taken");
  await identity.release();
});
