/** A process of an application, as it describes itself when tasks are shared out. */
export interface AssignedMember {
  readonly id: string;
  /** Tasks that it runs now. */
  readonly owned: readonly number[];
  /** When the state that it holds on disk was last written, in ms, by task. */
  readonly stored: Readonly<Record<number, number>>;
}

/**
 * Shares tasks out: as evenly as can be, a task stays where it runs, and else goes to who wrote its state last. Depends on
 * nothing but its arguments.
 *
 * A task that is to move is given to nobody as long as its owner runs it: the owner sees that it lost the task, closes it,
 * and asks for another round, in which it is free. The others run on meanwhile.
 *
 * @returns tasks by member
 */
export function assignTasks(members: readonly AssignedMember[], tasks: number): Map<string, number[]> {
  const sorted = [...members].sort((a, b) => (a.id < b.id ? -1 : 1));
  const owners = ownersOf(sorted, tasks);
  const targets = targetsOf(sorted, owners, tasks);
  const assigned = new Map<string, number[]>(sorted.map(({ id }) => [id, []]));
  for (let task = 0; task < tasks; task++) {
    const [owner, target] = [owners[task], targets[task]];
    if (target !== undefined && (owner === undefined || owner === target)) assigned.get(target.id)?.push(task);
  }
  return assigned;
}

/** Who runs each task. Two that claim one: the later by id has been told otherwise and not heard it yet, or the other way. */
function ownersOf(members: readonly AssignedMember[], tasks: number): (AssignedMember | undefined)[] {
  const owners: (AssignedMember | undefined)[] = new Array(tasks).fill(undefined);
  for (const member of members) {
    for (const task of member.owned) if (task < tasks) owners[task] ??= member;
  }
  return owners;
}

/** Who is to run each task in the end. */
function targetsOf(
  members: readonly AssignedMember[],
  owners: readonly (AssignedMember | undefined)[],
  tasks: number,
): (AssignedMember | undefined)[] {
  if (members.length === 0) return [];
  const least = Math.floor(tasks / members.length);
  let extra = tasks % members.length;
  const counts = new Map<AssignedMember, number>(members.map((member) => [member, 0]));
  const targets: (AssignedMember | undefined)[] = new Array(tasks).fill(undefined);
  const give = (task: number, member: AssignedMember): void => {
    const count = counts.get(member) ?? 0;
    if (count === least) extra--;
    counts.set(member, count + 1);
    targets[task] = member;
  };
  const hasRoom = (member: AssignedMember): boolean => {
    const count = counts.get(member) ?? 0;
    return count < least || (count === least && extra > 0);
  };
  // Who has most keeps one more where shares are uneven: fewer tasks move.
  const byOwned = [...members].sort((a, b) => b.owned.length - a.owned.length || (a.id < b.id ? -1 : 1));
  for (const member of byOwned) {
    for (let task = 0; task < tasks; task++) if (owners[task] === member && hasRoom(member)) give(task, member);
  }
  for (let task = 0; task < tasks; task++) {
    if (targets[task] !== undefined) continue;
    let best: AssignedMember | undefined;
    for (const member of members) if (hasRoom(member) && isBetter(task, member, best, counts)) best = member;
    if (best !== undefined) give(task, best);
  }
  return targets;
}

function isBetter(
  task: number,
  member: AssignedMember,
  best: AssignedMember | undefined,
  counts: ReadonlyMap<AssignedMember, number>,
): boolean {
  if (best === undefined) return true;
  const [stored, bestStored] = [member.stored[task] ?? -1, best.stored[task] ?? -1];
  if (stored !== bestStored) return stored > bestStored;
  return (counts.get(member) ?? 0) < (counts.get(best) ?? 0);
}
