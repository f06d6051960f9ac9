import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { type OptionName, optionNames } from "./config.ts";
import { configOptions, type Invocation } from "./invocation.ts";
import { parameterOption } from "./topology-option.ts";

/** Options that are no flags here: one is a flag of every verb, the other is what the topology itself says. */
const elsewhere: readonly OptionName[] = ["dataDir", "applicationId"];

/** `kappa run` */
export function runVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("run")
    .description(
      "run a topology over the embedded log; SIGTERM and Ctrl-C drain and end with 0, a second one ends at once",
    )
    .argument("<topology>", "module whose default export is the topology, or a function of its parameters")
    .option("--until-end", "end where the inputs end now")
    .addOption(parameterOption())
    .action(async (module, options, command) => {
      const config = await invocation.config(command);
      const { ApplicationRun } = await import("./application-run.ts");
      const run = new ApplicationRun(
        invocation,
        config,
        invocation.path(module),
        options.param,
        options.untilEnd === true,
      );
      await run.toEnd();
      if (options.untilEnd) invocation.next("kappa topics list", command);
    });
  for (const option of configOptions(optionNames.filter((name) => !elsewhere.includes(name)))) verb.addOption(option);
  return verb;
}
