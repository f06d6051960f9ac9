import { Command, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { optionNames, printableConfig } from "./config.ts";
import { configOptions, type Invocation, programOptions } from "./invocation.ts";
import { jsonLine } from "./plain-text.ts";

/** `kappa config` */
export function configVerb(invocation: Invocation): CommandUnknownOpts {
  const verb = new Command("config")
    .description("each option with its value and where it came from; secrets masked")
    .option("--json", "one JSON object a line")
    .action(async (options, command) => {
      const rows = printableConfig(await invocation.loadConfig(command));
      if (options.json) for (const row of rows) invocation.terminal.print(jsonLine(row));
      else
        invocation.terminal.table(
          ["option", "value", "from"],
          rows.map(({ name, value, source }) => [name, value, source]),
        );
      invocation.next("kappa doctor", command);
    });
  for (const option of configOptions(optionNames.filter((name) => !programOptions.includes(name))))
    verb.addOption(option);
  return verb;
}
