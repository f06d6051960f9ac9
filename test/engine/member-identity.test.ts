import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished, test } from "vitest";
import { MemberIdentity } from "../../src/engine/member-identity.ts";

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
