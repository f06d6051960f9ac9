import { clearLine, clearScreenDown, cursorTo } from "node:readline";
import { styleText } from "node:util";
import type { FraudDecision } from "../../schemas/records.ts";
import { visible } from "./plain-text.ts";
import { counted } from "./terminal.ts";

/** What a demo shows of itself, again and again. */
export interface DemoStatus {
  readonly elapsedSeconds: number;
  readonly eventTimeMs: number;
  readonly state: string;
  readonly decided: number;
  readonly alerts: number;
  readonly perSecond: number;
  readonly lag: number;
  readonly latency: { readonly p50: number; readonly p99: number } | null;
  readonly outcomes: ReadonlyMap<string, number>;
  /** Newest first. */
  readonly alertsNow: readonly FraudDecision[];
}

/** Shows a demo: on a terminal as one screen that changes, elsewhere as lines. */
export interface DemoView {
  /** How often `show` is worth calling, in ms. */
  readonly intervalMs: number;
  announce(line: string): void;
  show(status: DemoStatus): void;
}

type Print = (line: string) => void;

/** One line a while; a line for every announcement. */
export class DemoLines implements DemoView {
  readonly intervalMs = 2000;
  readonly #print: Print;
  #alerts = 0;

  constructor(print: Print) {
    this.#print = print;
  }

  announce(line: string): void {
    this.#print(line);
  }

  show(status: DemoStatus): void {
    this.#print(`${clockOf(status)}  ${countsOf(status)}  ${latencyOf(status)}`);
    const [newest] = status.alertsNow;
    if (newest !== undefined && status.alerts > this.#alerts) {
      this.#alerts = status.alerts;
      for (const line of alertLines(newest)) this.#print(line);
    }
  }
}

/** Announcements kept on the screen. */
const announcementsShown = 5;

/** One screen, redrawn in place. */
export class DemoScreen implements DemoView {
  readonly intervalMs = 250;
  readonly #out: NodeJS.WriteStream;
  readonly #title: string;
  readonly #announcements: string[] = [];
  #drawn = false;

  constructor(out: NodeJS.WriteStream, title: string) {
    this.#out = out;
    this.#title = title;
  }

  announce(line: string): void {
    this.#announcements.push(line);
    if (this.#announcements.length > announcementsShown) this.#announcements.shift();
  }

  show(status: DemoStatus): void {
    const { columns = 80, rows = 24 } = this.#out;
    const eventTime = new Date(status.eventTimeMs).toISOString().slice(0, 16).replace("T", " ");
    const lines: (readonly [text: string, style?: "bold" | "cyan"])[] = [
      [this.#title, "bold"],
      [""],
      [`${clockOf(status)}   event time ${eventTime}   ${status.state}`],
      [countsOf(status)],
      [`${outcomesOf(status.outcomes)}   ${latencyOf(status)}`],
      [""],
      ...this.#announcements.map((line) => [line, "cyan"] as const),
      [""],
      ["last alerts: what was declined or asked for a second proof, and why", "bold"],
      ...status.alertsNow.flatMap((decision) => alertLines(decision).map((line) => [line] as const)),
    ];
    if (!this.#drawn) this.#clear();
    this.#drawn = true;
    cursorTo(this.#out, 0, 0);
    // A line that wrapped, or one too many, would shift the rest.
    for (const [text, style] of lines.slice(0, rows - 1)) {
      const fitting = visible(text).slice(0, columns - 1);
      this.#out.write(style === undefined ? fitting : styleText(style, fitting, { stream: this.#out }));
      clearLine(this.#out, 1);
      this.#out.write("\n");
    }
    clearScreenDown(this.#out);
  }

  #clear(): void {
    cursorTo(this.#out, 0, 0);
    clearScreenDown(this.#out);
  }
}

function clockOf({ elapsedSeconds }: DemoStatus): string {
  const seconds = Math.floor(elapsedSeconds);
  return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
}

function countsOf({ decided, perSecond, alerts, lag }: DemoStatus): string {
  return `${counted(decided)} decisions  ${counted(Math.round(perSecond))}/s  ${counted(alerts)} alerts  lag ${counted(lag)}`;
}

function latencyOf({ latency }: DemoStatus): string {
  if (latency === null) return "";
  return `append to durable decision p50 ${latency.p50.toFixed(1)} ms  p99 ${latency.p99.toFixed(1)} ms`;
}

function outcomesOf(outcomes: ReadonlyMap<string, number>): string {
  let all = 0;
  for (const count of outcomes.values()) all += count;
  return [...outcomes].map(([outcome, count]) => `${outcome} ${((100 * count) / all).toFixed(2)} %`).join("  ");
}

/** A decision for people: what, on whom, why, and the windows behind it. */
export function alertLines(decision: FraudDecision): string[] {
  const { decision: outcome, score, rule, tx_id, customer_id, terminal_id, amount } = decision;
  const judged = score === null ? `rule ${rule}` : `score ${score.toFixed(3)}`;
  const reasons = decision.reasons.map(
    ({ feature, value, change }) => `${feature} ${rounded(value)} (+${change.toFixed(2)})`,
  );
  const windows = [
    `customer 1 h: ${decision.customer_count_1h} for ${decision.customer_sum_1h.toFixed(2)}`,
    `24 h: ${decision.customer_count_24h} at ${decision.customer_merchants_24h} merchants`,
    `terminal 1 h: ${decision.terminal_count_1h} by ${decision.terminal_customers_1h} customers`,
    `risk 7 d: ${(100 * decision.terminal_risk_7d).toFixed(0)} %`,
  ];
  return [
    `${outcome.padEnd(7)} ${judged}  ${tx_id}  ${customer_id} at ${terminal_id}  ${amount.toFixed(2)}`,
    `        ${reasons.length === 0 ? "" : `because ${reasons.join(", ")}`}`.trimEnd(),
    `        ${windows.join("; ")}`,
  ].filter((line) => line !== "");
}

const rounded = (value: number | null): string => (value === null ? "absent" : String(Math.round(value * 100) / 100));
