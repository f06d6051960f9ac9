import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { AssignerProtocol } from "kafkajs";
import { onTestFinished, test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import type { GroupCoordinator } from "../../src/log/kafka-coordinator.ts";
import { type GroupAssignment, type GroupClient, KafkaGroup } from "../../src/log/kafka-group.ts";

/** A coordinator that tells a member the same assignment whenever it joins, as one does that has a stored round. */
function groupWith(stored: GroupAssignment) {
  const joined: string[] = [];
  const coordinator: GroupCoordinator = {
    joinGroup: ({ memberId }) => {
      joined.push(memberId);
      return Promise.resolve({ memberId: "m-1", generationId: 3, leaderId: "another", members: [] });
    },
    syncGroup: () => {
      const userData = Buffer.from(JSON.stringify(stored));
      const encoded = { version: 1, assignment: { events: [...stored.tasks] }, userData };
      return Promise.resolve({ memberAssignment: AssignerProtocol.MemberAssignment.encode(encoded) });
    },
    heartbeat: () => Promise.resolve(),
    leaveGroup: () => Promise.resolve(),
    offsetCommit: () => Promise.resolve(),
  };
  const client: GroupClient = {
    coordinator: () => Promise.resolve(coordinator),
    refresh: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const group = new KafkaGroup({
    kafka: { bootstrapServers: [], clientId: "" },
    groupId: "app",
    instanceId: "member-0",
    topics: ["events"],
    tasks: 2,
    sessionTimeoutMs: 6000,
    clock: systemClock,
    client,
    state: () => ({ owned: [], stored: {}, url: null, run: 0 }),
    assigned: () => {},
    lost: () => {},
    failed: (error) => assert.fail(String(error)),
  });
  onTestFinished(() => group.leave());
  return { group, joined };
}

test("who comes back under its name into a round that left a task to nobody asks for another one, once", async () => {
  const { group, joined } = groupWith({ tasks: [0], run: 1, withheld: [1], owners: {} });
  group.start();
  await sleep(200);
  assert.deepEqual(joined, ["", "m-1"]);
});

test("who comes into a round in which every task is given asks for no other one", async () => {
  const { group, joined } = groupWith({ tasks: [0], run: 1, withheld: [], owners: {} });
  group.start();
  await sleep(200);
  assert.deepEqual(joined, [""]);
});
