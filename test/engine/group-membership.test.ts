import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { test } from "vitest";
import { systemClock } from "../../src/core/clock.ts";
import { KappaError } from "../../src/core/errors.ts";
import { systemTimers } from "../../src/core/timers.ts";
import { GroupMembership, type GroupMembershipOptions } from "../../src/engine/group-membership.ts";
import type { HeldIdentity } from "../../src/engine/member-identity.ts";
import type { MembershipEvents } from "../../src/engine/membership.ts";

/** A membership in a group that nobody asks about; `slept` holds how long each wait was, in ms. */
function membershipWith(options: Partial<GroupMembershipOptions> = {}) {
  const asked = { joins: 0 };
  const slept: number[] = [];
  const membership = new GroupMembership({
    kafka: { bootstrapServers: [], clientId: "" },
    applicationId: "app",
    topics: ["events"],
    partitions: 1,
    stateDir: "",
    clock: systemClock,
    timers: {
      sleep: async (ms) => {
        slept.push(ms);
        await sleep(1);
      },
      turn: () => sleep(0),
    },
    client: {
      coordinator: () => {
        asked.joins++;
        return Promise.reject(new Error("nobody is to ask"));
      },
      refresh: () => Promise.resolve(),
      close: () => Promise.resolve(),
    },
    claimIdentity: () => Promise.resolve({ id: "member-0", release: () => Promise.resolve() }),
    writtenMs: () => undefined,
    url: () => null,
    ...options,
  });
  return { membership, asked, slept };
}

const ignored: MembershipEvents = { owned: () => {}, held: () => {}, failed: (error) => assert.fail(String(error)) };

test("an application that stops while it claims its identity joins no group, and gives the identity back", async () => {
  let released = 0;
  let claim: (() => void) | undefined;
  const { membership, asked } = membershipWith({
    claimIdentity: () =>
      new Promise((resolve) => {
        const release = (): Promise<void> => {
          released++;
          return Promise.resolve();
        };
        claim = () => resolve({ id: "member-0", release });
      }),
  });
  const joining = membership.join(ignored);
  await membership.leave();
  claim?.();
  await joining;
  await sleep(20);
  assert.deepEqual({ ...asked, released }, { joins: 0, released: 1 });
});

test("a task that is found fenced after the process has left is not asked about", async () => {
  const { membership, slept } = membershipWith();
  await membership.leave();
  membership.fenced(0);
  await sleep(20);
  assert.deepEqual(slept, []);
});

/** Claims that find a disk that is full so often, then one that is not. */
function fullFor(failures: number): () => Promise<HeldIdentity> {
  let claims = 0;
  return () =>
    ++claims > failures
      ? Promise.resolve({ id: "member-0", release: () => Promise.resolve() })
      : Promise.reject(new KappaError("KAPPA_STATE_FAILED", "state in member-0: no space left"));
}

test("a disk that takes no identity is waited for, 0.1 to 10 s apart, and told once", async () => {
  const { membership, asked, slept } = membershipWith({ claimIdentity: fullFor(9) });
  const held: (string | null)[] = [];
  await membership.join({ ...ignored, held: (reason) => held.push(reason) });
  assert.deepEqual(slept.slice(0, 9), [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  assert.deepEqual(held, ["state in member-0: no space left", null]);
  await sleep(20);
  await membership.leave();
  assert.ok(asked.joins > 0, "it asks for its share then");
});

test("a process that ends while its disk is full waits no longer", async () => {
  const { membership, asked } = membershipWith({ claimIdentity: fullFor(Infinity), timers: systemTimers });
  const startMs = performance.now();
  const joining = membership.join(ignored);
  await sleep(1000);
  await membership.leave();
  await joining;
  assert.ok(performance.now() - startMs < 1300, "the wait under way is ended");
  assert.equal(asked.joins, 0);
});
