import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../core/clock.ts";
import { days, hours } from "../core/time.ts";
import type { OwnedFileLog } from "../log/file-log.ts";
import type { DemoApplication } from "./demo-application.ts";
import type { Audit, DemoAudit } from "./demo-audit.ts";
import type { DemoDecisions } from "./demo-decisions.ts";
import type { DemoStatus, DemoView } from "./demo-screen.ts";
import type { DemoTraffic } from "./demo-traffic.ts";
import { counted } from "./terminal.ts";

export interface DemoOptions {
  /** Transactions a second. */
  readonly rate: number;
  /** Since the process started; null until interrupted. */
  readonly seconds: number | null;
  readonly untilFirstDecision: boolean;
  /** Whether a first decision must have a score to count. */
  readonly scored: boolean;
}

export interface DemoParts {
  readonly log: OwnedFileLog;
  readonly application: DemoApplication;
  readonly traffic: DemoTraffic;
  readonly decisions: DemoDecisions;
  readonly audit: DemoAudit;
  readonly view: DemoView;
  /** Its monotonic time is since the start of the process. */
  readonly clock: Clock;
  /** Aborted by Ctrl-C. */
  readonly interrupted: AbortSignal;
}

export interface DemoResult {
  /** What the log says at the end. */
  readonly log: Audit;
  /** Whether nothing was lost, doubled or restored to something else. */
  readonly passed: boolean;
}

/** Of event time, sent in one go before the live stream: windows of a week and the delay of fraud reports want to be filled. */
const historyMs = days(14);
/** Transactions on their way at most while history is sent. */
const inFlightMax = 20_000;
const sentAtOnce = 1000;
/** When the acts begin, in seconds since the start of the process; earlier in a short run. */
const attackSeconds = 25;
const wipeSeconds = 35;
/** One burst of card testing each; the attack is all of them. */
const attackBursts = 8;
const attackBurstMs = 500;
/** Customers whose windows are compared before and after the wipe. */
const comparedCustomers = 50;
/** Longest wait for decisions that do not come, in ms. */
const patienceMs = 10_000;

/** The acts of the demo: history, live stream, attack, wipe and restore, drain. */
export class DemoRun {
  readonly #options: DemoOptions;
  readonly #parts: DemoParts;
  #shownMs = 0;
  #shownCount = 0;
  #perSecond = 0;
  /** The wipe while it is under way; it runs beside the traffic. */
  #wiping: Promise<void> | null = null;
  #faults = 0;
  /** When the first decision was seen, where the run ends with it. */
  #firstMs: number | null = null;

