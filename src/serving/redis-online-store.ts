import { Redis } from "ioredis";
import { KappaError, messageOf } from "../core/errors.ts";
import type { OnlineBatch, OnlineEntity, OnlinePlace, OnlineStore, OnlineValue } from "./online-store.ts";
import { putScript } from "./redis-put-script.ts";
import { type RedisAddress, redisAddress } from "./redis-url.ts";

export interface RedisOnlineStoreOptions {
  /** See `redisAddress`. */
  readonly url: string;
  readonly applicationId: string;
  /** Begins every key. Default `kappa`. */
  readonly prefix?: string;
  /** How long an answer may take, in ms; then the connection is given up. Default 5,000. */
  readonly timeoutMs?: number;
}

const timeoutMsDefault = 5000;

/**
 * Redis, 4 or later, one server with or without replicas, as the online store:
 *
 *     kappa:<application>:<table>:<key>   hash   column -> text, and @time, @partition, @offset of its record
 *     kappa:<application>:@<table>        hash   <topic>:<partition> -> next offset
 *
 * No name has a colon or an at sign, so keys of entities may hold any text. Positions lie beside the values, so that
 * what loses one loses the other: a Redis that comes back empty, or with what it last saved, tells where to go on.
 */
export class RedisOnlineStore implements OnlineStore {
  readonly #redis: Redis;
  readonly #address: RedisAddress;
  readonly #prefix: string;
  #refusal: string | undefined;
  /** Whether the connection is being replaced by another. */
  #leaving = false;

  /** Begins to connect, and goes on trying for as long as it is open. @throws KAPPA_CONFIG_INVALID */
  constructor({ url, applicationId, prefix = "kappa", timeoutMs = timeoutMsDefault }: RedisOnlineStoreOptions) {
    this.#prefix = `${prefix}:${applicationId}`;
    this.#address = redisAddress(url);
    const { host, port, database, username, password, tls } = this.#address;
    this.#redis = new Redis({
      host,
      port,
      db: database,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(tls ? { tls: {} } : {}),
      protocol: 2,
      connectionName: `kappa-${applicationId}`,
      connectTimeout: timeoutMs,
      commandTimeout: timeoutMs,
      // Whoever waits is told at once, and asks where the store is before it sends anything again.
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
    });
    this.#redis.on("error", (error: unknown) => {
      this.#refusal = this.#worded(error);
    });
    this.#redis.on("ready", () => {
      this.#refusal = undefined;
      this.#leaving = false;
    });
  }

  get trouble(): string | undefined {
    // What a connected server refused it may take the next time.
    if (this.#connected) return undefined;
    const { host, port } = this.#address;
    return `no connection to Redis at ${host}:${port}: ${this.#refusal ?? "not yet connected"}`;
  }

  get #connected(): boolean {
    return this.#redis.status === "ready" && !this.#leaving;
  }

  async position(place: OnlinePlace): Promise<number | null> {
    const at = await this.#ask(() => this.#redis.hget(this.#positionsKey(place), positionField(place)));
    return offsetOf(at);
  }

  async put(batches: readonly OnlineBatch[]): Promise<readonly (number | null)[]> {
    if (batches.length === 0) return [];
    const answers = await this.#ask(async () => {
      const pipeline = this.#redis.pipeline();
      for (const batch of batches) pipeline.call("eval", this.#putArguments(batch));
      return await pipeline.exec();
    });
    if (answers?.length !== batches.length) throw this.#unreachable(`${answers?.length} of ${batches.length} answers`);
    for (const [error] of answers) if (error !== null) throw this.#failed(error);
    return answers.map(([, at]) => offsetOf(at));
  }

  #putArguments(batch: OnlineBatch): string[] {
    const { table, partition, from, next, ttlMs, order, values } = batch;
    const given = [putScript, String(values.length + 1), this.#positionsKey(batch)];
    for (const { key } of values) given.push(this.#entityKey(table, key));
    given.push(positionField(batch), from === null ? "" : String(from), String(next), String(ttlMs), order);
    for (const value of values) given.push(packed(value, partition));
    return given;
  }

  async get(table: string, key: string): Promise<OnlineEntity | null> {
    const found = await this.#ask(() => this.#redis.hgetall(this.#entityKey(table, key)));
    const { "@time": timeMs, "@partition": partition, "@offset": offset, ...fields } = found;
    if (timeMs === undefined) return null;
    return { timeMs: Number(timeMs), partition: Number(partition), offset: Number(offset), fields };
  }

  /** An answer, or why there is none. */
  async #ask<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    if (!this.#connected) throw this.#unreachable(this.trouble ?? "");
    try {
      return await ask();
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #failed(error: unknown): KappaError {
    if (error instanceof KappaError) return error;
    const worded = this.#worded(error);
    if (reconnecting.test(worded) && this.#connected) {
      this.#refusal = worded;
      this.#leaving = true;
      this.#redis.disconnect(true);
    }
    return this.#unreachable(worded);
  }

  /** The causes of ioredis carry the command, with passwords and records in it: only their words go on. */
  #worded(error: unknown): string {
    const said = messageOf(error).split("\n", 1)[0]?.slice(0, 300) ?? "";
    if (/isn't writeable|Connection is closed/.test(said)) return "the connection to Redis was lost";
    const worded = said === "" && error instanceof Error && "code" in error ? String(error.code) : said;
    const { password } = this.#address;
    return password === undefined ? worded : worded.replaceAll(password, "********");
  }

  #unreachable(why: string): KappaError {
    return new KappaError("KAPPA_SERVICE_UNREACHABLE", `${why}; it is tried again; type: kappa doctor`);
  }

  #positionsKey({ table }: OnlinePlace): string {
    return `${this.#prefix}:@${table}`;
  }

  #entityKey(table: string, key: string): string {
    return `${this.#prefix}:${table}:${key}`;
  }

  close(): Promise<void> {
    this.#redis.disconnect();
    return Promise.resolve();
  }
}

/**
 * Errors after which another connection may find a server that answers: one that is stopped looks connected for long, a
 * password is shown only at the beginning, and behind the name of a primary that became a replica there is another.
 */
const reconnecting = /timed out|NOAUTH|WRONGPASS|invalid password|READONLY/;

const positionField = ({ topic, partition }: OnlinePlace): string => `${topic}:${partition}`;

function offsetOf(at: unknown): number | null {
  return at === null || at === undefined ? null : Number(at);
}

/** All that is kept of an entity in one argument: per field, one argument each cost this side 2.4 times the work. */
function packed({ timeMs, offset, fields }: OnlineValue, partition: number): string {
  if (fields === null) return "";
  const record = ["@time", String(timeMs), "@partition", String(partition), "@offset", String(offset)];
  return JSON.stringify(record.concat(fields));
}
