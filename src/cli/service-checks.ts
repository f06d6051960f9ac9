import type { ConfluentAddress } from "../codec/confluent-client.ts";
import { KappaError, messageOf } from "../core/errors.ts";
import { bad, type CheckResult, good } from "./health-check.ts";

/** How long a service may take to answer, in ms. */
const answerMs = 5000;

const startRegistry = "start it (npm run stack), or mend SCHEMA_REGISTRY_URL";
const nameAddress = "name the address whose /subjects is a list: with Apicurio it ends in /apis/ccompat/v7";
const nameUser = "check SCHEMA_REGISTRY_API_KEY and SCHEMA_REGISTRY_API_SECRET";

/** Whether the schema registry answers, and knows its caller. */
export async function checkRegistry({ url, apiKey, apiSecret }: ConfluentAddress): Promise<CheckResult> {
  const name = "schema registry";
  const user = apiKey === undefined ? undefined : Buffer.from(`${apiKey}:${apiSecret ?? ""}`).toString("base64");
  try {
    const response = await fetch(`${url.replace(/\/+$/, "")}/subjects`, {
      headers: { accept: "application/json", ...(user === undefined ? {} : { authorization: `Basic ${user}` }) },
      signal: AbortSignal.timeout(answerMs),
    });
    if (response.status === 401 || response.status === 403) {
      return bad(name, `${url} answers ${response.status}: it does not let this user in`, nameUser);
    }
    const subjects: unknown = response.ok ? await response.json() : undefined;
    if (Array.isArray(subjects)) return good(name, `${url}: ${subjects.length} subjects`);
    return bad(name, `${url}/subjects answers ${response.status}, and is no list`, nameAddress);
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return bad(name, `no answer at ${url}: ${messageOf(cause)}`, startRegistry);
  }
}

/** What mends an error of the schema registry that has answered before, or of a schema that it told. */
export function registryFix(error: unknown): string {
  const code = error instanceof KappaError ? error.code : undefined;
  if (code === "KAPPA_SERVICE_UNREACHABLE") return startRegistry;
  if (code === "KAPPA_CONFIG_INVALID") return nameAddress;
  if (code === "KAPPA_FILE_INVALID") return "put a sound copy of that file in its place";
  // The folder: of the application's own schemas, or of those that a registry has told.
  if (code === undefined) return "make what it names a folder that may be read and written";
  return code === "KAPPA_SERVICE_REFUSED"
    ? nameUser
    : "register a schema that can be read; kappa schemas list shows which there are";
}

/** Whether Redis answers. Its URL is printed nowhere: it may hold a password. */
export async function checkRedis(url: string): Promise<CheckResult> {
  const { pingRedis } = await import("../serving/redis-ping.ts");
  try {
    return good("redis", `${await pingRedis(url, answerMs)} answers`);
  } catch (error) {
    return bad("redis", messageOf(error), "start it (npm run stack), or mend REDIS_URL");
  }
}
