import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { relative } from "node:path";
import process from "node:process";
import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { createLogger } from "../observability/logger.ts";
import { deadLettersTopic } from "../topology/graph.ts";
import { wholeNumber } from "./arguments.ts";
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

/** `kappa demo` */
export function demoVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("demo")
    .description("watch card payments being decided: live stream, attack, wipe and restore; needs nothing else")
    .addOption(
      new Option("--seconds <count>", "end after so long; on a terminal it goes on until Ctrl-C").argParser(
        wholeNumber(1),
      ),
    )
    .addOption(new Option("--rate <count>", "payments a second").argParser(wholeNumber(1)).default(500))
    .addOption(new Option("--seed <number>", "of the simulated town").argParser(wholeNumber(0)).default(1))
    .option("--until-first-decision", "end at the first durable scored decision and say how long it took")
    .option("--model <folder>", "score with another model; none: rules alone")
    .addOption(new Option("--http-port <port>", "of probes, metrics and state").argParser(wholeNumber(0)))
    .action(async (options, command) => {
      const { dataDir } = command.optsWithGlobals() as { readonly dataDir?: string };
      const path = invocation.path(dataDir ?? usualFolder);
      await freshFolder(path, dataDir === undefined);
      await demo(invocation, path, options);
    });
}

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

interface DemoFlags {
  readonly seconds?: number | undefined;
  readonly rate: number;
  readonly seed: number;
  readonly untilFirstDecision?: true | undefined;
  readonly model?: string | undefined;
  readonly httpPort?: number | undefined;
}

async function demo(invocation: Invocation, path: string, flags: DemoFlags): Promise<void> {
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
    const followed = new DemoDecisions({ log, topic: decisions, partitions, registry, clock, sentAtMs });
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
    const result = await run.run().finally(() => view.end());
    await traffic.close();
    report(invocation, result, shown, followed.latest[0]?.tx_id ?? "tx-0");
  } finally {
    interruption.end();
    await log.close();
  }
}

function viewOf(terminal: Terminal, live: boolean, title: string): DemoView {
  if (live) return new DemoScreen(process.stdout, `kappa demo: ${title}`);
  const lines = new DemoLines((text) => terminal.printText(text));
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
  terminal.next(`npx kappa topics tail ${decisions} --limit 3 --data-dir ${folder}`);
  terminal.next(`npx kappa run topologies/fraud/fraud-detection.ts --data-dir ${folder}`);
}

/** Ctrl-C and SIGTERM: the first asks for a drain, the second ends at once. */
class Interruption {
  readonly #controller = new AbortController();
  readonly #listener = (): void => {
    if (this.#controller.signal.aborted) process.exit(interruptedCode);
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
