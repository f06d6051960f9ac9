import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Writable } from "node:stream";
import { runProgram } from "../../src/cli/program.ts";
import { systemClock } from "../../src/core/clock.ts";

// Commands read the environment: a broker that the tests as a whole were given must not become theirs.
delete process.env.KAFKA_BOOTSTRAP_SERVERS;
delete process.env.KAFKA_BROKERS;
delete process.env.SCHEMA_REGISTRY_URL;
delete process.env.REDIS_URL;

/** What a command left behind. */
export interface Outcome {
  readonly code: number;
  /** Standard output: data. */
  readonly out: string;
  /** Standard error: what was said to a person. */
  readonly err: string;
  /** The lines of `out` that are JSON objects. */
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** Commands run in one folder, in this process, without a terminal. Dispose of it to remove the folder. */
export class CommandFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kappa-cli-"));

  /** @param line words separated by spaces */
  run(line: string): Promise<Outcome> {
    return this.runWords(line.split(" ").filter((word) => word !== ""));
  }

  async runWords(words: readonly string[]): Promise<Outcome> {
    const [out, err] = [new Gathered(), new Gathered()];
    const code = await runProgram(words, { out, err, clock: systemClock, directory: this.path });
    const lines = out.text.split("\n").filter((line) => /^\{.+\}$/.test(line));
    return { code, out: out.text, err: err.text, rows: lines.map((line) => JSON.parse(line)) };
  }

  file(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

class Gathered extends Writable {
  text = "";

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** A schema of five fields, as a file would hold it. */
export const paymentSchema = {
  type: "record",
  name: "Payment",
  fields: [
    { name: "payment_id", type: "string" },
    { name: "ts", type: { type: "long", logicalType: "timestamp-millis" } },
    { name: "card_id", type: "string" },
    { name: "amount", type: "long" },
    { name: "note", type: ["null", "string"], default: null },
  ],
};

export interface Payment {
  readonly payment_id: string;
  readonly ts: number;
  readonly card_id: string;
  readonly amount: number;
  readonly note: string | null;
}

/** Payments of a few cards, a second apart; some notes hold what CSV has to quote. */
export function payments(count: number): Payment[] {
  const notes = [null, "plain", 'with "quotes", a comma', "two\nlines", ""];
  return Array.from({ length: count }, (_, i) => ({
    payment_id: `p${i}`,
    ts: Date.UTC(2026, 0, 1) + i * 1000,
    card_id: `c${(i * 7) % 13}`,
    amount: i * 3,
    note: notes[i % notes.length] ?? null,
  }));
}

export function ndjson(rows: readonly object[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

/** Rows as CSV, times as ISO 8601. */
export function csv(rows: readonly Payment[]): string {
  const field = (value: string | number | null): string =>
    value === null ? "" : /[",\n]|^$/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  const lines = rows.map(({ payment_id, ts, card_id, amount, note }) =>
    [payment_id, new Date(ts).toISOString(), card_id, amount, note].map(field).join(","),
  );
  return ["payment_id,ts,card_id,amount,note", ...lines, ""].join("\r\n");
}
