import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import packageJson from "../../package.json" with { type: "json" };
import type { Clock } from "../core/clock.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { aclsVerb } from "./acls.ts";
import { configVerb } from "./config-verb.ts";
import { demoVerb } from "./demo.ts";
import { deadLetterVerbs } from "./dlq.ts";
import { doctorVerb } from "./doctor.ts";
import { exitCodeOf } from "./exit-code.ts";
import { explainVerb } from "./explain.ts";
import { configOptions, Invocation, programOptions } from "./invocation.ts";
import { produceVerb } from "./produce.ts";
import { rulesVerbs } from "./rules.ts";
import { runVerb } from "./run.ts";
import { schemasVerbs } from "./schemas.ts";
import { stateVerbs } from "./state.ts";
import { Terminal, type TerminalStream } from "./terminal.ts";
import { topicsVerbs } from "./topics.ts";
import { topologyVerbs } from "./topology.ts";

export interface Surroundings {
  readonly out: TerminalStream;
  readonly err: TerminalStream;
  readonly clock: Clock;
  /** Relative paths start here. */
  readonly directory: string;
}

/**
 * Runs one command.
 *
 * @param args without the names of node and of the program
 * @returns the exit code; nothing is thrown
 */
export async function runProgram(args: readonly string[], around: Surroundings): Promise<number> {
  const terminal = new Terminal(around.out, around.err, around.clock);
  const invocation = new Invocation(terminal, around.clock, around.directory);
  try {
    await programOf(invocation, around).parseAsync([...args], { from: "user" });
    return invocation.exitCode;
  } catch (error) {
    const code = exitCodeOf(error);
    if (error instanceof Error && error.name !== "CommanderError") explain(error, terminal, args.includes("--debug"));
    return code;
  }
}

function programOf(invocation: Invocation, { out, err }: Surroundings) {
  const program = new Command("kappa")
    .description("Stateful stream topologies over an append-only log.")
    .version(packageJson.version)
    .option("--debug", "print the stack of an error")
    .exitOverride()
    .showHelpAfterError("(kappa --help lists the verbs, kappa VERB --help the options of one)")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({ writeOut: (text) => void out.write(text), writeErr: (text) => void err.write(text) });
  for (const option of configOptions(programOptions)) program.addOption(option);
  for (const verb of [
    demoVerb(invocation),
    runVerb(invocation),
    produceVerb(invocation),
    topicsVerbs(invocation),
    topologyVerbs(invocation),
    stateVerbs(invocation),
    schemasVerbs(invocation),
    deadLetterVerbs(invocation),
    explainVerb(invocation),
    rulesVerbs(invocation),
    aclsVerb(invocation),
    doctorVerb(invocation),
    configVerb(invocation),
  ]) {
    inherit(verb, program);
    program.addCommand(verb);
  }
  return program;
}

/** Settings of the program hold for verbs and for the verbs within them. */
function inherit(verb: CommandUnknownOpts, parent: CommandUnknownOpts): void {
  verb.copyInheritedSettings(parent);
  for (const inner of verb.commands) inherit(inner, verb);
}

function explain(error: Error, terminal: Terminal, debug: boolean): void {
  const code = error instanceof KappaError ? ` (${error.code})` : "; add --debug for the stack, and report it";
  terminal.fail(`${messageOf(error)}${code}`);
  if (!debug) return;
  for (let each: unknown = error; each instanceof Error; each = each.cause) terminal.say(each.stack ?? each.message);
}
