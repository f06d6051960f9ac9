import { KappaError, messageOf } from "../core/errors.ts";
import { typeOf } from "../log/kafka-error.ts";
import { listenerSpeech } from "../log/kafka-listener.ts";
import type { KafkaOptions } from "../log/kafka-options.ts";

/** What brokers say, or OpenSSL of what they say, and what is meant for who set the options. */
const meanings: readonly { readonly said: RegExp; readonly meant: (kafka: KafkaOptions) => string }[] = [
  {
    said: /altnames|Hostname\/IP/i,
    meant: () => "the certificate of the broker is for another name; name the broker as its certificate does",
  },
  {
    said: /unable to (verify|get)|self-signed|unable to get local issuer/i,
    meant: ({ tls }) =>
      `the certificate of the broker is of an authority that is not trusted; set KAFKA_SSL_CA_LOCATION to the file of its ` +
      `authority${tls?.ca === undefined ? "" : ", this one is another"}`,
  },
  {
    said: /certificate has expired|not yet valid/i,
    meant: () => "the certificate of the broker is out of date; the broker needs a new one",
  },
  {
    said: /alert (bad certificate|certificate required|handshake failure|certificate unknown|unknown ca)/i,
    meant: ({ tls }) =>
      tls?.cert === undefined
        ? "the listener wants a client certificate; set KAFKA_SSL_CERTIFICATE_LOCATION and KAFKA_SSL_KEY_LOCATION"
        : "the listener does not take this client's certificate; KAFKA_SSL_CERTIFICATE_LOCATION names one of another authority",
  },
  {
    said: /ILLEGAL_SASL_STATE/,
    meant: ({ tls }) =>
      `the listener takes no user; set KAFKA_SECURITY_PROTOCOL=${tls === undefined ? "PLAINTEXT" : "SSL"}`,
  },
  {
    said: /UNSUPPORTED_SASL_MECHANISM|mechanism .* not supported/i,
    meant: () => "the listener does not take this mechanism; set KAFKA_SASL_MECHANISM to one that it has",
  },
  {
    said: /authentication failed/i,
    meant: () =>
      "the broker does not know the user with this password; check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD",
  },
];

/**
 * Why brokers that are there do not take this client, in words for who configured it; undefined when they are not there,
 * or nothing is known to be wrong.
 */
export async function refusalOf(error: KappaError, kafka: KafkaOptions): Promise<string | undefined> {
  const said = `${error.message} ${messageOf(error.cause)}`;
  if (error.code === "KAPPA_LOG_REFUSED") return meanings.find((each) => each.said.test(said))?.meant(kafka);
  if (error.code !== "KAPPA_LOG_UNAVAILABLE" || !/closed connection|disconnected|ECONNRESET|EPIPE/i.test(said))
    return undefined;
  return await cutOff(kafka);
}

/** A listener says nothing to who speaks TLS to it or does not, or comes without a user: it ends the connection. */
async function cutOff({ bootstrapServers, tls, sasl }: KafkaOptions): Promise<string | undefined> {
  const speech = await listenerSpeech(bootstrapServers[0] ?? "");
  if (speech === "silent") return undefined;
  if (speech === "tls" && tls === undefined) {
    return `the listener speaks TLS; set KAFKA_SECURITY_PROTOCOL=${sasl === undefined ? "SSL, or SASL_SSL with a user" : "SASL_SSL"}`;
  }
  if (speech === "plain" && tls !== undefined) {
    return `the listener speaks no TLS; set KAFKA_SECURITY_PROTOCOL=${sasl === undefined ? "PLAINTEXT" : "SASL_PLAINTEXT"}`;
  }
  if (sasl !== undefined) return undefined;
  const protocol = tls === undefined ? "SASL_PLAINTEXT" : "SASL_SSL";
  return `the listener wants a user; set KAFKA_SECURITY_PROTOCOL=${protocol}, KAFKA_SASL_MECHANISM, KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD`;
}

/** What mends a right that is missing. */
export const grantRights = "kappa acls TOPOLOGY --principal User:NAME";

/** What mends an error of Kafka, for who typed `kappa doctor`. */
export function kafkaFix(error: unknown): string {
  const code = error instanceof KappaError ? error.code : undefined;
  if (code === "KAPPA_LOG_UNAVAILABLE") return "npm run stack";
  if (code !== "KAPPA_LOG_REFUSED") return "kappa config";
  // A right is granted; of a connection that is refused the message names what to set.
  return typeOf(error).endsWith("AUTHORIZATION_FAILED")
    ? grantRights
    : "set what it names; kappa config shows what is set, and where";
}
