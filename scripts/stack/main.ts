import process from "node:process";
import { Command, CommanderError, InvalidArgumentError } from "@commander-js/extra-typings";
import { exitCodeOf, exitCodes } from "../../src/cli/exit-code.ts";
import { messageOf } from "../../src/core/errors.ts";
import { missingPython } from "./python.ts";
import { prepareStack, Stack, type StackService, stackPorts, stackServices } from "./stack.ts";

/**
 * `npm run stack`: real services for a machine without Docker, until Ctrl-C or SIGTERM. Addresses are data and go to
 * standard output as lines for a shell or an `.env` file; the rest is said to a person.
 */
const program = new Command("npm run stack --")
  .description("Kafka, schema registry, Redis and Prometheus on this machine, until Ctrl-C.")
  .option("--only <services>", `some of ${stackServices.join(",")}`, parseServices, [...stackServices])
  .option("--data-dir <folder>", "where the services keep their data", ".kappa/stack")
  .option("--kafka-port <port>", "port of Kafka", parsePort, stackPorts.kafka)
  .option("--registry-port <port>", "port of the schema registry", parsePort, stackPorts.registry)
  .option("--redis-port <port>", "port of Redis", parsePort, stackPorts.redis)
  .option("--prometheus-port <port>", "port of Prometheus", parsePort, stackPorts.prometheus)
  .exitOverride()
  .option("--prepare", "fetch and install what is missing, for npm test too, and start nothing");

/** What a shell shows for a command that Ctrl-C ended. */
const interruptedCode = 130;

/** Signals this close together are one: npm passes a Ctrl-C on that the terminal has sent to this process as well. */
const sameWishMs = 1000;

async function run(): Promise<number> {
  const options = program.parse().opts();
  if (options.prepare) {
    await prepareStack(options.only, [missingPython]);
    return exitCodes.done;
  }
  // Before the start: a Ctrl-C while services start must not leave them behind.
  const wish = endWish();
  let stack: Stack | undefined;
  void wish.second.then(async () => {
    await stack?.kill();
    process.exit(interruptedCode);
  });
  say(`starting ${options.only.join(", ")} in ${options.dataDir}`);
  stack = await Stack.start({
    services: options.only,
    dataDir: options.dataDir,
    ports: {
      kafka: options.kafkaPort,
      registry: options.registryPort,
      redis: options.redisPort,
      prometheus: options.prometheusPort,
    },
  });
  for (const [name, address] of stack.addresses) say(`${name.padEnd(10)} ${address}`);
  say("Ctrl-C ends them; their data stays. For another terminal, or .env:");
  for (const [name, value] of Object.entries(stack.environment)) process.stdout.write(`${name}=${value}\n`);
  const ended = await Promise.race([wish.first.then(() => undefined), stack.ended]);
  say(
    ended === undefined ? "stopping" : `${ended} has ended, see its log file in ${options.dataDir}; stopping the rest`,
  );
  await stack.stop();
  return ended === undefined ? exitCodes.done : exitCodes.failed;
}

/** Ctrl-C or SIGTERM: the first stops in good order, a later one at once. */
function endWish(): { readonly first: Promise<void>; readonly second: Promise<void> } {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let firstMs: number | undefined;
  const listener = () => {
    firstMs ??= performance.now();
    if (performance.now() - firstMs > sameWishMs) second.resolve();
    first.resolve();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, listener);
  return { first: first.promise, second: second.promise };
}

function parseServices(text: string): StackService[] {
  const services = text.split(",").map((name) => {
    const service = stackServices.find((known) => known === name.trim());
    if (service === undefined) throw new InvalidArgumentError(`${name} is none of ${stackServices.join(", ")}`);
    return service;
  });
  return stackServices.filter((name) => services.includes(name));
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError("is a number from 1 to 65535");
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

try {
  process.exitCode = await run();
} catch (error) {
  // The parser has said already what it does not like.
  if (!(error instanceof CommanderError)) say(messageOf(error));
  process.exitCode = exitCodeOf(error);
}
