import { Redis } from "ioredis";
import { KappaError, messageOf } from "../core/errors.ts";
import { redisAddress } from "./redis-url.ts";

/**
 * Says PING to a Redis, once.
 *
 * @param url see `redisAddress`
 * @returns where it is, without user and password
 * @throws KAPPA_SERVICE_UNREACHABLE when it does not answer PONG in time; KAPPA_CONFIG_INVALID
 */
export async function pingRedis(url: string, timeoutMs: number): Promise<string> {
  const { host, port, database, username, password, tls } = redisAddress(url);
  const redis = new Redis({
    host,
    port,
    db: database,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
    lazyConnect: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    retryStrategy: () => null,
    protocol: 2,
  });
  let refusal: unknown;
  redis.on("error", (error: unknown) => {
    refusal = error;
  });
  try {
    await redis.connect();
    await redis.ping();
    return `${host}:${port}, database ${database}`;
  } catch (error) {
    const why = messageOf(refusal ?? error);
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", `no answer from Redis at ${host}:${port}: ${why}`, {}, error);
  } finally {
    redis.disconnect();
  }
}
