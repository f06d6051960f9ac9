import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { KappaError } from "../core/errors.ts";

/** File in the state folder of an application that names the log the state is of. */
const fileName = "log";

/** What state was of before there was such a file. */
const originBefore = "the embedded log";

/**
 * Binds the state folder of an application to one log. Offsets and commit numbers of two clusters look alike, so state of
 * the one would be taken for state of the other, and be wrong without a sign.
 *
 * @param directory state folder of the application @param origin names the log
 * @throws KAPPA_STATE_INCOMPATIBLE when the state is of another log
 */
export function bindStateFolder(directory: string, origin: string): void {
  const file = join(directory, fileName);
  const bound = boundTo(directory, file);
  if (bound === origin) return;
  if (bound === undefined) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(file, `${origin}\n`);
    return;
  }
  throw new KappaError(
    "KAPPA_STATE_INCOMPATIBLE",
    `the state in ${directory} is of ${bound}, the application reads ${origin}; name another --state-dir, or delete ` +
      "that folder: it is built again from the log",
    { directory },
  );
}

/** The log that the state is of; undefined when there is none yet. */
function boundTo(directory: string, file: string): string | undefined {
  if (existsSync(file)) return readFileSync(file, "utf8").trim();
  const tasks = existsSync(directory) && readdirSync(directory).some((name) => /^\d/.test(name));
  return tasks ? originBefore : undefined;
}
