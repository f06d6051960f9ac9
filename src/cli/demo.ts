import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { wholeNumber } from "./arguments.ts";
import type { Invocation } from "./invocation.ts";

/** `kappa demo` */
export function demoVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("demo")
    .description("watch card payments being decided: a live stream, an attack, a wipe and restore; needs nothing else")
    .addOption(
      new Option(
        "--seconds <count>",
        "end so long after the start; without it a terminal goes on until Ctrl-C",
      ).argParser(wholeNumber(1)),
    )
    .addOption(new Option("--rate <count>", "payments a second").argParser(wholeNumber(1)).default(500))
    .addOption(new Option("--seed <number>", "of the simulated town").argParser(wholeNumber(0)).default(1))
    .option("--until-first-decision", "end at the first durable scored decision and say how long it took")
    .option("--model <folder>", "score with another model; none: rules alone")
    .addOption(new Option("--http-port <port>", "of probes, metrics and state").argParser(wholeNumber(0)))
    .action(async (options, command) => {
      const { dataDir } = command.optsWithGlobals() as { readonly dataDir?: string };
      const { showDemo } = await import("./demo-session.ts");
      await showDemo(invocation, dataDir, options);
    });
}
