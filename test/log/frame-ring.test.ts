import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { FrameRing } from "../../src/log/frame-ring.ts";

test("frames under way never overlap, whatever their sizes and the order in which they come back", () => {
  const step = fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant("take" as const), length: fc.integer({ min: 1, max: 60 }) }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("free" as const), which: fc.nat({ max: 20 }) }) },
  );
  let refusals = 0;
  let taken = 0;
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 200 }), (steps) => {
      const ring = new FrameRing(new SharedArrayBuffer(100));
      const held: { frame: Buffer; mark: number }[] = [];
      steps.forEach((each, i) => {
        if (each.kind === "take") {
          const frame = ring.take(each.length);
          if (frame === undefined) {
            assert.ok(held.length > 0, `an empty ring of 100 bytes refused ${each.length}`);
            refusals++;
            return;
          }
          taken++;
          assert.equal(frame.length, each.length);
          assert.ok(ring.holds(frame));
          held.push({ frame: frame.fill(i % 256), mark: i % 256 });
        } else if (held.length > 0) {
          const [{ frame, mark }] = held.splice(each.which % held.length, 1) as [(typeof held)[0]];
          assert.ok(frame.every((byte) => byte === mark));
          ring.free(frame);
        }
        for (const { frame, mark } of held)
          assert.ok(
            frame.every((byte) => byte === mark),
            `frame ${mark} was written over`,
          );
      });
    }),
  );
  assert.ok(taken > 500 && refusals > 50, `${taken} frames taken, ${refusals} refused`);
});

test("a frame that is not the ring's is left alone", () => {
  const ring = new FrameRing(new SharedArrayBuffer(100));
  const stranger = Buffer.alloc(10);
  assert.equal(ring.holds(stranger), false);
  assert.equal(ring.take(101), undefined);
});
