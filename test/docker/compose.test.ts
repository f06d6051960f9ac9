import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "vitest";
import { parse } from "yaml";
import { kafkaProperties } from "../../scripts/stack/kafka-properties.ts";
import { stackPorts } from "../../scripts/stack/stack.ts";
import { describeOption, optionNames } from "../../src/cli/config.ts";

// Goal: what the files under docker/ say of each other, of the code and of `npm run stack` is so. No Docker is asked.

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports?: readonly string[];
  readonly volumes?: readonly string[];
  readonly configs?: readonly { readonly source: string; readonly target: string }[];
  readonly depends_on?: readonly string[] | Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly disable?: boolean };
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, null>>;
  readonly configs: Readonly<Record<string, { readonly content: string }>>;
}

const compose = parse(readFileSync("docker/compose.yaml", "utf8"), { merge: true }) as Compose;
const dockerfile = readFileSync("docker/Dockerfile", "utf8");

/** Variables of services outside the process, which the configuration may not know yet. */
const serviceVariables = ["KAFKA_BOOTSTRAP_SERVERS", "SCHEMA_REGISTRY_URL", "REDIS_URL"];

function serviceOf(name: string): Service {
  const service = compose.services[name];
  assert.ok(service, `no service ${name}`);
  return service;
}

/** `127.0.0.1:8081:8080` -> [8081, 8080] */
function portsOf(name: string): [published: number, inside: number][] {
  return (serviceOf(name).ports ?? []).map((port) => {
    const [, published, inside] = /^127\.0\.0\.1:(\d+):(\d+)$/.exec(port) ?? [];
    assert.ok(published && inside, `${name} publishes ${port} beyond loopback`);
    return [Number(published), Number(inside)];
  });
}

test("services are published on loopback alone, on the ports of npm run stack", () => {
  const published = Object.keys(compose.services).flatMap((name) => portsOf(name).map(([port]) => [name, port]));
  assert.deepEqual(Object.fromEntries(published), { ...stackPorts, processor: 9464, grafana: 3000 });
});

test("the processor is given variables that kappa reads", () => {
  const known = [...optionNames.map((name) => describeOption(name).env), ...serviceVariables];
  for (const name of ["processor", "topics"]) {
    assert.deepEqual(
      Object.keys(serviceOf(name).environment ?? {}).filter((variable) => !known.includes(variable)),
      [],
    );
  }
  const [, given = ""] = /^ENV (.+)$/m.exec(dockerfile) ?? [];
  const variables = Array.from(given.matchAll(/(\w+)=/g), ([, variable]) => variable ?? "");
  assert.deepEqual(
    variables.filter((variable) => variable !== "NODE_ENV" && !known.includes(variable)),
    [],
  );
});

test("addresses name services, on the ports on which they listen inside", () => {
  const { environment } = serviceOf("processor");
  const listeners = serviceOf("kafka").environment?.KAFKA_ADVERTISED_LISTENERS ?? "";
  assert.match(listeners, new RegExp(`INTERNAL://${environment?.KAFKA_BOOTSTRAP_SERVERS}(,|$)`));
  assert.equal(
    serviceOf("registry").environment?.APICURIO_KAFKASQL_BOOTSTRAP_SERVERS,
    environment?.KAFKA_BOOTSTRAP_SERVERS,
  );
  for (const variable of ["SCHEMA_REGISTRY_URL", "REDIS_URL"]) {
    const { hostname, port } = new URL(environment?.[variable] ?? "");
    assert.deepEqual(portsOf(hostname)[0]?.[1], Number(port), variable);
  }
  const [scraped] = readYaml<{ scrape_configs: { static_configs: { targets: string[] }[] }[] }>(
    "docker/prometheus/prometheus.yml",
  ).scrape_configs;
  assert.deepEqual(scraped?.static_configs[0]?.targets, [`processor:${environment?.HTTP_PORT}`]);
  const [source] = readYaml<{ datasources: { url: string }[] }>(
    "docker/grafana/provisioning/datasources/prometheus.yml",
  ).datasources;
  assert.equal(source?.url, `http://prometheus:${portsOf("prometheus")[0]?.[1]}`);
});

