import type { ListEntry } from "../../../schemas/records.ts";
import type { Payment } from "./payment.ts";
import type { Terminal } from "./population.ts";

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** A change of the lists to come; a null value takes the entry off. */
export interface Listing {
  readonly afterMs: number;
  readonly entry: string;
  readonly value: Pick<ListEntry, "kind" | "reason"> | null;
}

/** Reports after which a compromised terminal is watched, and blocked. */
const reportsToWatch = 4;
const reportsToBlock = 40;
/** How long a device stays blocked. */
const deviceBlockMs = 60 * dayMs;

/** What the bank does when frauds are reported. */
export class Bank {
  readonly #blockedDevices = new Set<string>();

  react({ fraud, deviceId, terminal }: Payment, timeMs: number): readonly Listing[] {
    if (fraud === "compromised-terminal") return this.#onTerminal(terminal, timeMs);
    if (fraud !== "card-testing" || deviceId === null) return [];
    const entry = `device:${deviceId}`;
    if (this.#blockedDevices.has(entry)) return [];
    this.#blockedDevices.add(entry);
    return [
      { afterMs: hourMs, entry, value: { kind: "block", reason: "used by card testers" } },
      { afterMs: deviceBlockMs, entry, value: null },
    ];
  }

  /** Forgets an entry taken off. */
  delisted(entry: string): void {
    this.#blockedDevices.delete(entry);
  }

  #onTerminal(terminal: Terminal, timeMs: number): readonly Listing[] {
    const entry = `terminal:${terminal.id}`;
    const reason = `${++terminal.reportCount} frauds reported`;
    if (terminal.reportCount === reportsToWatch) return [{ afterMs: hourMs, entry, value: { kind: "watch", reason } }];
    if (terminal.reportCount !== reportsToBlock) return [];
    // Blocked, it is of no use to them: they leave, and it is taken off the list when it has been replaced.
    terminal.compromisedUntilMs = Math.min(terminal.compromisedUntilMs, timeMs + 2 * dayMs);
    return [
      { afterMs: hourMs, entry, value: { kind: "block", reason } },
      { afterMs: 14 * dayMs, entry, value: null },
    ];
  }
}
