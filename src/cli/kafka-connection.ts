import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { KappaError, messageOf } from "../core/errors.ts";
import type { KafkaOptions } from "../log/kafka-options.ts";
import type { LoadedConfig, OptionName } from "./config.ts";
import { describeOption } from "./config.ts";

/**
 * What connects to Kafka as the configuration says; undefined when it names no brokers. Reads the files it names.
 *
 * @param clientId name in the logs and quotas of the brokers
 * @param resolve makes a path of a file absolute
 * @throws KAPPA_CONFIG_INVALID when options contradict each other; KAPPA_FILE_INVALID
 */
export function kafkaOptionsOf(
  config: LoadedConfig,
  clientId: string,
  resolve: (path: string) => string,
): KafkaOptions | undefined {
  const { bootstrapServers, transactionTimeoutMs, compression, replicationFactor } = config.values;
  if (bootstrapServers === undefined) return undefined;
  const tls = tlsOf(config, resolve);
  const sasl = saslOf(config);
  return {
    bootstrapServers,
    clientId,
    ...(tls === undefined ? {} : { tls }),
    ...(sasl === undefined ? {} : { sasl }),
    transactionTimeoutMs,
    compression,
    replicationFactor,
  };
}

function tlsOf({ values, places }: LoadedConfig, resolve: (path: string) => string): KafkaOptions["tls"] {
  const { securityProtocol, sslCaLocation, sslCertificateLocation, sslKeyLocation, sslKeyPassword } = values;
  if (!securityProtocol.endsWith("SSL")) {
    for (const name of ["sslCaLocation", "sslCertificateLocation", "sslKeyLocation", "sslKeyPassword"] as const) {
      if (values[name] === undefined) continue;
      const meant = securityProtocol === "PLAINTEXT" ? "SSL" : "SASL_SSL";
      throw contradiction(`${places[name]} is for TLS, and KAFKA_SECURITY_PROTOCOL is ${securityProtocol}`, meant);
    }
    return undefined;
  }
  if ((sslCertificateLocation === undefined) !== (sslKeyLocation === undefined)) {
    const [given, missing] =
      sslKeyLocation === undefined
        ? (["sslCertificateLocation", "sslKeyLocation"] as const)
        : (["sslKeyLocation", "sslCertificateLocation"] as const);
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `${places[given]} is set, ${describeOption(missing).env} is not; a client certificate needs both`,
    );
  }
  const file = (name: OptionName, location: string | undefined): string | undefined =>
    location === undefined ? undefined : readPem(resolve(location), places[name]);
  const ca = file("sslCaLocation", sslCaLocation);
  const cert = file("sslCertificateLocation", sslCertificateLocation);
  const key = file("sslKeyLocation", sslKeyLocation);
  if (key !== undefined) requireReadable(key, sslKeyPassword, places.sslKeyLocation);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(sslKeyPassword === undefined ? {} : { passphrase: sslKeyPassword }),
  };
}

function saslOf({ values, places }: LoadedConfig): KafkaOptions["sasl"] {
  const { securityProtocol, saslMechanism, saslUsername, saslPassword, saslPlainWithoutTls } = values;
  if (!securityProtocol.startsWith("SASL")) {
    for (const name of ["saslMechanism", "saslUsername", "saslPassword"] as const) {
      if (values[name] === undefined) continue;
      throw contradiction(
        `${places[name]} is for SASL, and KAFKA_SECURITY_PROTOCOL is ${securityProtocol}`,
        "SASL_SSL",
      );
    }
    return undefined;
  }
  if (saslMechanism === undefined) {
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      `${securityProtocol} needs KAFKA_SASL_MECHANISM: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512`,
    );
  }
  if (saslUsername === undefined || saslPassword === undefined) {
    const missing =
      saslUsername === undefined ? "KAFKA_SASL_USERNAME" : "KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE";
    throw new KappaError("KAPPA_CONFIG_INVALID", `${saslMechanism} needs a user and a password; set ${missing}`);
  }
  if (saslMechanism === "PLAIN" && securityProtocol === "SASL_PLAINTEXT" && !saslPlainWithoutTls) {
    throw new KappaError(
      "KAPPA_CONFIG_INVALID",
      "PLAIN over SASL_PLAINTEXT would send the password in the clear; use SASL_SSL or a SCRAM mechanism, or say that " +
        "it is meant: KAFKA_SASL_PLAIN_WITHOUT_TLS=true",
    );
  }
  const user = { username: saslUsername, password: saslPassword };
  switch (saslMechanism) {
    case "PLAIN":
      return { mechanism: "plain", ...user };
    case "SCRAM-SHA-256":
      return { mechanism: "scram-sha-256", ...user };
    case "SCRAM-SHA-512":
      return { mechanism: "scram-sha-512", ...user };
    default:
      return saslMechanism satisfies never;
  }
}

function contradiction(what: string, meant: string): KappaError {
  return new KappaError("KAPPA_CONFIG_INVALID", `${what}; set KAFKA_SECURITY_PROTOCOL=${meant}, or leave it out`);
}

/** A key that stays shut would look like a broker that hangs up. */
function requireReadable(key: string, passphrase: string | undefined, place: string): void {
  try {
    createPrivateKey(passphrase === undefined ? key : { key, passphrase });
  } catch (error) {
    const hint = passphrase === undefined ? "set KAFKA_SSL_KEY_PASSWORD if it has one" : "check KAFKA_SSL_KEY_PASSWORD";
    throw new KappaError("KAPPA_FILE_INVALID", `the key of ${place} cannot be read; ${hint}`, {}, error);
  }
}

function readPem(path: string, place: string): string {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new KappaError("KAPPA_FILE_INVALID", `cannot read ${path} (${place}): ${messageOf(error)}`, { path }, error);
  }
  if (text.includes("-----BEGIN ")) return text;
  throw new KappaError("KAPPA_FILE_INVALID", `${path} (${place}) is no PEM file; it has no -----BEGIN`, { path });
}
