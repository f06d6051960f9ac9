import type { TaskStep } from "../../src/task/task.ts";
import type { TakeOverStep } from "../../src/task/task-opener.ts";
import { type NetworkFault, type RequestFault, requestFaults } from "./network.ts";
import type { Random } from "./random.ts";
import type { Damage } from "./simulated-disk.ts";

/** The steps at which a process may be told to die. */
export type Step = TaskStep | TakeOverStep;

export const commitSteps: readonly TaskStep[] = ["read", "process", "score", "write", "durable", "state-batch"];
export const takeOverSteps: readonly TakeOverStep[] = [
  "open-writer",
  "open-database",
  "read-end",
  "apply-commits",
  "first-cycle",
];
export const steps: readonly Step[] = [...commitSteps, ...takeOverSteps];

/** Something that goes wrong. Times are in ms from the start. */
export type Fault =
  /** The process that comes to the step for the `nth` time after `atMs` dies: there, or some deliveries later. */
  | {
      readonly kind: "die-at";
      readonly atMs: number;
      readonly step: Step;
      readonly nth: number;
      readonly later: number;
    }
  | { readonly kind: "die"; readonly atMs: number; readonly process: number }
  /** Stopped, and made to go on: long enough, and it comes back as a zombie. */
  | { readonly kind: "stop"; readonly atMs: number; readonly process: number; readonly forMs: number }
  /** Told to end, and started again later. */
  | { readonly kind: "leave"; readonly atMs: number; readonly process: number; readonly forMs: number }
  | { readonly kind: "outage"; readonly atMs: number; readonly broker: number; readonly forMs: number }
  | {
      readonly kind: "storm";
      readonly atMs: number;
      readonly forMs: number;
      readonly faultShare: number;
      readonly delayMs: number;
    }
  /** The next request of a kind suffers a fault. */
  | { readonly kind: "request"; readonly atMs: number; readonly request: string; readonly fault: RequestFault }
  /** Every process of a host dies, and what is not on its disk for sure may be lost. */
  | { readonly kind: "power-cut"; readonly atMs: number; readonly host: number }
  /** A process of the host dies, and one of the databases that are left is damaged before it is opened again. */
  | { readonly kind: "damage"; readonly atMs: number; readonly process: number; readonly damage: Damage };

export type FaultKind = Fault["kind"];

/** Faults as they are counted: once something was hit by one. */
export type HitKind = Exclude<FaultKind, "request"> | NetworkFault;

interface Surroundings {
  readonly processes: number;
  readonly brokers: number;
  readonly hosts: number;
  readonly untilMs: number;
}

/** Kinds that a seed may draw from besides a death at a step, which every seed has. */
const kinds: readonly FaultKind[] = [
  "die-at",
  "die",
  "stop",
  "leave",
  "outage",
  "storm",
  "request",
  "power-cut",
  "damage",
];

/** Requests whose loss leaves open what has happened. */
const requests = [
  "EndTxn",
  "EndTxn",
  "AddPartitionsToTxn",
  "Produce",
  "Produce",
  "InitProducerId",
  "Heartbeat",
  "JoinGroup",
  "SyncGroup",
];

export const hitKinds: readonly HitKind[] = [...kinds.filter((kind) => kind !== "request"), ...requestFaults];

/** Three to six faults of some kinds: which kinds differs from seed to seed, so that some are alone. */
export function planFaults(random: Random, around: Surroundings): Fault[] {
  const allowed = kinds.filter(() => random.chance(0.6));
  const faults: Fault[] = [dieAt(random, around.untilMs)];
  const count = random.whole(2, 5);
  for (let i = 0; i < count; i++) faults.push(...faultOf(random.one(["die-at", ...allowed]), random, around));
  return faults;
}

function dieAt(random: Random, untilMs: number): Fault {
  const step = random.one(steps);
  const taking = takeOverSteps.some((each) => each === step);
  return {
    kind: "die-at",
    atMs: taking && random.chance(0.5) ? 0 : random.between(0, untilMs * 0.9),
    step,
    nth: random.whole(1, taking ? 3 : 12),
    later: random.chance(0.6) ? 0 : random.whole(1, 12),
  };
}

function faultOf(kind: FaultKind, random: Random, { processes, brokers, hosts, untilMs }: Surroundings): Fault[] {
  const atMs = random.between(50, untilMs);
  const process = random.whole(0, processes - 1);
  const forMs = random.one([30, 300, 1500, 4000]) * random.between(0.5, 1.5);
  switch (kind) {
    case "die-at": {
      const fault = dieAt(random, untilMs);
      // A take-over comes when somebody has died.
      return fault.kind === "die-at" && fault.atMs > 0 && takeOverSteps.some((each) => each === fault.step)
        ? [{ kind: "die", atMs: fault.atMs, process }, fault]
        : [fault];
    }
    case "die":
      return [{ kind, atMs, process }];
    case "stop":
    case "leave":
      return [{ kind, atMs, process, forMs }];
    case "outage":
      return [{ kind, atMs, broker: random.whole(0, brokers - 1), forMs }];
    case "storm":
      return [{ kind, atMs, forMs, faultShare: random.one([0, 0.02, 0.1]), delayMs: random.one([2, 40, 400]) }];
    case "request":
      return [{ kind, atMs, request: random.one(requests), fault: random.one(requestFaults) }];
    case "power-cut":
      return [{ kind, atMs, host: random.whole(0, hosts - 1) }];
    case "damage":
      return [{ kind, atMs, process, damage: random.one(["hole", "flipped", "deleted"] as const) }];
    default:
      return kind satisfies never;
  }
}
