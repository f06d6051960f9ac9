import { Option } from "@commander-js/extra-typings";
import { collectParameter, noParameters } from "./arguments.ts";

/** `--param name=value`, as often as there are parameters. */
export const parameterOption = () =>
  new Option("--param <name=value>", "parameter of the topology, as often as needed")
    .argParser(collectParameter)
    .default(noParameters, "none");
