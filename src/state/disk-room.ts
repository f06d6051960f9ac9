import { constants, existsSync } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { KappaError, messageOf } from "../core/errors.ts";

const mib = 1024 * 1024;

/**
 * Looks whether a disk may be written to and has room for so many bytes more, before files are opened on it. On a disk that
 * is full to the last byte but one, opening would succeed and the next write fail, again and again. Of one that is read
 * only, Node says that the folder to be made does not exist.
 *
 * @param path need not exist
 * @throws KAPPA_STATE_FAILED
 */
export async function requireRoom(path: string, bytes: number): Promise<void> {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  try {
    await access(at, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new KappaError("KAPPA_STATE_FAILED", `state in ${path}: ${messageOf(error)}`, { path }, error);
  }
  const { bavail, bsize, blocks } = await statfs(at);
  const free = bavail * bsize;
  // A file system without a bound says that it has no block.
  if (blocks === 0 || free >= bytes) return;
  throw new KappaError(
    "KAPPA_STATE_FAILED",
    `state in ${path}: no space left: ${Math.floor(free / mib)} MiB free, ${Math.ceil(bytes / mib)} needed`,
    { path, free, needed: bytes },
  );
}
