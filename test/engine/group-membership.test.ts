import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { GroupMembership } from "../../src/engine/group-membership.ts";

test("an application that stops while it claims its identity joins no group, and gives the identity back", async () => {
  let joined = 0;
  let released = 0;
  let claim: (() => void) | undefined;
  const membership = new GroupMembership({
    kafka: { bootstrapServers: [], clientId: "" },
    applicationId: "app",
    topics: ["events"],
    partitions: 1,
    stateDir: "",
    clock: systemClock,
    client: {
      coordinator: () => {
        joined++;
        return Promise.reject(new Error("nobody is to ask"));
      },
      refresh: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    claimIdentity: () =>
      new Promise((resolve) => {
        const release = (): Promise<void> => {
          released++;
          return Promise.resolve();
        };
        claim = () => resolve({ id: "member-0", release });
      }),
    writtenMs: () => undefined,
    url: () => null,
  });
  const joining = membership.join({ owned: () => {}, failed: (error) => assert.fail(String(error)) });
  await membership.leave();
  claim?.();
  await joining;
  await sleep(20);
  assert.deepEqual({ joined, released }, { joined: 0, released: 1 });
});
