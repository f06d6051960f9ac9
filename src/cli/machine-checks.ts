import { constants, existsSync } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { KappaError, messageOf } from "../core/errors.ts";
import { readDurableEnd } from "../log/file-log-durable-end.ts";
import { socketPath } from "../log/file-log-server.ts";
import { nodeFileSystem } from "../log/file-system.ts";
import type { Config } from "./config.ts";
import type { DataFolder } from "./data-folder.ts";
import { bad, type CheckResult, good } from "./health-check.ts";

/** Below this much free disk, in bytes, a check fails: a busy log writes as much in minutes. */
const freeBytesMin = 1 << 30;

/** Node, the folders and the disk. */
export async function checkMachine(folder: DataFolder, stateDir: string): Promise<CheckResult[]> {
  return [
    nodeVersion(),
    await writable("data folder", folder.path, "name another with --data-dir"),
    await writable("state folder", stateDir, "name another with --state-dir"),
    await freeDisk(folder.path),
  ];
}

function nodeVersion(): CheckResult {
  const { node } = process.versions;
  return Number(node.split(".")[0]) >= 24
    ? good("node", `v${node}`)
    : bad("node", `v${node}, needed 24`, "run npx kappa, which brings its own");
}

async function writable(name: string, path: string, fix: string): Promise<CheckResult> {
  const existing = nearestExisting(path);
  try {
    await access(existing, constants.R_OK | constants.W_OK | constants.X_OK);
    return good(name, existing === path ? path : `${path}, to be created`);
  } catch (error) {
    return bad(name, `${path} cannot be written: ${messageOf(error)}`, `chmod u+rwx ${existing}, or ${fix}`);
  }
}

async function freeDisk(path: string): Promise<CheckResult> {
  const { bavail, bsize } = await statfs(nearestExisting(path));
  const free = bavail * bsize;
  const detail = `${(free / 2 ** 30).toFixed(1)} GiB free`;
  return free >= freeBytesMin
    ? good("disk", detail)
    : bad("disk", `${detail}, needed 1 GiB`, "free some, or name a folder on another disk with --data-dir");
}

/** The folder that a folder would be created in. */
function nearestExisting(path: string): string {
  for (let at = path; ; at = dirname(at)) if (existsSync(at) || at === dirname(at)) return at;
}

/** Who holds the embedded log. A run is alive when its socket takes connections; whether it also answers over HTTP is told beside. */
export async function checkOwner(folder: DataFolder, { httpHost, httpPort }: Config): Promise<CheckResult> {
  if (!existsSync(join(folder.logDirectory, "lock"))) return good("log", "there is none yet");
  if (!(await listens(socketPath(folder.logDirectory)))) return good("log", "no process owns it");
  const pid = readDurableEnd(nodeFileSystem, folder.logDirectory)?.pid;
  const url = `http://${httpHost}:${httpPort}`;
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(2000) });
    const { status } = (await response.json()) as { readonly status?: unknown };
    return good("log", `owned by process ${pid}; ${url} says ${String(status)}`);
  } catch {
    return good("log", `owned by process ${pid}; nothing answers at ${url}`);
  }
}

/** What mends an error of the embedded log, for who typed `kappa doctor`. */
export function embeddedLogFix(error: unknown): string {
  return error instanceof KappaError && error.code === "KAPPA_LOG_CORRUPT"
    ? "restore the folder from a copy, or begin with another one by --data-dir; check the disk"
    : "make what it names readable, or name another folder with --data-dir";
}

function listens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
