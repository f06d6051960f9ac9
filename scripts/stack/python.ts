import { programFound, runCommand } from "./command.ts";
import type { MissingPackage } from "./missing-package.ts";

/** The oldest that the foreign clients of `test/interop` are tried with. */
const minorMin = 11;

/** What is wrong with the `python3` on the PATH, if anything: a version too old, or one that can make no environments. */
export async function missingPython(): Promise<MissingPackage | undefined> {
  const wanted = `the test with foreign clients needs Python 3.${minorMin} or later with venv`;
  const packages = ["python3-venv"];
  if (!programFound("python3")) return { complaint: `${wanted}, there is none`, packages };
  const probe = "import sys, venv, ensurepip; print(*sys.version_info[:2])";
  try {
    const { out } = await runCommand("python3", ["-c", probe], { timeoutMs: 20_000 });
    const [major = 0, minor = 0] = out.trim().split(" ").map(Number);
    if (major > 3 || (major === 3 && minor >= minorMin)) return undefined;
    return { complaint: `${wanted}, this is ${major}.${minor}`, packages: ["python3.11-venv"] };
  } catch {
    return { complaint: `${wanted}, this one has no venv`, packages };
  }
}
