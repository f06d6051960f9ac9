import { randomInt } from "node:crypto";
import { createServer } from "node:net";
import { KappaError } from "../../src/core/errors.ts";

/**
 * Ports are taken from below the range from which Linux takes those of outgoing connections (32768 and up): while a
 * killed server is down, no client of another one can be given its port.
 */
const portMin = 20_000;
const portMax = 32_767;

/** Tries before giving up; one is enough unless thousands of ports are in use. */
const triesMax = 100;

/** A port of 127.0.0.1 on which nothing listens. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(portMin, portMax + 1);
    if (await portFree(port)) return port;
  }
  throw new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `no free port between ${portMin} and ${portMax} in ${triesMax} tries; end what listens there`,
  );
}

/** Whether a server could listen on this port of 127.0.0.1. */
export function portFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => server.close(() => resolve(true)));
  });
}
