import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { KafkaBroker } from "../../scripts/stack/kafka-broker.ts";
import { seededRandom } from "../log/power-cut.ts";
import { chaosEvent, EventProducer } from "./kafka-events.ts";
import { type Fault, type FaultCounts, planFaults } from "./kafka-faults.ts";
import { Fleet, heldAfter, type Processor } from "./kafka-fleet.ts";
import { ChaosOracle } from "./kafka-oracle.ts";
import { type ChaosStep, isTakeOverStep, type KillOrder } from "./kafka-steps.ts";
import { consume, groupLag } from "./kafka-tools.ts";
import { applicationId, countsTopic, decisionsTopic, eventsTopic } from "./kafka-topology.ts";

export interface ChaosOptions extends FaultCounts {
  readonly seed: number;
  /** Events a second. */
  readonly rate: number;
  readonly processors: number;
  readonly partitions: number;
  readonly threads: number;
  readonly sessionTimeoutMs: number;
  readonly commitIntervalMs: number;
  /** Of broker, state and reports. */
  readonly directory: string;
  readonly say: (line: string) => void;
}

export interface ChaosKill {
  readonly step: ChaosStep;
  /** Tasks of a kill before had not all been taken over yet. */
  readonly duringAnother: boolean;
}

export interface ChaosResult {
  readonly kills: readonly ChaosKill[];
  readonly done: FaultCounts;
  /** From being told to run tasks to running them, in ms. */
  readonly takeOverMs: readonly number[];
  /** From a kill to the moment when every task ran, in ms. */
  readonly recoveryMs: readonly number[];
  readonly events: number;
  readonly eventsPerSecond: number;
  /** Of the group, as Kafka's own tool tells it. */
  readonly lag: number;
  readonly differences: number;
  /** The first of them, in words. */
  readonly told: readonly string[];
}

/** An application that has not got over a fault by then never will. */
const recoverWithinMs = 120_000;
/** How long a processor that was told to die at a step may go on without coming to it. */
const killWithinMs = 20_000;
/** More kills that do not come about mean that something else is wrong. */
const missedMax = 20;
/** Nothing was committed for so long: nothing is left to do. */
const quietMs = 3000;

