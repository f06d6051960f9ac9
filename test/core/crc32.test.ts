import assert from "node:assert/strict";
import { crc32 } from "node:zlib";
import fc from "fast-check";
import { test } from "vitest";
import { crc32Of } from "../../src/core/crc32.ts";

test("the checksum of any range is zlib's, on either side of the length where the call takes over", () => {
  assert.equal(crc32Of(Buffer.from("123456789"), 0, 9), 0xcbf43926); // the check value of the catalogue of CRCs
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300, size: "max" }), fc.nat(8), fc.nat(8), (array, front, back) => {
      const bytes = Buffer.from(array);
      const from = Math.min(front, bytes.length);
      const to = Math.max(from, bytes.length - back);
      assert.equal(crc32Of(bytes, from, to), crc32(bytes.subarray(from, to)));
    }),
  );
});
