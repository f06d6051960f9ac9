import type { Writable } from "node:stream";
import { styleText } from "node:util";
import cliProgress from "cli-progress";
import Table from "cli-table3";
import type { Clock } from "../core/clock.ts";
import { visible } from "./plain-text.ts";

/** A stream of the process, or one that a test reads. */
export type TerminalStream = Writable & { readonly isTTY?: boolean };

/** How far a long command is. */
export interface Progress {
  /** @param done of the total that was given */
  update(done: number): void;
  end(): void;
}

/** Between two plain progress lines, in ms. */
const progressIntervalMs = 5000;

/**
 * What a command shows. Data goes to standard output, and only data: it can be piped. Everything said to a person goes to
 * standard error. Colours and bars need a terminal there; `NO_COLOR` turns colours off.
 */
export class Terminal {
  readonly #out: TerminalStream;
  readonly #err: TerminalStream;
  readonly #clock: Clock;

  constructor(out: TerminalStream, err: TerminalStream, clock: Clock) {
    this.#out = out;
    this.#err = err;
    this.#clock = clock;
  }

  /** Whether a person looks at what is said. */
  get interactive(): boolean {
    return this.#err.isTTY === true;
  }

  /** Where a logger writes. */
  get errors(): { write(text: string): void } {
    return this.#err;
  }

  /** One line of data. */
  print(line: string): void {
    this.#out.write(`${line}\n`);
  }

  /** Resolves when what was printed does not pile up in memory: to be awaited now and then in a loop. */
  async drained(): Promise<void> {
    if (!this.#out.writableNeedDrain) return;
    await new Promise((resolve) => this.#out.once("drain", resolve));
  }

  /** Rows under a head, as data for people; cells hold any text. */
  table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): void {
    const table = new Table({
      head: [...head],
      colAligns: head.map((_, i) => (rows.every((row) => typeof row[i] === "number") ? "right" : "left")),
      style: { head: [], border: [], compact: true, "padding-left": 0, "padding-right": 2 },
      chars: borderless,
    });
    for (const row of rows) table.push(row.map((cell) => (typeof cell === "number" ? counted(cell) : visible(cell))));
    const lines = table.toString().split("\n");
    this.print([this.#styled("bold", lines[0] ?? "", this.#out), ...lines.slice(1)].map(trimmedEnd).join("\n"));
  }

  /** A line for the person at the terminal. */
  say(line: string): void {
    this.#err.write(`${visible(line)}\n`);
  }

  /** A warning: the command goes on. */
  warn(line: string): void {
    this.#err.write(`${this.#styled("yellow", "warning", this.#err)}: ${visible(line)}\n`);
  }

  /** What went wrong, last. */
  fail(line: string): void {
    this.#err.write(`${this.#styled("red", "error", this.#err)}: ${visible(line)}\n`);
  }

  /** The one command that is most likely to be typed next: it runs as printed. */
  next(command: string): void {
    this.#err.write(`${this.#styled("dim", `next: ${command}`, this.#err)}\n`);
  }

  /** A bar on a terminal, a line now and then elsewhere. */
  progress(label: string, total: number, unit: string): Progress {
    return this.#err.isTTY === true ? this.#bar(label, total, unit) : this.#lines(label, total, unit);
  }

  #bar(label: string, total: number, unit: string): Progress {
    const bar = new cliProgress.SingleBar({
      format: `${label}  {bar} {percentage}%  {value} of {total} ${unit}  {duration_formatted}`,
      stream: this.#err as NodeJS.WriteStream,
      barCompleteChar: "█",
      barIncompleteChar: "░",
      barsize: 24,
      gracefulExit: false,
      formatValue: (value) => counted(value),
    });
    bar.start(total, 0);
    return {
      update: (done) => bar.update(done),
      end: () => bar.stop(),
    };
  }

  #lines(label: string, total: number, unit: string): Progress {
    let saidMs = this.#clock.monotonic();
    return {
      update: (done) => {
        const nowMs = this.#clock.monotonic();
        if (nowMs - saidMs < progressIntervalMs) return;
        saidMs = nowMs;
        const share = total === 0 ? 100 : Math.floor((done / total) * 100);
        this.say(`${label}: ${counted(done)} of ${counted(total)} ${unit}, ${share} %`);
      },
      end: () => {},
    };
  }

  #styled(style: "bold" | "dim" | "red" | "yellow", text: string, stream: TerminalStream): string {
    // Checks NO_COLOR, FORCE_COLOR and whether the stream is a terminal.
    return styleText(style, text, { stream, validateStream: true });
  }
}

const trimmedEnd = (line: string): string => line.trimEnd();

const borderless = Object.fromEntries(
  [
    ...["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"],
    ...["left", "left-mid", "mid", "mid-mid", "right", "right-mid", "middle"],
  ].map((place) => [place, ""]),
);

/** A whole number as people read it: 1,234,567. */
export function counted(count: number): string {
  return count.toLocaleString("en");
}
