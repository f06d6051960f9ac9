import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

interface Message {
  readonly kind: string;
  readonly content: unknown;
}

/** A part of a benchmark that runs in a process of its own, and says and is told things by kind. */
export class Child {
  readonly #process: ChildProcess;
  readonly #heard = new Map<string, unknown>();
  readonly #waiting = new Map<string, (content: unknown) => void>();
  #failed: ((error: Error) => void) | null = null;
  readonly #failure: Promise<never>;

  /** @param script beside this file, or a URL @param order what `orderOf` gives there: plain JSON */
  constructor(script: string, order: unknown, execArgv: readonly string[] = []) {
    const path = fileURLToPath(new URL(script, import.meta.url));
    this.#failure = new Promise((_, reject) => {
      this.#failed = reject;
    });
    this.#failure.catch(() => {});
    this.#process = fork(path, [JSON.stringify(order)], {
      execArgv: [...process.execArgv, ...execArgv],
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    this.#process.on("message", ({ kind, content }: Message) => {
      const waiting = this.#waiting.get(kind);
      if (waiting === undefined) this.#heard.set(kind, content);
      else waiting(content);
      this.#waiting.delete(kind);
    });
    this.#process.on("error", (error) => this.#failed?.(error));
    this.#process.on("exit", (code, signal) => {
      if (code !== 0 || this.#waiting.size > 0) {
        const waited = [...this.#waiting.keys()].map((kind) => ` without its "${kind}"`).join("");
        this.#failed?.(new Error(`${script} ended with ${signal ?? `code ${code}`}${waited}`));
      }
    });
  }

  get pid(): number {
    return this.#process.pid ?? -1;
  }

  tell(kind: string, content: unknown = null): void {
    this.#process.send({ kind, content });
  }

  /** What it said, or will say, of a kind. Rejects when it ends badly first. */
  async hear<Content>(kind: string): Promise<Content> {
    if (this.#heard.has(kind)) {
      const content = this.#heard.get(kind);
      this.#heard.delete(kind);
      return content as Content;
    }
    const told = new Promise((resolve) => this.#waiting.set(kind, resolve));
    return (await Promise.race([told, this.#failure])) as Content;
  }

  /** Tells, and hears the answer: of a child that answers. */
  ask<Content>(kind: string): Promise<Content> {
    this.tell(kind);
    return this.hear<Content>(kind);
  }

  /** Closes the channel, which lets a child that answers end. */
  hangUp(): void {
    this.#process.disconnect();
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  async ended(): Promise<void> {
    if (this.#process.exitCode !== null) return;
    await Promise.race([once(this.#process, "exit"), this.#failure]);
  }
}

/** One question, one answer: runs a script to its end. */
export async function runChild<Result>(script: string, order: unknown, execArgv?: readonly string[]): Promise<Result> {
  const child = new Child(script, order, execArgv);
  const result = await child.hear<Result>("result");
  await child.ended();
  return result;
}

/** In a child: what it was started with. */
export function orderOf<Order>(): Order {
  return JSON.parse(process.argv[2] ?? "null") as Order;
}

/** In a child: says something to the parent. Resolves when it is on its way: only then may the channel be closed. */
export function say(kind: string, content: unknown = null): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.({ kind, content }, (error: Error | null) => (error === null ? resolve() : reject(error)));
  });
}

const told = new Map<string, () => void>();
const early = new Set<string>();

/** In a child: waits to be told. Once this was called the channel keeps the process alive until `hangUp`. */
export function toldOf(kind: string): Promise<void> {
  if (process.listenerCount("message") === 0) {
    process.on("message", ({ kind: heard }: Message) => {
      const waiting = told.get(heard);
      if (waiting === undefined) early.add(heard);
      else waiting();
    });
  }
  if (early.delete(kind)) return Promise.resolve();
  return new Promise((resolve) => told.set(kind, resolve));
}

/** In a child: answers what it is asked, by kind, until the parent hangs up. A failure ends the process. */
export function answer(answers: Readonly<Record<string, () => Promise<unknown>>>): void {
  process.on("message", ({ kind }: Message) => {
    answers[kind]?.().then(
      (content) => say(kind, content),
      (error: unknown) => {
        process.stderr.write(`${error instanceof Error ? error.stack : error}\n`);
        process.exit(1);
      },
    );
  });
}

/** In a child: lets it end. */
export function hangUp(): void {
  process.disconnect();
}
