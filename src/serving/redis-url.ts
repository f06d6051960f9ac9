import { KappaError } from "../core/errors.ts";

/** Where a Redis is and how to be let in; what a URL says, in parts. */
export interface RedisAddress {
  readonly host: string;
  readonly port: number;
  readonly database: number;
  readonly username: string | undefined;
  /** A secret. */
  readonly password: string | undefined;
  readonly tls: boolean;
}

const defaultPort = 6379;

/**
 * Takes `redis://[[user]:password@]host[:port][/database]` apart; `rediss://` is the same over TLS, with the certificate
 * verified. The text of the URL is in no message, since it may hold a password.
 *
 * @throws KAPPA_CONFIG_INVALID
 */
export function redisAddress(url: string): RedisAddress {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || (parsed.protocol !== "redis:" && parsed.protocol !== "rediss:")) refuse("no such URL");
  const database = /^\/?(\d{0,4})\/?$/.exec(parsed.pathname)?.[1];
  if (database === undefined) refuse("its path is not the number of a database");
  if (parsed.search !== "" || parsed.hash !== "") refuse("nothing follows the path");
  return {
    // Brackets belong to the URL of an IPv6 address, not to the address.
    host: parsed.hostname === "" ? "127.0.0.1" : parsed.hostname.replace(/^\[|\]$/g, ""),
    port: parsed.port === "" ? defaultPort : Number(parsed.port),
    database: Number(database),
    username: decoded(parsed.username),
    password: decoded(parsed.password),
    tls: parsed.protocol === "rediss:",
  };
}

function decoded(text: string): string | undefined {
  try {
    return text === "" ? undefined : decodeURIComponent(text);
  } catch {
    return refuse("a % in the user or password is not followed by two hex digits; write it as %25");
  }
}

function refuse(why: string): never {
  throw new KappaError(
    "KAPPA_CONFIG_INVALID",
    `the URL of Redis is not usable (${why}); write redis://host:6379/0, or rediss://user:password@host:6380`,
  );
}
