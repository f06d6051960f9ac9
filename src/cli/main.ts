import process from "node:process";
import { systemClock } from "../core/clock.ts";
import { runProgram } from "./program.ts";

/** Runs the program with the arguments and streams of this process. Which Node is needed is said by `bin/kappa.js`. */
async function runProcess(): Promise<void> {
  // Whoever reads our output may stop reading (`kappa topics tail ... | head`): that is an end, not a failure.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(0);
    throw error;
  });
  process.exitCode = await runProgram(process.argv.slice(2), {
    out: process.stdout,
    err: process.stderr,
    clock: systemClock,
    directory: process.cwd(),
  });
}

void runProcess();
