import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { Arena, blockDoublesMax } from "../../src/state/arena.ts";

test("blocks keep what was written until they are released, whatever is allocated meanwhile", () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: blockDoublesMax }));
  const step = fc.oneof(fc.record({ size }), fc.record({ release: fc.nat() }));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300, size: "max" }), (steps) => {
      const arena = new Arena();
      const blocks: { readonly address: number; readonly size: number; readonly mark: number }[] = [];
      const whole = (address: number, size: number) =>
        (arena.pages[address >>> Arena.pageShift] as Float64Array).subarray(
          address & Arena.pageMask,
          (address & Arena.pageMask) + size,
        );
      for (const [mark, step] of steps.entries()) {
        if ("size" in step) {
          const address = arena.allocate(step.size);
          assert.equal(arena.sizeOf(address), step.size);
          assert.equal(whole(address, step.size).length, step.size, "a block lies in one page");
          whole(address, step.size).fill(mark);
          blocks.push({ address, size: step.size, mark });
        } else if (blocks.length > 0) {
          const [block] = blocks.splice(step.release % blocks.length, 1);
          if (block !== undefined) arena.release(block.address);
        }
      }
      for (const { address, size, mark } of blocks) assert.ok(whole(address, size).every((cell) => cell === mark));
      assert.equal(
        arena.usedBytes,
        blocks.reduce((bytes, { size }) => bytes + size * 8, 0),
      );
    }),
  );
});

test("pages whose blocks are all released serve other sizes", () => {
  const arena = new Arena();
  for (const size of [3, 17, 200, 5]) {
    const blocks = Array.from({ length: Math.floor(40_000 / size) }, () => arena.allocate(size));
    for (const block of blocks) arena.release(block);
  }
  assert.equal(arena.usedBytes, 0);
  assert.ok(arena.reservedBytes <= 6 * 65_536, `${arena.reservedBytes} bytes reserved`);
});
