import { MemorySchemaRegistry } from "../../src/codec/memory-schema-registry.ts";
import { partitionedInputs } from "../../src/task/application.ts";
import {
  choicesTopic,
  commitsTopic,
  deadLettersTopic,
  lateTopic,
  repartitionTopic,
  type Topology,
} from "../../src/topology/graph.ts";
import type { Fault, HitKind, Step } from "./faults.ts";
import { GroupCoordinator } from "./group-coordinator.ts";
import { Incarnation } from "./incarnation.ts";
import { Network } from "./network.ts";
import { Producers } from "./producers.ts";
import { Random } from "./random.ts";
import type { Scenario } from "./scenario.ts";
import { Scheduler } from "./scheduler.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";
import { SimulatedDisk, type WrittenTap } from "./simulated-disk.ts";
import { type Application, SimulatedProcess } from "./simulated-process.ts";
import { scorerIn, topologies } from "./topologies.ts";

/** Faults that hit in every run. */
export const faultsMin = 3;

/** Between the last record and the time from which nothing goes wrong any more, in ms. */
const healedAfterMs = 400;

/** A process that may be started again and again. */
interface Slot {
  readonly number: number;
  readonly host: number;
  process: SimulatedProcess | null;
  /** Number of its life. */
  life: number;
}

/** What a run counts, for the report. */
export interface Tally {
  /** Deaths at a step, by step; not those that came some deliveries later. */
  readonly deaths: Map<Step, number>;
  /** Faults that hit something: a plan that meets nobody is none. */
  readonly hits: Map<HitKind, number>;
  /** States that databases were put to, each compared with the log. */
  positions: number;
}

/** One run of a scenario: the cluster, the hosts, the processes, and what goes wrong with them. */
export class World {
  readonly scenario: Scenario;
  readonly scheduler: Scheduler;
  readonly cluster: SimulatedCluster;
  readonly topology: Topology;
  readonly producers: Producers;
  readonly tally: Tally = { deaths: new Map(), hits: new Map(), positions: 0 };
  /** What happened, a line each; only when asked for. */
  readonly trace: string[] | null;
  /** What a process ended with although it could have gone on. */
  failure: unknown = null;
  readonly #random: Random;
  readonly #network: Network;
  readonly #group: GroupCoordinator;
  readonly #disks: readonly SimulatedDisk[];
  readonly #slots: readonly Slot[];
  readonly #application: Application;
  /** Deaths at steps that wait to happen. */
  readonly #deaths: { readonly fault: Fault & { readonly kind: "die-at" }; left: number }[] = [];
  #healedMs = -1;

