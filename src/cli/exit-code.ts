import { CommanderError } from "@commander-js/extra-typings";
import { KappaError } from "../core/errors.ts";

/** What the exit code of a command means. 130 is what a shell shows for a command that Ctrl-C ended. */
export const exitCodes = {
  done: 0,
  failed: 1,
  /** Wrong arguments or configuration: nothing was done. */
  usage: 2,
  /**
   * A service, such as Kafka or a running application, does not answer, or a disk has no room or gives no right to the
   * state: the same may work later.
   */
  unreachable: 3,
  /** The command worked, and its answer is no: a check failed, nothing was found, results differ. */
  no: 4,
} as const;

/** The exit code of a command that threw. */
export function exitCodeOf(error: unknown): number {
  // Help and version also arrive as errors, with 0; every other complaint of the parser is about usage.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (!(error instanceof KappaError)) return exitCodes.failed;
  if (error.recovery === "retry") return exitCodes.unreachable;
  return error.recovery === "refuse" ? exitCodes.usage : exitCodes.failed;
}
