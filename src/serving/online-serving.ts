import type { Worker } from "node:worker_threads";
import type { RegistryPlace } from "../codec/registry-place.ts";
import { messageOf } from "../core/errors.ts";
import { type SharedLog, startThread, threadHandle } from "../log/thread-log.ts";
import { type MeterReport, ThreadMeter } from "../observability/thread-meter.ts";
import type { Topology } from "../topology/graph.ts";
import type { OnlineEnding, OnlineStatus } from "./online-feed.ts";
import type { OnlineAddress, OnlineOrder, OnlineReport, OnlineRequest } from "./online-protocol.ts";
import { onlineTables } from "./online-table.ts";
import { redisAddress } from "./redis-url.ts";

/** After a failure of the thread itself, which is a bug or a lack of memory, until it is started again, in ms. */
const restartMs = 5000;

/** New objects of the thread, in MB: a round of batches, and what decoding leaves behind. */
const youngGenerationMb = 16;

/** Above the numbers of engine threads, of which there are fewer than partitions of a topic. */
const firstThread = 10_001;

/**
 * How long the store may take for what is still missing: as long as it goes on when the inputs have ended, since nobody
 * comes after; else not longer than a drain can bear, and the next run takes it up.
 */
const atEnd: OnlineEnding = { limitMs: Number.POSITIVE_INFINITY, patienceMs: 10_000 };
const atStop: OnlineEnding = { limitMs: 3000, patienceMs: 1000 };

export interface OnlineServingOptions {
  /** Tasks of the application, over all processes. */
  readonly tasks: number;
  readonly log: SharedLog;
  readonly registry: RegistryPlace;
  /** Undefined: there is no store. */
  readonly address: OnlineAddress | undefined;
  /** Receives what the thread measured. */
  readonly onMetrics: ((thread: number, report: MeterReport) => void) | undefined;
}

/**
 * The serving of online tables as an engine has it: a thread of its own, so that neither decoding nor a store that hangs
 * takes time from the journal, the group or a task. The engine never waits for it, save at its end, for as long as it says.
 */
export class OnlineServing {
  readonly #options: OnlineServingOptions;
  readonly #order: Omit<OnlineOrder, "log">;
  #worker: Worker | null = null;
  #thread = firstThread - 1;
  #owned: readonly number[] = [];
  #status: OnlineStatus = { trouble: "not yet connected", lag: 0 };
  #restart: NodeJS.Timeout | undefined;
  #ended: ((complete: boolean) => void) | null = null;
  #closed = false;

  private constructor(options: OnlineServingOptions, order: Omit<OnlineOrder, "log">) {
    this.#options = options;
    this.#order = order;
  }

  /**
   * The serving of what a topology asks for; null when it asks for nothing, or there is no store.
   *
   * @throws KAPPA_CONFIG_INVALID for an address that is none
   */
  static of(topology: Topology, options: OnlineServingOptions): OnlineServing | null {
    const { tasks, registry, address } = options;
    const tables = onlineTables(topology);
    if (address === undefined || tables.length === 0) return null;
    redisAddress(address.url);
    return new OnlineServing(options, {
      applicationId: topology.applicationId,
      tables,
      tasks,
      registry,
      address,
    });
  }

  get status(): OnlineStatus {
    return this.#status;
  }

  /** The tasks that this process runs from now on; with the first call the thread starts. */
  own(tasks: readonly number[]): void {
    this.#owned = tasks;
    if (this.#closed) return;
    if (this.#worker === null && this.#restart === undefined) this.#start();
    else this.#tell({ kind: "own", tasks });
  }

  #start(): void {
    const log = threadHandle(this.#options.log);
    const order: OnlineOrder = { ...this.#order, log };
    const worker = startThread(new URL("./online-thread.ts", import.meta.url), order, youngGenerationMb);
    this.#worker = worker;
    const thread = ++this.#thread;
    worker.on("message", (report: OnlineReport) => this.#receive(thread, report));
    worker.on("error", (error) => this.#lost(worker, messageOf(error)));
    worker.on("exit", (code) => this.#lost(worker, `it ended with code ${code}`));
    this.#tell({ kind: "own", tasks: this.#owned });
  }

  #tell(request: OnlineRequest): void {
    this.#worker?.postMessage(request);
  }

  #receive(thread: number, report: OnlineReport): void {
    if (report.kind === "ended") {
      this.#closed = true;
      this.#ended?.(report.complete);
      return;
    }
    this.#status = report.status;
    this.#options.onMetrics?.(thread, report.metrics);
  }

  /** The stream does not end with it: it is started again, and goes on where the store is. */
  #lost(worker: Worker, why: string): void {
    if (this.#closed || this.#worker !== worker) return;
    this.#worker = null;
    this.#status = { trouble: `the serving thread failed: ${why}; it is started again`, lag: this.#status.lag };
    const meter = new ThreadMeter();
    meter.open().gauge("kappa_online_store_up").set(0);
    this.#options.onMetrics?.(++this.#thread, meter.report());
    if (this.#ended !== null) {
      this.#ended(false);
      return;
    }
    this.#restart = setTimeout(() => {
      this.#restart = undefined;
      this.#start();
    }, restartMs).unref();
  }

  /**
   * Lets the store take what is still missing, within bounds, and ends the thread.
   *
   * @param inputsEnded whether the run had an end and came to it
   * @returns whether the store has everything of the partitions followed here
   */
  async end(inputsEnded: boolean): Promise<boolean> {
    if (this.#worker === null) {
      this.close();
      return false;
    }
    const ended = new Promise<boolean>((resolve) => {
      this.#ended = resolve;
    });
    this.#tell({ kind: "end", ending: inputsEnded ? atEnd : atStop });
    const complete = await ended;
    this.close();
    return complete;
  }

  /** Ends the thread at once. What the store lacks it gets from whoever follows next. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#restart);
    void this.#worker?.terminate();
  }
}