  constructor(scenario: Scenario, traced: boolean, written: WrittenTap) {
    const random = new Random(scenario.seed);
    this.scenario = scenario;
    this.trace = traced ? [] : null;
    this.#random = random;
    this.scheduler = new Scheduler(random);
    this.#network = new Network(this.scheduler, random, scenario.brokers, (fault) => this.#hit(fault));
    this.#network.usualDelayMs = scenario.delayMs;
    this.cluster = new SimulatedCluster(this.scheduler, random, this.#network, scenario.brokers);
    this.cluster.markerMs = scenario.markerMs;
    this.#group = new GroupCoordinator(this.scheduler, this.#network);
    this.#disks = Array.from({ length: scenario.hosts }, () => new SimulatedDisk(this.scheduler, random, written));
    this.#slots = scenario.starts.map((_, number) => ({
      number,
      host: number % scenario.hosts,
      process: null,
      life: 0,
    }));
    this.topology = topologies[scenario.variant];
    this.#application = {
      topology: this.topology,
      partitions: scenario.partitions,
      settings: scenario.settings,
      registry: new MemorySchemaRegistry(),
      schemaIds: {},
      sessionTimeoutMs: scenario.sessionTimeoutMs,
      scorersOf: (incarnation) =>
        new Map(
          this.topology.nodes.flatMap(({ kind, id }) =>
            kind === "score" ? [[id, scorerIn(incarnation)] as const] : [],
          ),
        ),
    };
    this.#createTopics();
    this.producers = new Producers(scenario.arrivals, this.scheduler, random, this.cluster);
    this.#plan();
  }

  note(line: () => string): void {
    this.trace?.push(`${this.scheduler.monotonic().toFixed(3).padStart(10)}  ${line()}`);
  }

  #createTopics(): void {
    const { applicationId, nodes } = this.topology;
    const names = [commitsTopic, choicesTopic, deadLettersTopic, lateTopic].map((name) => name(applicationId));
    for (const { topic } of partitionedInputs(this.topology)) names.push(topic);
    for (const node of nodes) {
      if (node.kind === "repartition") names.push(repartitionTopic(applicationId, node.keySpace));
      if (node.kind === "sink") names.push(node.topic);
    }
    for (const name of names) this.cluster.createTopic(name, { partitions: this.scenario.partitions });
  }

  #plan(): void {
    const { starts, faults, fedMs } = this.scenario;
    for (const slot of this.#slots) this.scheduler.after(starts[slot.number] ?? 0, () => this.#start(slot));
    for (const fault of faults) this.scheduler.after(fault.atMs, () => this.#happen(fault));
    this.scheduler.after(fedMs, () => this.#topUp());
  }

  #start(slot: Slot): void {
    if (slot.process !== null) return;
    const name = `process ${slot.number}.${++slot.life}`;
    const disk = this.#disks[slot.host] as SimulatedDisk;
    const incarnation = new Incarnation(name, this.scheduler, () => {
      this.#hit("die-at");
      this.#die(slot, incarnation, null);
    });
    const { cluster, scheduler } = this;
    const { transactionTimeoutMs } = this.scenario;
    this.note(() => `${name} starts`);
    const process = new SimulatedProcess({
      application: this.#application,
      incarnation,
      disk,
      group: this.#group,
      log: {
        incarnation,
        cluster,
        network: this.#network,
        random: this.#random,
        clock: scheduler,
        transactionTimeoutMs,
      },
      tap: (task, step, sequence) => this.#stepped(slot, incarnation, step, () => `${task.id} ${step} ${sequence}`),
      takeOverTap: (task, step) => this.#stepped(slot, incarnation, step, () => `${task} ${step}`),
      discarded: (partition, reason) => this.#discarded(incarnation, disk, partition, reason),
      failed: (error) => this.#failed(slot, incarnation, error),
    });
    slot.process = process;
    void process.run().then(() => {
      if (slot.process === process) this.#end(slot, incarnation, () => `${name} has ended`);
    });
  }

  #end(slot: Slot, incarnation: Incarnation, line: () => string): void {
    incarnation.kill();
    slot.process = null;
    this.note(line);
    this.scheduler.note(slot.number);
  }

  #stepped(slot: Slot, incarnation: Incarnation, step: Step, line: () => string): void {
    if (!incarnation.alive) return;
    this.note(() => `${incarnation.name} ${line()}`);
    const at = this.#deaths.findIndex(({ fault }) => fault.step === step);
    const death = this.#deaths[at];
    if (death === undefined || --death.left > 0) return;
    this.#deaths.splice(at, 1);
    if (death.fault.later > 0) {
      incarnation.dieAfter(death.fault.later);
      return;
    }
    this.#hit("die-at");
    this.tally.deaths.set(step, (this.tally.deaths.get(step) ?? 0) + 1);
    this.#die(slot, incarnation, step);
  }

  #die(slot: Slot, incarnation: Incarnation, step: Step | null): void {
    if (slot.process?.incarnation !== incarnation) return;
    this.#end(slot, incarnation, () => `${incarnation.name} dies${step === null ? "" : ` at ${step}`}`);
    this.#startAgain(slot, this.#random.between(10, 1500));
  }

  #startAgain(slot: Slot, afterMs: number): void {
    this.scheduler.after(this.#healedMs < 0 ? afterMs : 20, () => this.#start(slot));
  }

  /** A process ended by itself: no fault of these can be a reason. */
  #failed(slot: Slot, incarnation: Incarnation, error: unknown): void {
    if (slot.process?.incarnation !== incarnation) return;
    this.#end(slot, incarnation, () => `${incarnation.name} fails: ${error instanceof Error ? error.stack : error}`);
    this.failure ??= error;
  }

  /**
   * State may be thrown away where the disk was damaged or lost something, and where another process had the task for so
   * long that the commits between are trimmed. A restore mends whatever else is wrong with it, and would hide that.
   */
  #discarded(incarnation: Incarnation, disk: SimulatedDisk, partition: number, reason: string): void {
    if (!incarnation.alive) return;
    this.note(() => `${incarnation.name} throws the state of task ${partition} away: ${reason}`);
    const commits = this.cluster.held(commitsTopic(this.topology.applicationId))?.partitions[partition];
    if (disk.harmed(partition) || disk.outdated(partition, commits?.startOffset ?? 0)) return;
    this.failure ??= new Error(`sound state of task ${partition} was thrown away: ${reason}`);
  }

  #happen(fault: Fault): void {
    if (this.#healedMs >= 0) return;
    this.note(() => `fault ${JSON.stringify(fault)}`);
    if (fault.kind === "die-at") {
      this.#deaths.push({ fault, left: fault.nth });
      return;
    }
    if (fault.kind === "request") {
      this.#network.plan(fault.request, fault.fault);
      return;
    }
    if (this.#suffer(fault)) this.#hit(fault.kind);
  }

  #hit(kind: HitKind): void {
    const { hits } = this.tally;
    hits.set(kind, (hits.get(kind) ?? 0) + 1);
  }

  /** Faults that hit something so far. */
  get hits(): number {
    let sum = 0;
    for (const count of this.tally.hits.values()) sum += count;
    return sum;
  }

  /** @returns whether it hit anything at once; what is up to the network is counted when a request meets it */
  #suffer(fault: Exclude<Fault, { kind: "die-at" } | { kind: "request" }>): boolean {
    switch (fault.kind) {
      case "die":
        return this.#kill(fault.process);
      case "stop":
        return this.#stop(fault.process, fault.forMs);
      case "leave": {
        const slot = this.#slots[fault.process] as Slot;
        if (slot.process === null) return false;
        slot.process.stop();
        this.#startAgain(slot, fault.forMs);
        return true;
      }
      case "outage":
        this.#network.setUp(fault.broker, false);
        this.scheduler.after(fault.forMs, () => this.#network.setUp(fault.broker, true));
        return false;
      case "storm":
        this.#network.weather = fault;
        this.scheduler.after(fault.forMs, () => this.#network.calmDown());
        return false;
      case "power-cut": {
        const killed = this.#slots.filter(({ host, number }) => host === fault.host && this.#kill(number));
        return this.#disks[fault.host]?.powerCut() === true || killed.length > 0;
      }
      case "damage": {
        const slot = this.#slots[fault.process] as Slot;
        const killed = this.#kill(fault.process);
        const damaged = this.#disks[slot.host]?.damage(fault.damage) != null;
        // Where there was no database to damage, somebody died all the same.
        if (killed && !damaged) this.#hit("die");
        return damaged;
      }
      default:
        return fault satisfies never;
    }
  }

  #kill(number: number): boolean {
    const slot = this.#slots[number] as Slot;
    if (slot.process === null) return false;
    this.#die(slot, slot.process.incarnation, null);
    return true;
  }

  #stop(number: number, forMs: number): boolean {
    const incarnation = this.#slots[number]?.process?.incarnation;
    if (incarnation === undefined || incarnation.stopped) return false;
    incarnation.stop();
    this.scheduler.after(forMs, () => this.#goOn(incarnation));
    return true;
  }

  #goOn(incarnation: Incarnation): void {
    if (!incarnation.stopped || !incarnation.alive) return;
    this.note(() => `${incarnation.name} goes on`);
    incarnation.goOn();
  }

  /** Faults that were planned and hit nothing are made up for. */
  #topUp(): void {
    if (this.hits >= faultsMin) {
      this.scheduler.after(healedAfterMs, () => this.#heal());
      return;
    }
    const running = this.#slots.filter(({ process }) => process !== null);
    if (running.length > 0 && this.#kill(this.#random.one(running).number)) this.#hit("die");
    this.scheduler.after(this.#random.between(20, 100), () => this.#topUp());
  }

  /** From here on nothing goes wrong any more. */
  #heal(): void {
    this.note(() => "all is well from here on");
    this.#healedMs = this.scheduler.monotonic();
    this.#deaths.length = 0;
    this.#network.clear();
    for (const slot of this.#slots) {
      if (slot.process === null) this.#startAgain(slot, 20);
      else this.#goOn(slot.process.incarnation);
    }
  }

  /** Ends every process and deletes every database; the processes start again. */
  startFromNothing(): void {
    this.note(() => "all processes end, all databases are deleted");
    for (const slot of this.#slots) {
      if (slot.process !== null) this.#end(slot, slot.process.incarnation, () => `process ${slot.number} ends`);
      this.#startAgain(slot, 20);
    }
    for (const disk of this.#disks) disk.deleteAll();
  }

  /** Since when nothing goes wrong any more; -1 as long as something may. */
  get healedMs(): number {
    return this.#healedMs;
  }

  get processes(): readonly SimulatedProcess[] {
    return this.#slots.flatMap(({ process }) => (process === null ? [] : [process]));
  }
}
