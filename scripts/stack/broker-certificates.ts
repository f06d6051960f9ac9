import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { KappaError } from "../../src/core/errors.ts";
import { programFound, runCommand } from "./command.ts";

/** PEM files of one authority, made for one run. */
export interface BrokerCertificates {
  /** Certificate of the authority: what both sides trust. */
  readonly authority: string;
  /** Key and certificate chain of the broker, for 127.0.0.1 and localhost. */
  readonly broker: string;
  /** Certificate and key of a client, for listeners that ask for one. Its name is `CN=client`. */
  readonly clientCertificate: string;
  readonly clientKey: string;
}

/** Long enough for any test, short enough that nobody relies on one. */
const validDays = "2";

/** Makes an authority, a broker's certificate and a client's in a folder, with `openssl`. */
export async function makeCertificates(folder: string): Promise<BrokerCertificates> {
  if (!programFound("openssl")) {
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", "TLS listeners need openssl; type: apt-get install -y openssl");
  }
  const path = (name: string) => join(folder, name);
  await openssl(
    ...["req", "-x509", ...newKey(path("authority.key")), "-subj", "/CN=kappa test authority", "-days", validDays],
    ...["-out", path("authority.pem")],
  );
  await signed(folder, "broker", "subjectAltName=IP:127.0.0.1,DNS:localhost");
  await signed(folder, "client", "extendedKeyUsage=clientAuth");
  // Kafka wants one file: the key in PKCS#8, then the chain.
  const chain = await openssl("pkcs8", "-topk8", "-nocrypt", "-in", path("broker.key"));
  const certificate = await openssl("x509", "-in", path("broker.pem"));
  writeFileSync(path("broker-chain.pem"), chain + certificate, { mode: 0o600 });
  return {
    authority: path("authority.pem"),
    broker: path("broker-chain.pem"),
    clientCertificate: path("client.pem"),
    clientKey: path("client.key"),
  };
}

async function signed(folder: string, name: string, extension: string): Promise<void> {
  const path = (suffix: string) => join(folder, `${name}.${suffix}`);
  await openssl("req", ...newKey(path("key")), "-subj", `/CN=${name}`, "-out", path("csr"));
  writeFileSync(path("ext"), `${extension}\n`);
  const authority = ["-CA", join(folder, "authority.pem"), "-CAkey", join(folder, "authority.key"), "-CAcreateserial"];
  const request = ["x509", "-req", "-in", path("csr"), "-extfile", path("ext")];
  await openssl(...request, ...authority, "-days", validDays, "-out", path("pem"));
}

/** An elliptic key: an RSA key takes up to a second to find. */
function newKey(file: string): string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", file];
}

async function openssl(...args: readonly string[]): Promise<string> {
  const { out } = await runCommand("openssl", args, { timeoutMs: 20_000 });
  return out;
}