test("Prometheus has the token of the processor where it looks for it", () => {
  const [config] = serviceOf("prometheus").configs ?? [];
  const { scrape_configs } = readYaml<{ scrape_configs: { authorization: { credentials_file: string } }[] }>(
    "docker/prometheus/prometheus.yml",
  );
  assert.equal(scrape_configs[0]?.authorization.credentials_file, config?.target);
  const token = serviceOf("processor").environment?.HTTP_TOKEN;
  assert.equal(compose.configs[config?.source ?? ""]?.content, token);
  const [, byDefault = ""] = /:-(.+)\}$/.exec(token ?? "") ?? [];
  assert.ok(byDefault.length >= 16, `"${byDefault}" is shorter than HTTP_TOKEN may be`);
});

test("Kafka behaves as that of npm run stack", () => {
  const stack = kafkaProperties({
    dataDir: "/",
    controllerPort: 1,
    ports: new Map(),
    certificates: undefined,
    users: {},
    properties: {},
  });
  const places = /listener|quorum|log\.dirs/;
  const shared = Object.entries(serviceOf("kafka").environment ?? {}).flatMap(([variable, value]) => {
    const name = variable
      .replace(/^KAFKA_/, "")
      .toLowerCase()
      .replaceAll("_", ".");
    return stack[name] === undefined || places.test(name) ? [] : [[name, value, stack[name]]];
  });
  assert.ok(shared.length > 5, "nothing was compared");
  assert.deepEqual(
    shared.filter(([, here, there]) => here !== there),
    [],
  );
});

test("images are those that tests would start, and every image has a fixed version", () => {
  const containers = readFileSync("scripts/stack/docker-containers.ts", "utf8");
  for (const name of ["kafka", "registry", "redis"]) assert.ok(containers.includes(`"${serviceOf(name).image}"`), name);
  const [, version] =
    /<artifactId>kafka_2\.13<\/artifactId>\s*<version>([\d.]+)</.exec(readFileSync("scripts/stack/pom.xml", "utf8")) ??
    [];
  assert.equal(serviceOf("kafka").image, `apache/kafka:${version}`);
  const loose = Object.values(compose.services).filter(
    ({ image, build }) => !build && !/:v?\d[\d.]+$/.test(image ?? ""),
  );
  assert.deepEqual(loose, []);
});

test("who waits for health waits for a service that tells it, and volumes and files are there", () => {
  for (const [name, { depends_on = {}, volumes = [] }] of Object.entries(compose.services)) {
    for (const [other, { condition }] of Object.entries(Array.isArray(depends_on) ? {} : depends_on)) {
      const told = serviceOf(other).healthcheck ?? (serviceOf(other).build && /^HEALTHCHECK /m.test(dockerfile));
      assert.ok(condition !== "service_healthy" || told, `${name} waits for ${other}`);
    }
    for (const volume of volumes) {
      const [source = ""] = volume.split(":");
      const there = source.startsWith(".") ? existsSync(join("docker", source)) : source in compose.volumes;
      assert.ok(there, `${name} mounts ${source}`);
    }
  }
});

test("the image has what the command of a checkout needs, and runs as nobody in particular", () => {
  const copied = Array.from(dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm), ([, names = ""]) =>
    names.split(" "),
  ).flat();
  const shipped = ["bin", "models", "schemas", "src", "topologies", "package.json", "package-lock.json"];
  assert.deepEqual(
    copied.filter((name) => name !== "package.json").sort(),
    shipped.filter((name) => name !== "package.json").sort(),
  );
  const allowed = Array.from(
    readFileSync("docker/Dockerfile.dockerignore", "utf8").matchAll(/^!(\S+)$/gm),
    ([, name]) => name,
  );
  assert.deepEqual(allowed.sort(), shipped.sort());
  assert.match(dockerfile, /^USER node$/m);
  assert.match(dockerfile, /^FROM node:24-/m);
  assert.match(dockerfile, /^HEALTHCHECK [^\n]*\n.*\/livez/m);
});

test("the image drops the libraries of other platforms, and names the folders they are in", () => {
  const platforms = readdirSync("node_modules/onnxruntime-node/bin").flatMap((napi) =>
    readdirSync(join("node_modules/onnxruntime-node/bin", napi)),
  );
  assert.deepEqual(platforms.sort(), ["darwin", "linux", "win32"]);
  for (const folder of ["napi-v*/darwin", "napi-v*/win32", "napi-v*/linux/$other"])
    assert.ok(dockerfile.includes(folder));
});

function readYaml<Document>(file: string): Document {
  return parse(readFileSync(file, "utf8")) as Document;
}
