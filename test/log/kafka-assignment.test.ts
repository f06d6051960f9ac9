import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { type AssignedMember, assignTasks } from "../../src/log/kafka-assignment.ts";

/** Rounds until nobody runs a task that is not his, as members that give up what they lose would go through. */
function settle(members: readonly AssignedMember[], tasks: number): { owned: Map<string, number[]>; rounds: number } {
  let current = members;
  for (let rounds = 1; ; rounds++) {
    const assigned = assignTasks(current, tasks);
    const given = current.map((member) => ({ ...member, owned: assigned.get(member.id) ?? [] }));
    const lost = current.some(({ id, owned }) => owned.some((task) => !assigned.get(id)?.includes(task)));
    if (!lost) return { owned: assigned, rounds };
    assert.ok(rounds < 5, `round ${rounds} and tasks still move`);
    current = given;
  }
}

const member = (id: string, owned: readonly number[] = [], stored: Record<number, number> = {}): AssignedMember => ({
  id,
  owned,
  stored,
});

/** Members of which some own disjoint sets of tasks, as a group leaves them when members come and go. */
const groups = fc
  .record({
    tasks: fc.integer({ min: 1, max: 24 }),
    count: fc.integer({ min: 1, max: 6 }),
    places: fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 24, maxLength: 24 }),
  })
  .map(({ tasks, count, places }) => ({
    tasks,
    members: Array.from({ length: count }, (_, i) =>
      member(
        `m${i}`,
        places.flatMap((place, task) => (task < tasks && place === i ? [task] : [])),
      ),
    ),
  }));

test("after at most one more round every task has one owner, and no two members differ by more than one", () => {
  fc.assert(
    fc.property(groups, ({ tasks, members }) => {
      const { owned, rounds } = settle(members, tasks);
      const all = [...owned.values()].flat().sort((a, b) => a - b);
      assert.deepEqual(all, [...Array(tasks).keys()]);
      const counts = [...owned.values()].map((own) => own.length);
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1, `${counts}`);
      assert.ok(rounds <= 2, `${rounds} rounds`);
    }),
  );
});

test("no round gives a task to one while another runs it", () => {
  fc.assert(
    fc.property(groups, ({ tasks, members }) => {
      const assigned = assignTasks(members, tasks);
      for (const { id, owned } of members) {
        for (const task of owned) {
          const holders = [...assigned].filter(([, own]) => own.includes(task)).map(([holder]) => holder);
          assert.ok(holders.length === 0 || (holders.length === 1 && holders[0] === id), `task ${task} to ${holders}`);
        }
      }
    }),
  );
});

test("a member that comes takes its share and leaves the others in place", () => {
  const { owned } = settle([member("a", [0, 1, 2, 3]), member("b", [4, 5, 6, 7]), member("c")], 8);
  const kept = [0, 1, 2, 3].filter((task) => owned.get("a")?.includes(task)).length;
  const keptOfB = [4, 5, 6, 7].filter((task) => owned.get("b")?.includes(task)).length;
  assert.equal(kept + keptOfB, 6);
  assert.equal(owned.get("c")?.length, 2);
});

test("a task whose owner is gone goes to who wrote its state last", () => {
  const members = [member("a", [0, 1], { 4: 10, 5: 99 }), member("b", [2, 3], { 4: 20, 5: 30 })];
  const { owned } = settle(members, 6);
  assert.deepEqual(owned.get("a"), [0, 1, 5]);
  assert.deepEqual(owned.get("b"), [2, 3, 4]);
});