  constructor(options: DemoOptions, parts: DemoParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** @throws what ended the engine */
  async run(): Promise<DemoResult> {
    const { traffic, decisions, application, audit } = this.#parts;
    await this.#sendHistory();
    if (!this.#ended()) await this.#live();
    await this.#wiping;
    await this.#caughtUp(traffic.sent);
    await application.stop();
    decisions.follow();
    const log = await audit.run(traffic.sent);
    return { log, passed: this.#faults + log.lost + log.doubled === 0 };
  }

  async #sendHistory(): Promise<void> {
    const { traffic, decisions, view, log } = this.#parts;
    const untilMs = traffic.timeMs + historyMs;
    view.announce(`sending ${historyMs / days(1)} days of history first, so that windows are full`);
    while (traffic.timeMs < untilMs && !this.#ended()) {
      if (traffic.sent - decisions.count < inFlightMax) await traffic.send(sentAtOnce, untilMs);
      else await log.changed(20);
      this.#look();
    }
    if (this.#ended()) return;
    await this.#caughtUp(traffic.sent);
    view.announce(`${counted(traffic.sent)} transactions of history decided; now live`);
  }

  async #live(): Promise<void> {
    const { clock, traffic, decisions, log } = this.#parts;
    const { rate, seconds } = this.#options;
    decisions.measureFrom(traffic.sent);
    const startMs = clock.monotonic();
    const share = (at: number, part: number): number => (seconds === null ? at : Math.min(at, part * seconds));
    const attackMs = Math.max(startMs + 500, share(attackSeconds, 0.4) * 1000);
    const wipeMs = attackMs + Math.min(wipeSeconds - attackSeconds, (seconds ?? 60) * 0.2) * 1000;
    let bursts = 0;
    let wiped = false;
    for (let sent = 0; !this.#ended(); ) {
      const nowMs = clock.monotonic();
      const due = Math.min(sentAtOnce, Math.floor(((nowMs - startMs) / 1000) * rate) - sent);
      if (due > 0) {
        await traffic.send(due);
        sent += due;
      } else await log.changed(5);
      if (bursts < attackBursts && nowMs >= attackMs + bursts * attackBurstMs) this.#attack(bursts++);
      if (!wiped && nowMs >= wipeMs) {
        wiped = true;
        this.#wiping = this.#wipe();
        this.#wiping.catch(() => {});
      }
      this.#look();
    }
  }

  #attack(burst: number): void {
    const { traffic, view } = this.#parts;
    const { paymentCount, terminalIds } = traffic.attack();
    if (burst > 0) return;
    const shop = terminalIds[0] ?? "a web shop";
    view.announce(
      `attack: stolen cards are being tried with tiny amounts, ${paymentCount} payments at ${shop} and more elsewhere`,
    );
  }

  /** Stops the engine, deletes its state, starts it again: everything it knew comes back from the log. */
  async #wipe(): Promise<void> {
    const { application, decisions, view, clock, traffic, audit } = this.#parts;
    const customers = decisions.recentCustomers(comparedCustomers);
    // An hour back nothing is on its way any more.
    const asOfMs = traffic.timeMs - hours(1);
    const windows = await application.windowsOf(customers, asOfMs);
    await application.stop();
    await application.wipe();
    decisions.follow();
    const before = decisions.count;
    view.announce(
      `wiped: the engine is stopped after ${counted(before)} decisions and its state deleted; payments go on`,
    );
    const startMs = clock.monotonic();
    await application.start();
    while (application.engine.state === "RESTORING") await sleep(10);
    if (application.engine.state === "ERROR") await application.engine.finished;
    const seconds = (clock.monotonic() - startMs) / 1000;
    const differing = (await application.windowsOf(customers, asOfMs)).filter((text, i) => text !== windows[i]).length;
    view.announce(
      `restored from the log in ${seconds.toFixed(1)} s; windows of ${customers.length} customers compared, ${differing} differ`,
    );
    const due = traffic.sent;
    await this.#caughtUp(due);
    const { decided, lost, doubled } = await audit.run(due);
    view.announce(`${counted(before)} decisions before, ${counted(decided)} after, ${lost} lost, ${doubled} doubled`);
    this.#faults += differing + lost + doubled;
  }

  /** Follows decisions and shows them now and then. */
  #look(): void {
    const { decisions, view, clock } = this.#parts;
    decisions.follow();
    const nowMs = clock.monotonic();
    if (this.#firstMs === null && this.#first()) {
      this.#firstMs = nowMs;
      view.announce(`first durable decision ${(nowMs / 1000).toFixed(2)} s after the start of the process`);
    }
    if (nowMs - this.#shownMs < view.intervalMs) return;
    const perSecond = ((decisions.count - this.#shownCount) * 1000) / (nowMs - this.#shownMs);
    this.#perSecond = this.#shownMs === 0 ? 0 : perSecond;
    this.#shownMs = nowMs;
    this.#shownCount = decisions.count;
    view.show(this.#status());
  }

  #status(): DemoStatus {
    const { traffic, decisions, application } = this.#parts;
    return {
      elapsedSeconds: this.#seconds(),
      eventTimeMs: traffic.timeMs,
      state: application.engine.state,
      sent: traffic.sent,
      decided: decisions.count,
      alerts: decisions.alerts,
      perSecond: this.#perSecond,
      lag: traffic.sent - decisions.count,
      latency: decisions.latency(),
      outcomes: decisions.outcomes,
      alertsNow: decisions.latest,
    };
  }

  /** Waits until so many transactions are decided, as long as decisions come at all: some may be dead letters. */
  async #caughtUp(transactions: number): Promise<void> {
    const { decisions, clock } = this.#parts;
    let count = decisions.count;
    for (let sinceMs = clock.monotonic(); decisions.count < transactions; ) {
      await sleep(5);
      this.#look();
      if (this.#parts.application.engine.state === "ERROR") return;
      if (decisions.count > count) {
        count = decisions.count;
        sinceMs = clock.monotonic();
      } else if (clock.monotonic() - sinceMs > patienceMs) return;
    }
  }

  #seconds(): number {
    return this.#parts.clock.monotonic() / 1000;
  }

  #first(): boolean {
    const { untilFirstDecision, scored } = this.#options;
    const { decisions } = this.#parts;
    return untilFirstDecision && (scored ? decisions.scored : decisions.count) > 0;
  }

  #ended(): boolean {
    const { seconds } = this.#options;
    const { interrupted, application } = this.#parts;
    if (interrupted.aborted || this.#first() || application.engine.state === "ERROR") return true;
    return seconds !== null && this.#seconds() >= seconds;
  }
}
