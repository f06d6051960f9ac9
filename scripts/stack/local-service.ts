import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { ServiceProcess } from "./service-process.ts";

/** Where a service keeps what it has; a folder of its own ends with it. */
export interface ServiceFolder {
  readonly path: string;
  readonly own: boolean;
}

/** The folder that was asked for, else a new one among the temporary files. */
export async function serviceFolder(dataDir: string | undefined, name: string): Promise<ServiceFolder> {
  if (dataDir === undefined) return { path: await mkdtemp(join(tmpdir(), `kappa-${name}-`)), own: true };
  const path = resolve(dataDir);
  await mkdir(path, { recursive: true });
  return { path, own: false };
}

/**
 * A server on 127.0.0.1 that can be killed and started again: `kill` and `start` keep its port and what it has stored,
 * so that clients see a service that went away and came back. It ends with the process that started it at the latest.
 */
export abstract class LocalService {
  protected readonly folder: ServiceFolder;
  #process: ServiceProcess | undefined;

  protected constructor(folder: ServiceFolder) {
    this.folder = folder;
  }

  /** Starts the server over its folder, and resolves when it answers. */
  protected abstract launch(): Promise<ServiceProcess>;

  /** Process id while it runs, to send signals that do not end it. */
  get pid(): number | undefined {
    return this.running ? this.#process?.pid : undefined;
  }

  get running(): boolean {
    return this.#process?.running ?? false;
  }

  /** Resolves when the process that runs now has ended, however. */
  get ended(): Promise<void> {
    return this.#process?.ended ?? Promise.resolve();
  }

  /** Starts it, again or for the first time, and waits until it answers. Does nothing while it runs. */
  async start(): Promise<void> {
    if (!this.running) this.#process = await this.launch();
  }

  /** Ends it by a signal, SIGKILL unless said otherwise, and resolves when it is gone. What it has stored is kept. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    await this.#process?.kill(signal);
  }

  /** Ends it in good order and for good, and removes its folder unless that was given. */
  async stop(): Promise<void> {
    await this.#process?.stop();
    if (this.folder.own) await rm(this.folder.path, { recursive: true, force: true });
  }
}

/** Starts a service for the first time; one that fails leaves nothing behind. */
export async function started<Service extends LocalService>(service: Service): Promise<Service> {
  try {
    await service.start();
    return service;
  } catch (error) {
    await service.stop();
    throw error;
  }
}
