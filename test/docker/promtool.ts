import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programFound } from "../../scripts/stack/command.ts";

/** `promtool` comes with Prometheus, which `npm test` has prepared before (`npm run stack -- --prepare`). */
export const promtoolFound = programFound("promtool");

/** What promtool says against its arguments, or nothing when it is content. */
export function promtool(...args: readonly string[]): string | undefined {
  const { status, stdout, stderr } = spawnSync("promtool", args, { encoding: "utf8" });
  return status === 0 ? undefined : `${stdout}${stderr}`;
}

/** What promtool says against these expressions, or nothing. */
export function promtoolOn(expressions: readonly string[]): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "kappa-rules-"));
  const rules = expressions.map((expr, index) => ({ record: `expression:${index}`, expr }));
  const file = join(folder, "rules.yml");
  writeFileSync(file, JSON.stringify({ groups: [{ name: "expressions", rules }] }));
  try {
    return promtool("check", "rules", file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
