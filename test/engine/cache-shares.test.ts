import assert from "node:assert/strict";
import fc from "fast-check";
import { test } from "vitest";
import { cacheShares } from "../../src/engine/cache-shares.ts";

const kib = 1024;
const mib = 1024 * kib;

test("the shares of a task stay within its bound, or exceed a small one by what LevelDB cannot do without", () => {
  fc.assert(
    fc.property(fc.integer({ min: 64 * kib, max: 4096 * mib }), (taskBytes) => {
      const { entityBytes, writeBufferBytes, blockCacheBytes } = cacheShares(taskBytes);
      assert.equal(entityBytes, Math.floor(taskBytes / 2));
      const total = entityBytes + 2 * writeBufferBytes + blockCacheBytes;
      assert.ok(total <= Math.max(taskBytes, taskBytes / 2 + 3 * 256 * kib), `${total} bytes of ${taskBytes}`);
    }),
  );
});
