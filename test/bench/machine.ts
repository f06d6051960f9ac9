import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { median } from "./percentiles.ts";

export interface Machine {
  readonly cores: number;
  readonly processor: string;
  readonly memoryMb: number;
  /** Of the folder that the log is in: type, device, mount point. */
  readonly fileSystem: string;
  readonly fdatasyncMedianMs: number;
  readonly node: string;
}

export function machineOf(directory: string): Machine {
  return {
    cores: availableParallelism(),
    processor: cpus()[0]?.model ?? "unknown",
    memoryMb: Math.round(totalmem() / 2 ** 20),
    fileSystem: fileSystemOf(directory),
    fdatasyncMedianMs: fdatasyncMedianMs(directory),
    node: process.version,
  };
}

/** The mount with the longest path that the folder lies in. */
function fileSystemOf(directory: string): string {
  const path = `${resolve(directory)}/`;
  let best = ["", "unknown", ""];
  let mounts = "";
  try {
    mounts = readFileSync("/proc/self/mounts", "utf8");
  } catch {
    return "unknown";
  }
  for (const line of mounts.split("\n")) {
    const [device = "", mount = "", type = ""] = line.split(" ");
    if (path.startsWith(mount === "/" ? "/" : `${mount}/`) && mount.length >= (best[2] ?? "").length)
      best = [device, type, mount];
  }
  return `${best[1]} on ${best[0]} at ${best[2]}`;
}

/** Of 200 appends of 4 KiB, each made durable before the next. */
function fdatasyncMedianMs(directory: string): number {
  const path = join(directory, "fdatasync-probe");
  const file = openSync(path, "w");
  const block = Buffer.alloc(4096, 1);
  const times: number[] = [];
  try {
    for (let i = 0; i < 200; i++) {
      writeSync(file, block);
      const startMs = performance.now();
      fdatasyncSync(file);
      times.push(performance.now() - startMs);
    }
  } finally {
    closeSync(file);
    rmSync(path);
  }
  return median(times);
}