/** Runs processors over a broker of their own, has faults at them under load, and judges what they wrote. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  mkdirSync(options.directory, { recursive: true });
  const broker = await KafkaBroker.start({
    dataDir: join(options.directory, "broker"),
    properties: { "group.min.session.timeout.ms": "1000" },
  });
  const series = new ChaosSeries(options, broker);
  try {
    return await series.run();
  } finally {
    await series.end();
    await broker.stop();
  }
}

class ChaosSeries {
  readonly #options: ChaosOptions;
  readonly #broker: KafkaBroker;
  readonly #fleet: Fleet;
  readonly #random: () => number;
  #producer: EventProducer | undefined;
  /** Kills that did not come about, and are tried again in the end. It grows while they are. */
  readonly #missed: KillOrder[] = [];
  readonly #kills: ChaosKill[] = [];
  readonly #done = { brokerKills: 0, zombies: 0, scales: 0 };
  readonly #recoveryMs: number[] = [];
  /** When the first of the kills happened that are not yet got over; undefined when all are. */
  #killedMs: number | undefined;

  constructor(options: ChaosOptions, broker: KafkaBroker) {
    this.#options = options;
    this.#broker = broker;
    const { directory, partitions, sessionTimeoutMs, commitIntervalMs, threads } = options;
    const { bootstrapServers } = broker;
    this.#random = seededRandom(options.seed);
    mkdirSync(join(directory, "processors"), { recursive: true });
    this.#fleet = new Fleet({
      directory: join(directory, "processors"),
      ...{ bootstrapServers, partitions, sessionTimeoutMs, commitIntervalMs, threads },
    });
  }

  async run(): Promise<ChaosResult> {
    const { seed, rate, partitions, processors, say } = this.#options;
    const kafka = { bootstrapServers: [this.#broker.bootstrapServers], clientId: "producer" };
    const producer = await EventProducer.start({ kafka, seed, partitions, ratePerSecond: rate });
    this.#producer = producer;
    const startMs = performance.now();
    for (let place = 0; place < processors; place++) this.#fleet.start(place);
    await this.#recover("the start");
    const faults = planFaults(this.#options, this.#random);
    say(`${faults.length} faults to come`);
    for (const [i, fault] of faults.entries()) await this.#face(String(i + 1), fault);
    for (const kill of this.#missed) {
      if (this.#missed.length > missedMax) throw new Error(`${missedMax} kills did not come about`);
      const early: KillOrder = { step: "process", skip: 0, during: false };
      const restartMs = Math.floor(this.#random() * 3000);
      const twice: Fault = { kind: "kill-twice", kill: early, again: kill, restartMs };
      await this.#face("again", isTakeOverStep(kill.step) ? twice : { kind: "kill", kill, other: null, restartMs });
    }
    await producer.stop();
    const eventsPerSecond = producer.produced / ((performance.now() - startMs) / 1000);
    say(`produced ${producer.produced} events, ${eventsPerSecond.toFixed(0)}/s; ${producer.failures} writers failed`);
    await this.#drain(producer);
    return { ...(await this.#judge(producer.produced)), eventsPerSecond };
  }

  async #face(number: string, fault: Fault): Promise<void> {
    const beganMs = performance.now();
    const name = nameOf(fault);
    this.#fleet.note(name);
    await this.#strike(fault);
    await this.#recover(name);
    this.#options.say(`${number}. ${name}: over after ${((performance.now() - beganMs) / 1000).toFixed(1)} s`);
    await sleep(100 + this.#random() * 900);
  }

  async #strike(fault: Fault): Promise<void> {
    switch (fault.kind) {
      case "kill":
        await this.#killOne(fault.kill, fault.other, fault.restartMs);
        break;
      case "kill-twice": {
        const place = await this.#killAt(fault.kill);
        await sleep(fault.restartMs);
        const again = this.#fleet.start(place, fault.again);
        await this.#awaitKill(place, again, fault.again);
        this.#restart(place);
        break;
      }
      case "broker":
        await this.#broker.kill();
        this.#done.brokerKills++;
        await sleep(fault.downMs);
        await this.#broker.start();
        break;
      case "zombie":
        await this.#stop(fault.longerMs);
        break;
      case "scale":
        await this.#scale();
        break;
      default:
        fault satisfies never;
    }
  }

  /** A processor in a place, drawn among those that run a task. */
  #draw(but?: number): [place: number, processor: Processor] {
    const some = [...this.#fleet.alive].filter(([place, { owned }]) => place !== but && owned.length > 0);
    const drawn = some[Math.floor(this.#random() * some.length)];
    if (drawn === undefined) throw new Error(`no processor runs a task\n${this.#fleet.describe()}`);
    return drawn;
  }

  async #killOne(kill: KillOrder, other: KillOrder | null, restartMs: number): Promise<void> {
    if (other === null) {
      const place = await this.#killAt(kill);
      await sleep(restartMs);
      this.#restart(place);
      return;
    }
    const [first] = this.#draw();
    const [second, heir] = this.#draw(first);
    heir.arm(other);
    const place = await this.#killAt(kill, first);
    await this.#awaitKill(second, heir, other);
    await sleep(restartMs);
    this.#restart(place);
    this.#restart(second);
  }

  /** @returns the place that is free now */
  async #killAt(kill: KillOrder, wanted?: number): Promise<number> {
    const drawn = wanted === undefined ? this.#draw() : ([wanted, this.#fleet.alive.get(wanted)] as const);
    const [place, processor] = drawn;
    if (processor === undefined) throw new Error(`processor ${place} is not there to be killed`);
    processor.arm(kill);
    await this.#awaitKill(place, processor, kill);
    return place;
  }

  /** Until it has killed itself; else, after a while, it is left alone when it was to take over, and killed anyway when not. */
  async #awaitKill(place: number, processor: Processor, kill: KillOrder): Promise<void> {
    const { say } = this.#options;
    const dead = await heldAfter(() => !processor.alive, killWithinMs);
    const left = processor.left;
    if (dead !== undefined && left !== undefined) {
      this.#kills.push({ step: left.step, duringAnother: this.#killedMs !== undefined });
      this.#killedMs ??= performance.now();
      return;
    }
    if (dead !== undefined) throw new Error(`processor ${place} ended by itself: ${processor.failure}`);
    say(`processor ${place} did not come to ${kill.step}`);
    this.#missed.push(kill);
    if (isTakeOverStep(kill.step)) processor.disarm();
    else {
      processor.signal("SIGKILL");
      await processor.ended;
      this.#killedMs ??= performance.now();
    }
  }

  #restart(place: number): void {
    if (!this.#fleet.alive.has(place)) this.#fleet.start(place);
  }

  async #stop(longerMs: number): Promise<void> {
    const [, zombie] = this.#draw();
    zombie.signal("SIGSTOP");
    const heirs = await heldAfter(() => this.#fleet.complete || this.#fleet.failures.length > 0, recoverWithinMs);
    this.#checkFailures();
    if (heirs === undefined) throw new Error(`nobody took over from a stopped process\n${this.#fleet.describe()}`);
    await sleep(longerMs);
    this.#done.zombies++;
    zombie.running = false;
    zombie.signal("SIGCONT");
  }

  async #scale(): Promise<void> {
    const { processors } = this.#options;
    const to = async (count: number): Promise<void> => {
      const places = [...this.#fleet.alive.keys()];
      const leaving = [...this.#fleet.alive.values()].slice(count);
      for (const processor of leaving) await processor.end();
      const free = Array.from({ length: Math.max(count, processors) }, (_, place) => place);
      const starting = free.filter((place) => !places.includes(place)).slice(0, Math.max(0, count - places.length));
      for (const place of starting) this.#fleet.start(place);
      await this.#recover(`scaling to ${count}`);
    };
    for (const count of [1, 4, 1]) await to(count);
    this.#done.scales++;
    await to(processors);
  }

  /** Until every task runs and has taken all the events that are there now. */
  async #recover(what: string): Promise<void> {
    const producer = this.#producer;
    if (producer === undefined) return;
    const complete = await heldAfter(() => this.#fleet.complete || this.#fleet.failures.length > 0, recoverWithinMs);
    this.#checkFailures();
    if (complete === undefined) throw new Error(`not every task runs after ${what}\n${this.#fleet.describe()}`);
    if (this.#killedMs !== undefined) this.#recoveryMs.push(performance.now() - this.#killedMs);
    this.#killedMs = undefined;
    const ends = await producer.ends();
    const reached = (): boolean => ends.every((end, p) => (this.#fleet.offsets[p] ?? -1) >= end - 1);
    const taken = await heldAfter(() => reached() || this.#fleet.failures.length > 0, recoverWithinMs);
    this.#checkFailures();
    if (taken === undefined) {
      throw new Error(`events wait after ${what}: the input ended at ${ends.join(" ")}\n${this.#fleet.describe()}`);
    }
  }

  #checkFailures(): void {
    const { failures } = this.#fleet;
    if (failures.length > 0) throw new Error(`${failures.join("; ")}\n${this.#fleet.describe()}`);
  }

  /** Until nothing is left to do, in any stage; then ends the processors in good order. */
  async #drain(producer: EventProducer): Promise<void> {
    const startMs = performance.now();
    let commits = "";
    for (let sinceMs = startMs; performance.now() - sinceMs < quietMs; await sleep(100)) {
      // The end moves on a little after the last event was acknowledged: by the marker of its transaction.
      const ends = await producer.ends();
      const now = this.#fleet.commits.join(" ");
      if (now !== commits || !ends.every((end, p) => this.#fleet.offsets[p] === end)) sinceMs = performance.now();
      commits = now;
      this.#checkFailures();
      if (performance.now() - startMs > recoverWithinMs)
        throw new Error(`it does not come to rest; the input ends at ${ends.join(" ")}\n${this.#fleet.describe()}`);
    }
    // Positions are told to the group once a second.
    await sleep(2000);
    for (const processor of this.#fleet.alive.values()) await processor.end();
  }

  async #judge(produced: number): Promise<Omit<ChaosResult, "eventsPerSecond">> {
    const { seed, rate, say } = this.#options;
    const { bootstrapServers } = this.#broker;
    const oracle = new ChaosOracle((id) => chaosEvent(id, seed, rate));
    await consume(bootstrapServers, eventsTopic, (record) => oracle.input(record));
    say(`read ${oracle.inputs} inputs`);
    await consume(bootstrapServers, decisionsTopic, (record) => oracle.decision(record));
    say(`read ${oracle.decisions} decisions`);
    await consume(bootstrapServers, countsTopic, (record) => oracle.countOf(record));
    say(`read ${oracle.counts} counts`);
    oracle.finish(produced);
    const lag = await groupLag(bootstrapServers, applicationId);
    oracle.differences.equal("lag of the group", lag, 0);
    return {
      kills: this.#kills,
      done: { kills: this.#kills.length, ...this.#done },
      takeOverMs: this.#fleet.takeOvers.map(({ ms }) => ms),
      recoveryMs: this.#recoveryMs,
      events: produced,
      lag,
      differences: oracle.differences.count,
      told: oracle.differences.told,
    };
  }

  /** Whatever came of it, nothing is left running. */
  async end(): Promise<void> {
    await this.#fleet.kill();
    await this.#producer?.stop().catch(() => {});
    await this.#producer?.close().catch(() => {});
  }
}

function nameOf(fault: Fault): string {
  switch (fault.kind) {
    case "kill": {
      const { kill, other } = fault;
      return other === null ? `kill at ${kill.step}` : `kill at ${kill.step}, another at ${other.step}`;
    }
    case "kill-twice":
      return `kill at ${fault.kill.step}, again at ${fault.again.step}`;
    case "broker":
      return `kill of the broker, ${fault.downMs} ms`;
    case "zombie":
      return "zombie";
    case "scale":
      return "scale 1-4-1";
    default:
      return fault satisfies never;
  }
}
