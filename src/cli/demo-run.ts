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

/** Of event time, sent in one go before the live stream: windows of a week and the delay of fraud reports want filling. */
const historyDaysMax = 14;
/** Transactions on their way at most while history is sent; few where the first decision is waited for. */
const inFlightMax = 20_000;
const inFlightUntilFirst = 1000;
const sentAtOnce = 1000;
/** When the acts begin, in seconds since the start of the process, of a run of `fullSeconds`; sooner in a shorter one. */
const fullSeconds = 60;
const attackSeconds = 25;
const wipeSeconds = 35;
/** One burst of card testing each; the attack is all of them. */
const attackBursts = 8;
const attackBurstMs = 500;
/** Customers whose windows are compared before and after the wipe. */
const comparedCustomers = 50;
/** Longest wait for decisions that do not come, in ms. */
const patienceMs = 10_000;

/** Something that happens at a moment of the monotonic clock. */
interface Act {
  readonly atMs: number;
  readonly play: () => void;
}

/** The acts of the demo: history, live stream, attack, wipe and restore, drain. */
export class DemoRun {
  readonly #options: DemoOptions;
  readonly #parts: DemoParts;
  #shownMs = 0;
  #shownCount = 0;
  #perSecond = 0;
  /** The wipe while it is under way; it runs beside the traffic. */
  #wiping: Promise<void> | null = null;
  /** What ended the wipe, if something did. */
  #failure: unknown = null;
  #faults = 0;
  /** When the first decision was seen, where the run ends with it. */
  #firstMs: number | null = null;

  constructor(options: DemoOptions, parts: DemoParts) {
    this.#options = options;
    this.#parts = parts;
  }

  /** @throws what ended the engine */
  async run(): Promise<DemoResult> {
    const { traffic, decisions, application, audit, view } = this.#parts;
    try {
      await this.#sendHistory();
      if (!this.#ended()) await this.#live();
      view.announce("draining: what was sent is still decided");
      await this.#wiping;
      if (this.#failure !== null) throw this.#failure;
      await this.#caughtUp(traffic.sent);
    } finally {
      await application.stop();
    }
    decisions.follow();
    const log = await audit.run(traffic.sent);
    return { log, passed: this.#faults + log.lost + log.doubled === 0 };
  }

  async #sendHistory(): Promise<void> {
    const { traffic, decisions, view, log } = this.#parts;
    const { seconds, untilFirstDecision } = this.#options;
    const historyDays = Math.min(historyDaysMax, Math.ceil((seconds ?? fullSeconds) / 3));
    const untilMs = traffic.timeMs + days(historyDays);
    const inFlight = untilFirstDecision ? inFlightUntilFirst : inFlightMax;
    view.announce(`sending ${historyDays} days of history first, so that windows are filled`);
    while (traffic.timeMs < untilMs && !this.#ended()) {
      if (traffic.sent - decisions.count < inFlight) await traffic.send(sentAtOnce, untilMs);
      else await log.changed(20);
      this.#look();
    }
    if (this.#ended()) return;
    await this.#caughtUp(traffic.sent);
    view.announce(`${counted(traffic.sent)} transactions of history decided; now live`);
  }

  /** Sends at the asked rate and plays the acts, until the time is over and they are through. */
  async #live(): Promise<void> {
    const { clock, traffic, decisions, log } = this.#parts;
    const { rate, seconds } = this.#options;
    decisions.measureFrom(traffic.sent);
    const startMs = clock.monotonic();
    const acts = this.#acts(startMs);
    const over = (): boolean =>
      seconds !== null && this.#seconds() >= seconds && acts.length === 0 && this.#wiping === null;
    for (let sent = 0; !this.#ended() && !over(); ) {
      const nowMs = clock.monotonic();
      const due = Math.min(sentAtOnce, Math.floor(((nowMs - startMs) / 1000) * rate) - sent);
      if (due > 0) {
        await traffic.send(due);
        sent += due;
      } else await log.changed(5);
      for (let act = acts[0]; act !== undefined && nowMs >= act.atMs; act = acts[0]) {
        acts.shift();
        act.play();
      }
      this.#look();
    }
  }

  /** In order of time: the bursts of the attack, then the wipe. */
  #acts(liveMs: number): Act[] {
    const pace = Math.min(1, (this.#options.seconds ?? fullSeconds) / fullSeconds);
    const attackMs = Math.max(liveMs + 500, attackSeconds * 1000 * pace);
    const acts: Act[] = [];
    for (let burst = 0; burst < attackBursts; burst++) {
      acts.push({ atMs: attackMs + burst * attackBurstMs * pace, play: () => this.#attack(burst) });
    }
    const wipe = (): void => {
      this.#wiping = this.#wipe()
        .catch((error: unknown) => {
          this.#failure = error;
        })
        .finally(() => {
          this.#wiping = null;
        });
    };
    acts.push({ atMs: attackMs + (wipeSeconds - attackSeconds) * 1000 * pace, play: wipe });
    return acts;
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
      decided: decisions.count,
      alerts: decisions.alerts,
      perSecond: this.#perSecond,
      lag: traffic.sent - decisions.count,
      latency: decisions.latency(),
      outcomes: decisions.outcomes,
      alertsNow: decisions.latest,
    };
  }

  /** Waits until the first so many transactions are decided, as long as that goes on: some may be dead letters. */
  async #caughtUp(transactions: number): Promise<void> {
    const { decisions, clock, application } = this.#parts;
    let decidedTo = decisions.decidedTo;
    for (let sinceMs = clock.monotonic(); decidedTo < transactions; ) {
      await sleep(5);
      this.#look();
      if (application.engine.state === "ERROR") return;
      if (decisions.decidedTo > decidedTo) sinceMs = clock.monotonic();
      else if (clock.monotonic() - sinceMs > patienceMs) return;
      decidedTo = decisions.decidedTo;
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
    const { interrupted, application } = this.#parts;
    return interrupted.aborted || this.#first() || application.engine.state === "ERROR" || this.#failure !== null;
  }
}
