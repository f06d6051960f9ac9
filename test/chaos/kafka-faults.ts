import { type ChaosStep, commitSteps, type KillOrder, takeOverSteps } from "./kafka-steps.ts";

/** What is done to the application, one after the other; each begins when the one before has been got over. */
export type Fault =
  /** A processor dies at a step of a commit. With `other`, another one dies while it takes over from the first. */
  | { readonly kind: "kill"; readonly kill: KillOrder; readonly other: KillOrder | null; readonly restartMs: number }
  /** A processor dies at a step of a commit, and again at the first task that it opens after its restart. */
  | { readonly kind: "kill-twice"; readonly kill: KillOrder; readonly again: KillOrder; readonly restartMs: number }
  | { readonly kind: "broker"; readonly downMs: number }
  /** A processor is stopped until the others have its tasks, and so much longer. */
  | { readonly kind: "zombie"; readonly longerMs: number }
  /** Down to one processor, up to four, down to one, in good order. */
  | { readonly kind: "scale" };

export interface FaultCounts {
  readonly kills: number;
  readonly brokerKills: number;
  readonly zombies: number;
  readonly scales: number;
}

/** Out of three kills, one is at a step of a take-over; out of three of those, two are during another's. */
const takeOverShare = 1 / 3;
const otherShare = 2 / 3;

/**
 * Faults in a drawn order: every step comes equally often, and each broker kill, zombie and scaling has kills before and
 * behind it.
 */
export function planFaults({ kills, brokerKills, zombies, scales }: FaultCounts, random: () => number): Fault[] {
  const orderAt = (step: ChaosStep): KillOrder => {
    // A state batch is rare; all other steps come many times a second.
    const skip = step === "state-batch" ? Math.floor(random() * 3) : Math.floor(random() * 40);
    return { step, skip, during: random() < 0.5 };
  };
  const takeOvers = Math.floor(kills * takeOverShare);
  const others = Math.ceil(takeOvers * otherShare);
  const commits = shuffled(repeated(commitSteps, kills - takeOvers), random).map(orderAt);
  // Who takes over may get a single task.
  const atTakeOver = shuffled(repeated(takeOverSteps, takeOvers), random).map(
    (step): KillOrder => ({ ...orderAt(step), skip: 0 }),
  );
  const restartMs = (): number => Math.floor(random() * 3000);
  const faults = commits.map((kill, i): Fault => {
    const second = atTakeOver[i];
    if (second === undefined || i < others)
      return { kind: "kill", kill, other: second ?? null, restartMs: restartMs() };
    return { kind: "kill-twice", kill, again: second, restartMs: restartMs() };
  });
  const rest: Fault[] = [
    ...Array.from(
      { length: brokerKills },
      (): Fault => ({ kind: "broker", downMs: 1000 + Math.floor(random() * 4000) }),
    ),
    ...Array.from({ length: zombies }, (): Fault => ({ kind: "zombie", longerMs: Math.floor(random() * 3000) })),
    ...Array.from({ length: scales }, (): Fault => ({ kind: "scale" })),
  ];
  return shuffled([...faults, ...rest], random);
}

/** The items over and over until there are `length`. */
function repeated<Item>(items: readonly Item[], length: number): Item[] {
  return Array.from({ length }, (_, i) => items[i % items.length] as Item);
}

function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, at: random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
