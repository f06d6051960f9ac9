import type { Worker } from "node:worker_threads";
import { type ErrorCode, errorCodes, KappaError, messageOf } from "../core/errors.ts";
import { startThread } from "../log/thread-log.ts";
import type { MeterReport } from "../observability/thread-meter.ts";
import type { Ownership } from "./membership.ts";
import type { InputWait, TaskProgress, ThreadOrder, ThreadReport, ThreadRequest } from "./thread-protocol.ts";

/**
 * New objects of an engine thread, in MB. Left alone V8 takes 128 on a large machine, which the bound on memory has no
 * room for, to save some 5 % of the processor time; rows and buffers die within a commit of a few MB.
 */
const youngGenerationMb = 24;

/** What the threads tell the engine. "All" is said of the newest order; older ones are passed over. */
export interface ThreadEvents {
  /** All threads could run tasks. */
  ready(): void;
  /** All tasks that were taken away are closed. */
  released(): void;
  /** All tasks are open. */
  running(): void;
  /** All tasks have come to the end of a run that has one. */
  ended(): void;
  /** A task was opened by another process, and is closed here. */
  fenced(partition: number): void;
  /** The local state of a task was thrown away. */
  discarded(partition: number, reason: string): void;
  /** A task waits for room or rights for its state; without a reason: it goes on. */
  held(partition: number, reason: string | null): void;
  /** `tasks` and `waits` are new. */
  progressed(thread: number, metrics: MeterReport): void;
  /** All threads have done what `stop` asked for. */
  finished(): void;
  /** A thread has failed. */
  failed(error: KappaError): void;
}

interface EngineThread {
  readonly worker: Worker;
  readonly partitions: Set<number>;
  tasks: readonly TaskProgress[];
  waits: readonly InputWait[];
  /** Whether it could run tasks. */
  ready: boolean;
  /** Newest order that it has carried out, in three respects; see `ThreadReport`. */
  released: number;
  running: number;
  ended: number;
  finished: boolean;
}

/** How far the restore of a task is, in offsets of the commits topic. */
export interface RestoreProgress {
  readonly applied: number;
  readonly total: number;
}

interface Question {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: KappaError) => void;
}

/** The engine threads of a process: which task is on which, what they report, and questions to them. */
export class EngineThreads {
  readonly #events: ThreadEvents;
  readonly #startThread: typeof startThread;
  readonly #threads: EngineThread[] = [];
  readonly #restoring = new Map<number, RestoreProgress>();
  readonly #questions = new Map<number, Question>();
  #token = 0;
  /** Number of the newest order. */
  #version = 0;

  /** @param start how a thread is started; default: as one of this process */
  constructor(events: ThreadEvents, start: typeof startThread = startThread) {
    this.#events = events;
    this.#startThread = start;
  }

  /** Partitions whose tasks the threads were told to run. */
  get owned(): readonly number[] {
    return this.#threads.flatMap(({ partitions }) => [...partitions]).sort((a, b) => a - b);
  }

  /** Tasks as they last reported, by partition. */
  get tasks(): readonly TaskProgress[] {
    return this.#threads.flatMap(({ tasks }) => tasks).sort((a, b) => a.partition - b.partition);
  }

  get waits(): readonly InputWait[] {
    return this.#threads.flatMap(({ waits }) => waits);
  }

  get restoring(): ReadonlyMap<number, RestoreProgress> {
    return this.#restoring;
  }

  start(order: ThreadOrder): void {
    const number = order.thread;
    const worker = this.#startThread(new URL("./engine-thread.ts", import.meta.url), order, youngGenerationMb);
    const thread: EngineThread = {
      worker,
      partitions: new Set(),
      tasks: [],
      waits: [],
      ready: false,
      released: 0,
      running: 0,
      ended: 0,
      finished: false,
    };
    this.#threads.push(thread);
    const fail = (what: string, cause?: unknown): void =>
      this.#events.failed(
        new KappaError("KAPPA_ENGINE_FAILED", `engine thread ${number} ${what}`, { thread: number }, cause),
      );
    worker.on("message", (report: ThreadReport) => this.#receive(number, thread, report));
    worker.on("error", (error: unknown) => fail(`failed: ${messageOf(error)}`, error));
    worker.on("exit", (code) => {
      if (code !== 0) fail(`ended with code ${code}`);
    });
  }

