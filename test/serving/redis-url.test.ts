import assert from "node:assert/strict";
import { test } from "vitest";
import { KappaError } from "../../src/core/errors.ts";
import { redisAddress } from "../../src/serving/redis-url.ts";

const plain = { username: undefined, password: undefined, tls: false, database: 0 };

test("a URL says where Redis is, which database, and how to be let in", () => {
  assert.deepEqual(redisAddress("redis://cache"), { ...plain, host: "cache", port: 6379 });
  assert.deepEqual(redisAddress("redis://cache:7000/3"), { ...plain, host: "cache", port: 7000, database: 3 });
  assert.deepEqual(redisAddress("redis://[::1]:7000"), { ...plain, host: "::1", port: 7000 });
  const secured = redisAddress("rediss://me:p%40ss%2Fword@cache:6380/0");
  assert.deepEqual(secured, { ...plain, host: "cache", port: 6380, username: "me", password: "p@ss/word", tls: true });
  assert.equal(redisAddress("redis://:only@cache").username, undefined);
  assert.equal(redisAddress("redis://:only@cache").password, "only");
});

test("what is no such URL is refused in words that do not hold it", () => {
  const secret = "s3cret";
  for (const url of [
    `http://me:${secret}@cache`,
    `me:${secret}@cache`,
    `redis://me:${secret}@cache/users`,
    `redis://me:${secret}@cache?family=6`,
    `redis://me:${secret}%@cache`,
    "",
  ]) {
    assert.throws(
      () => redisAddress(url),
      (error) => {
        assert.ok(error instanceof KappaError);
        assert.equal(error.code, "KAPPA_CONFIG_INVALID");
        assert.match(error.message, /the URL of Redis is not usable \(.+\); write redis:\/\//);
        assert.ok(!error.message.includes(secret), error.message);
        return true;
      },
    );
  }
});
