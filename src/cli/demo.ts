import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import { relative } from "node:path";
import process from "node:process";
import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { EmbeddedSchemaRegistry } from "../codec/embedded-schema-registry.ts";
import { KappaError } from "../core/errors.ts";
import { noMeter } from "../core/meter.ts";
import { createLogger } from "../observability/logger.ts";
import { deadLettersTopic } from "../topology/graph.ts";
import { wholeNumber } from "./arguments.ts";
import { DataFolder } from "./data-folder.ts";
import { DemoApplication } from "./demo-application.ts";
import { DemoAudit } from "./demo-audit.ts";
import { DemoDecisions } from "./demo-decisions.ts";
import { DemoRun } from "./demo-run.ts";
import { DemoLines, DemoScreen, type DemoView } from "./demo-screen.ts";
import { DemoTraffic } from "./demo-traffic.ts";
import type { Invocation } from "./invocation.ts";
import { counted } from "./terminal.ts";

const usualFolder = ".kappa/demo";
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
      new Option("--seconds <count>", "end after so long; on a terminal it goes on until Ctrl-C").argParser(wholeNumber(1)),
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

/** The usual folder is made anew each time; one that a person named must have nothing in it. */
async function freshFolder(path: string, usual: boolean): Promise<void> {
  if (usual) await rm(path, { recursive: true, force: true });
  else if (existsSync(path) && readdirSync(path).length > 0) {
    throw new KappaError("KAPPA_USAGE", `${path} is not empty; name a new folder, or leave out --data-dir for ${usualFolder}`);
  }
  await mkdir(path, { recursive: true });
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
  const shown = relative(invocation.directory, path);
  const live = process.stdout.isTTY === true && flags.untilFirstDecision !== true;
  const seconds = flags.seconds ?? (live ? null : secondsWithoutTerminal);
  const log = await folder.own(noMeter);
  try {
    const registry = await folder.registry();
    const logger = createLogger({ level: "error", pretty: terminal.interactive, to: terminal.errors });
    const traffic = await DemoTraffic.open({ log, registry, clock, partitions, seed: flags.seed, startMs });
    const model = flags.model === undefined || flags.model === "none" ? flags.model : invocation.path(flags.model);
    const application = new DemoApplication({ log, dataDir: path, model, httpPort: flags.httpPort, clock, logger });
    await application.start();
    const { applicationId } = application.engine.topology;
    const view = viewOf(invocation, live, `kappa demo: fraud detection over the embedded log in ${shown}, ${application.url}, Ctrl-C ends`);
    const topics = { decisions: "fraud-decisions", deadLetters: deadLettersTopic(applicationId) };
    const decisions = new DemoDecisions({
      log,
      topic: topics.decisions,
      partitions,
      registry,
      clock,
      sentAtMs: (number) => traffic.sentAtMs(number),
    });
    const audit = new DemoAudit(log, registry, topics);
    const interruption = listenForInterruption();
    const options = { rate: flags.rate, seconds, untilFirstDecision: flags.untilFirstDecision === true, scored: model !== "none" };
    const parts = { log, application, traffic, decisions, audit, view, clock, interrupted: interruption.signal };
    const result = await new DemoRun(options, parts).run().finally(() => view.end());
    interruption.end();
    decisions.close();
    await traffic.close();
    const { sent, sentTwice, decided, dead, lost, doubled } = result.log;
    terminal.print(
      `${counted(sent)} transactions sent, ${counted(sentTwice)} of them twice: ${counted(decided)} decided, ${counted(dead)} dead letters, ` +
        `${lost} lost, ${doubled} decided twice`,
    );
    if (!result.passed) throw new KappaError("KAPPA_CHECK_FAILED", "...");
    ...
  } finally {
    await log.close();
  }
}
