import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { relative } from "node:path";
import process from "node:process";
import { KappaError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { createLogger } from "../observability/logger.ts";
import { deadLettersTopic } from "../topology/graph.ts";
import { DataFolder } from "./data-folder.ts";
import { DemoApplication } from "./demo-application.ts";
import { DemoAudit } from "./demo-audit.ts";
import { DemoDecisions } from "./demo-decisions.ts";
import { type DemoResult, DemoRun } from "./demo-run.ts";
import { DemoLines, DemoScreen, type DemoView } from "./demo-screen.ts";
import { DemoTraffic } from "./demo-traffic.ts";
import { exitCodes } from "./exit-code.ts";
import type { Invocation } from "./invocation.ts";
import { counted, type Terminal } from "./terminal.ts";

const usualFolder = ".kappa/demo";
const decisions = "fraud-decisions";
const partitions = 4;
const secondsWithoutTerminal = 60;
const interruptedCode = 130;
/** A Monday. */
const startMs = Date.UTC(2026, 0, 5);

/** The usual folder is made anew each time, unless a demo runs in it; one that a person named must have nothing in it. */
async function freshFolder(path: string, usual: boolean): Promise<void> {
  if (!existsSync(path)) return;
  if (usual) {
    const running = await isOwned(new DataFolder(path));
    if (running)
      throw new KappaError(
        "KAPPA_LOG_LOCKED",
        `a demo runs in ${path}; end it, or name another folder: kappa demo --data-dir FOLDER`,
      );
    await rm(path, { recursive: true });
  } else if (readdirSync(path).length > 0) {
    throw new KappaError(
      "KAPPA_USAGE",
      `${path} is not empty; name a new folder, or leave out --data-dir for ${usualFolder}`,
    );
  }
}

async function isOwned(folder: DataFolder): Promise<boolean> {
  if (!existsSync(folder.logDirectory)) return false;
  try {
    await (await folder.own(noMeter)).close();
    return false;
  } catch (error) {
    return error instanceof KappaError && error.code === "KAPPA_LOG_LOCKED";
  }
}

/** The options of the verb. */
export interface DemoFlags {
  /** Since the start of the process; without it a terminal goes on until Ctrl-C, anything else for a minute. */
  readonly seconds?: number | undefined;
  /** Transactions a second. */
  readonly rate: number;
  readonly seed: number;
  readonly untilFirstDecision?: true | undefined;
  /** Folder of a model, or `none`; undefined takes the one shipped. */
  readonly model?: string | undefined;
  readonly httpPort?: number | undefined;
}

/**
 * One demo from a fresh folder to the account of it.
 *
 * @param dataDir as the person named it; undefined takes the usual folder
 * @throws KAPPA_USAGE for a folder that is not empty, KAPPA_LOG_LOCKED beside another demo
 */
export async function showDemo(invocation: Invocation, dataDir: string | undefined, flags: DemoFlags): Promise<void> {
  const path = invocation.path(dataDir ?? usualFolder);
  await freshFolder(path, dataDir === undefined);
  const { terminal, clock } = invocation;
  const folder = new DataFolder(path);
  await mkdir(path, { recursive: true });
  const log = await folder.own(noMeter);
  const interruption = new Interruption();
  try {
    const registry = await folder.registry();
    const traffic = await DemoTraffic.open({ log, registry, clock, partitions, seed: flags.seed, startMs });
    const logger = createLogger({ level: "error", pretty: terminal.interactive, to: terminal.errors });
    const model = flags.model === undefined || flags.model === "none" ? flags.model : invocation.path(flags.model);
    const application = new DemoApplication({ log, dataDir: path, model, httpPort: flags.httpPort, clock, logger });
    await application.start();
    const topics = { decisions, deadLetters: deadLettersTopic(application.engine.topology.applicationId) };
    const sentAtMs = (number: number): number => traffic.sentAtMs(number);
    const followed = await DemoDecisions.open({ log, topic: decisions, partitions, registry, clock, sentAtMs });
    const audit = new DemoAudit(log, registry, topics);
    const shown = relative(invocation.directory, path);
    const live = process.stdout.isTTY === true && flags.untilFirstDecision !== true;
    const view = viewOf(
      terminal,
      live,
      `fraud detection over the embedded log in ${shown}; ${application.url}; Ctrl-C ends`,
    );
    const run = new DemoRun(
      {
        rate: flags.rate,
        seconds: flags.seconds ?? (live ? null : secondsWithoutTerminal),
        untilFirstDecision: flags.untilFirstDecision === true,
        scored: model !== "none",
      },
      { log, application, traffic, decisions: followed, audit, view, clock, interrupted: interruption.signal },
    );
    const result = await run.run();
    await traffic.close();
    report(invocation, result, shown, followed.latest[0]?.tx_id ?? "tx-0");
  } finally {
    interruption.end();
    await log.close();
  }
}

function viewOf(terminal: Terminal, live: boolean, title: string): DemoView {
  if (live) return new DemoScreen(process.stdout, `kappa demo: ${title}`);
  const lines = new DemoLines((line) => terminal.print(line));
  lines.announce(title);
  return lines;
}

/** The account of the whole run, and what to type next. */
function report(invocation: Invocation, { log, passed }: DemoResult, folder: string, id: string): void {
  const { terminal } = invocation;
  const { sent, sentTwice, decided, dead, lost, doubled } = log;
  terminal.print(
    `${counted(sent)} transactions sent, ${counted(sentTwice)} of them twice; the log holds ${counted(decided)} decided, ` +
      `${counted(dead)} dead, ${counted(lost)} lost, ${counted(doubled)} decided twice`,
  );
  if (!passed) {
    invocation.exitCode = exitCodes.no;
    terminal.fail("the demo's own checks failed: see the lines above");
  }
  terminal.next(`npx kappa explain ${id} --data-dir ${folder}`);
  terminal.next(`npx kappa topics tail ${decisions} --from earliest --limit 3 --data-dir ${folder}`);
  terminal.next(`npx kappa run topologies/fraud/fraud-detection.ts --data-dir ${folder}`);
}

/** Signals this close together are one Ctrl-C. */
const sameWishMs = 1000;

/** Ctrl-C and SIGTERM: the first asks for a drain, the second ends at once. */
class Interruption {
  readonly #controller = new AbortController();
  #first = 0;
  readonly #listener = (): void => {
    const now = performance.now();
    // npm passes a Ctrl-C on that the terminal has sent to this process as well: two signals, one wish.
    if (this.#controller.signal.aborted && now - this.#first > sameWishMs) process.exit(interruptedCode);
    if (!this.#controller.signal.aborted) this.#first = now;
    this.#controller.abort();
  };

  constructor() {
    process.on("SIGINT", this.#listener).on("SIGTERM", this.#listener);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  end(): void {
    process.off("SIGINT", this.#listener).off("SIGTERM", this.#listener);
  }
}
