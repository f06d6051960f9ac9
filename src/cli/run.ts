import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { type OptionName, optionNames } from "./config.ts";
import { configOptions, type Invocation, programOptions } from "./invocation.ts";
import { parameterOption } from "./topology-option.ts";

/** Options that are no flags here: some are flags of every verb, one is what the topology itself says. */
const elsewhere: readonly OptionName[] = [...programOptions, "applicationId"];

/** `kappa run` */
export function runVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("run")
    .description("run a topology over the log; SIGTERM and Ctrl-C drain and end with 0, a second one ends at once")
    .argument("<topology>", "module whose default export is the topology, or a function of its parameters")
    .option("--until-end", "end where the inputs end now")
    .addOption(parameterOption())
    .action(async (module, options, command) => {
      const config = await invocation.loadConfig(command);
      const { ApplicationRun } = await import("./application-run.ts");
      const run = new ApplicationRun(
        invocation,
        config,
        { module: invocation.path(module), parameters: options.param },
        options.untilEnd === true,
      );
      await run.toEnd();
      if (options.untilEnd) invocation.next("kappa topics list", command);
    });
  for (const option of configOptions(optionNames.filter((name) => !elsewhere.includes(name)))) verb.addOption(option);
  return verb;
}