  /** Tells the threads what to run: a task stays where it is, a new one goes to the thread that has the fewest. */
  own({ partitions, generation }: Ownership): void {
    const fresh = new Set(partitions);
    for (const partition of this.#restoring.keys()) if (!fresh.has(partition)) this.#restoring.delete(partition);
    for (const { partitions: own } of this.#threads) {
      for (const partition of own) {
        if (fresh.has(partition)) fresh.delete(partition);
        else own.delete(partition);
      }
    }
    for (const partition of [...fresh].sort((a, b) => a - b)) {
      const idlest = this.#threads.reduce((least, each) =>
        each.partitions.size < least.partitions.size ? each : least,
      );
      idlest.partitions.add(partition);
    }
    const version = ++this.#version;
    for (const { worker, partitions: own } of this.#threads) {
      const order: ThreadRequest = { kind: "own", version, partitions: [...own], generation };
      worker.postMessage(order);
    }
  }

  /**
   * Asks the thread that runs a task.
   *
   * @returns null when no thread here does
   */
  ask(partition: number, request: (token: number) => ThreadRequest): Promise<unknown> | null {
    const thread = this.#threads.find(({ partitions }) => partitions.has(partition));
    return thread === undefined ? null : this.#ask(thread, request);
  }

  /** Asks all threads. */
  askAll(request: (token: number) => ThreadRequest): Promise<unknown[]> {
    return Promise.all(this.#threads.map((thread) => this.#ask(thread, request)));
  }

  #ask({ worker }: EngineThread, request: (token: number) => ThreadRequest): Promise<unknown> {
    const token = ++this.#token;
    return new Promise((resolve, reject) => {
      this.#questions.set(token, { resolve, reject });
      worker.postMessage(request(token));
    });
  }

  /** Answers every question that is still open with an error. */
  refuse(error: KappaError): void {
    for (const { reject } of this.#questions.values()) reject(error);
    this.#questions.clear();
  }

  /** Lets the threads finish what is under way and end. */
  stop(): void {
    const stop: ThreadRequest = { kind: "stop" };
    for (const { worker } of this.#threads) worker.postMessage(stop);
  }

  /** Ends the threads where they stand. */
  terminate(): void {
    for (const { worker } of this.#threads) void worker.terminate();
  }

  /** Whether every thread has carried out the newest order. */
  #all(what: "released" | "running" | "ended"): boolean {
    return this.#threads.every((thread) => thread[what] === this.#version);
  }

  #receive(number: number, thread: EngineThread, report: ThreadReport): void {
    const events = this.#events;
    switch (report.kind) {
      case "ready":
        thread.ready = true;
        if (this.#threads.every(({ ready }) => ready)) events.ready();
        break;
      case "released":
        thread.released = report.version;
        if (this.#all("released")) events.released();
        break;
      case "running":
        thread.running = report.version;
        for (const partition of thread.partitions) this.#restoring.delete(partition);
        if (this.#all("running")) events.running();
        break;
      case "ended":
        thread.ended = report.version;
        if (this.#all("ended")) events.ended();
        break;
      case "fenced":
        this.#restoring.delete(report.partition);
        events.fenced(report.partition);
        break;
      case "discarded":
        events.discarded(report.partition, report.reason);
        break;
      case "held":
        events.held(report.partition, report.reason);
        break;
      case "restoring":
        // What is said of a task that was taken away meanwhile is never followed by its end.
        if (!thread.partitions.has(report.partition)) break;
        if (report.applied >= report.total) this.#restoring.delete(report.partition);
        else this.#restoring.set(report.partition, report);
        break;
      case "progress":
        thread.tasks = report.tasks;
        thread.waits = report.waits;
        events.progressed(number, report.metrics);
        break;
      case "answer":
        this.#questions.get(report.token)?.resolve(report.answer);
        this.#questions.delete(report.token);
        break;
      case "refused":
        this.#questions.get(report.token)?.reject(new KappaError(codeOf(report.code), report.message));
        this.#questions.delete(report.token);
        break;
      case "finished":
        thread.finished = true;
        if (this.#threads.every(({ finished }) => finished)) events.finished();
        break;
      case "failed":
        events.failed(new KappaError(codeOf(report.code), report.message, { thread: number }, report.stack));
        break;
      default:
        report satisfies never;
    }
  }
}

function codeOf(code: string): ErrorCode {
  return code in errorCodes ? (code as ErrorCode) : "KAPPA_ENGINE_FAILED";
}
