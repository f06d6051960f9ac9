import { readFile } from "node:fs/promises";
import { Command, type CommandUnknownOpts, Option } from "@commander-js/extra-typings";
import { KappaError, messageOf } from "../core/errors.ts";
import { wholeNumber } from "./arguments.ts";
import type { Invocation } from "./invocation.ts";
import { jsonLine } from "./plain-text.ts";

/** `kappa schemas ...` */
export function schemasVerbs(invocation: Invocation): CommandUnknownOpts {
  return new Command("schemas")
    .description("schemas of the values in topics")
    .addCommand(listVerb(invocation))
    .addCommand(registerVerb(invocation));
}

function listVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("list")
    .description("every version of every subject")
    .option("--json", "one JSON object a line, with the schema")
    .action(async (options, command) => {
      const { terminal } = invocation;
      const registry = await (await invocation.dataFolder(command)).registry();
      const rows: (string | number)[][] = [];
      for (const subject of await registry.subjects()) {
        const compatibility = await registry.compatibility(subject);
        for (const { version, id, schema } of await registry.versions(subject)) {
          const parsed = recordIn(schema);
          if (options.json) terminal.print(jsonLine({ subject, version, id, compatibility, schema: parsed ?? schema }));
          rows.push([subject, version, id, parsed?.name ?? "-", parsed?.fields?.length ?? "-", compatibility]);
        }
      }
      if (!options.json) terminal.table(["subject", "version", "id", "record", "fields", "compatibility"], rows);
      invocation.next("kappa schemas register TOPIC-value FILE.avsc", command);
    });
}

/** A registry that others use too may hold schemas that are no JSON, or no records. */
function recordIn(schema: string): { readonly name?: string; readonly fields?: readonly unknown[] } | null {
  try {
    return JSON.parse(schema) as ReturnType<typeof recordIn>;
  } catch {
    return null;
  }
}

function registerVerb(invocation: Invocation): CommandUnknownOpts {
  return new Command("register")
    .description("add a version to a subject; refused when it could not read what the last version wrote")
    .argument("<subject>", "the values of a topic: TOPIC-value")
    .argument("<file>", "Avro schema (.avsc)")
    .addOption(
      new Option("--id <number>", "take this id, to rebuild a registry whose ids are in a log").argParser(
        wholeNumber(1),
      ),
    )
    .action(async (subject, file, options, command) => {
      const path = invocation.path(file);
      let schema: string;
      try {
        schema = await readFile(path, "utf8");
      } catch (error) {
        throw new KappaError(
          "KAPPA_FILE_INVALID",
          `cannot read the schema ${path}: ${messageOf(error)}`,
          { path },
          error,
        );
      }
      const registry = await (await invocation.dataFolder(command)).registry();
      const id = await registry.register(subject, schema, options.id === undefined ? {} : { id: options.id });
      const versions = await registry.versions(subject);
      const version = versions.find((each) => each.id === id)?.version;
      invocation.terminal.print(jsonLine({ subject, version, id }));
      invocation.next("kappa schemas list", command);
    });
}
