import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { test } from "vitest";
import { type Metric, metrics } from "../src/observability/metrics.ts";

// Style and layering as tests. Every check names the files it looks at through `filesOf`, which fails on an empty set:
// a check over nothing must not pass.

/**
 * What the files of a folder may import besides their own folder: default deny. Imports point toward the log.
 * Think hard about the layering of the project before changing this table.
 */
const mayImport: Record<string, readonly string[]> = {
  "src/core": [],
  "src/log": ["src/core"],
  "src/codec": ["src/core"],
  "src/state": ["src/core", "src/codec"],
  "src/scoring": ["src/core"],
  "src/observability": ["src/core"],
  "src/topology": ["src/core", "src/codec", "src/state", "type src/scoring"],
  "src/serving": layers("core log codec observability topology"),
  "src/task": layers("core log codec state scoring observability topology"),
  "src/engine": layers("core log codec state scoring serving observability topology task"),
  "src/testing": layers("core log codec state scoring observability topology task"),
  "src/cli": [
    ...layers("core log codec state scoring serving observability topology task engine testing"),
    ...["src/index.ts", "topologies", "schemas"],
  ],
  "src/index.ts": layers("core log codec state scoring serving topology task engine testing"),
  "src/kafka.ts": layers("log engine"),
  schemas: ["src/index.ts", "src/codec"],
  topologies: ["src/index.ts", "schemas"],
};

/** Libraries that only some files may load: native code, network clients, and what a layer exists to hide. */
const ownersOf: Record<string, RegExp> = {
  "classic-level": /^src\/(state|log)\//,
  "onnxruntime-node": /^src\/scoring\/onnx-/,
  "@marcbachmann/cel-js": /^src\/scoring\//,
  kafkajs: /^src\/log\/kafka-/,
  ioredis: /^src\/serving\/redis-/,
  "@kafkajs/confluent-schema-registry": /^src\/codec\//,
  avsc: /^src\/codec\//,
  "prom-client": /^src\/observability\//,
  fastify: /^src\/observability\//,
  pino: /^src\/observability\//,
  commander: /^src\/cli\//,
};

function layers(names: string): string[] {
  return names.split(" ").map((name) => `src/${name}`);
}

interface SourceFile {
  readonly path: string;
  readonly text: string;
}

function filesOf(...folders: readonly string[]): SourceFile[] {
  const paths = folders.flatMap((folder) => globSync(`${folder}/**/*.ts`)).map((path) => path.replaceAll("\\", "/"));
  assert.ok(paths.length > 0, `no file in ${folders.join(", ")}`);
  return paths.sort().map((path) => ({ path, text: readFileSync(path, "utf8") }));
}

/** `src/log/file-log.ts` -> `src/log`; `topologies/fraud/rules.ts` -> `topologies`; `src/index.ts` -> itself. */
function folderOf(path: string): string {
  return /^src\/[^/]+/.exec(path)?.[0] ?? /^[^/]+/.exec(path)?.[0] ?? path;
}

interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** Static, dynamic and side-effect imports, re-exports, and the URL form that starts a worker. */
function importsOf(text: string): Import[] {
  const statement = /^(import|export)(\s+type)?\s(?:[^;"'`]*?\sfrom\s+)?"([^"]+)";/gm;
  const call = /(?:\bimport\(\s*|\bnew URL\(\s*)"([^"]+)"/g;
  return [
    ...Array.from(text.matchAll(statement), (m) => ({ specifier: m[3] ?? "", typeOnly: m[2] !== undefined })),
    ...Array.from(text.matchAll(call), (m) => ({ specifier: m[1] ?? "", typeOnly: false })),
  ];
}

function forbiddenImports(path: string, text: string): string[] {
  const folder = folderOf(path);
  const allowed = mayImport[folder];
  if (allowed === undefined) return [`${path} is in no known layer`];
  const forbidden: string[] = [];
  for (const { specifier, typeOnly } of importsOf(text)) {
    if (specifier.startsWith(".")) {
      const target = folderOf(posix.join(posix.dirname(path), specifier));
      const ok = target === folder || allowed.includes(target) || (typeOnly && allowed.includes(`type ${target}`));
      if (!ok) forbidden.push(`${path} imports ${typeOnly ? "types of " : ""}${target}`);
    } else if (!typeOnly && ownersOf[specifier]?.test(path) === false) {
      forbidden.push(`${path} imports ${specifier}`);
    }
  }
  return forbidden;
}

test("imports point toward the log, and each library has its place", () => {
  const files = filesOf("src", "topologies", "schemas");
  assert.deepEqual(
    files.flatMap(({ path, text }) => forbiddenImports(path, text)),
    [],
  );
});

test("the import check sees upward, sideways and hidden imports", () => {
  const caught = (path: string, text: string) => forbiddenImports(path, text).length;
  assert.equal(caught("src/log/a.ts", `import { Task } from "../task/task.ts";`), 1);
  assert.equal(caught("src/log/a.ts", `import type {\n  Task,\n} from "../task/task.ts";`), 1);
  assert.equal(caught("src/log/a.ts", `export { Task } from "../state/store.ts";`), 1);
  assert.equal(caught("src/log/a.ts", `const task = await import("../task/task.ts");`), 1);
  assert.equal(caught("src/log/a.ts", `new Worker(new URL("../task/worker.ts", import.meta.url));`), 1);
  assert.equal(caught("src/log/a.ts", `import { crc32 } from "node:zlib";\nimport "../core/clock.ts";`), 0);
  assert.equal(caught("src/state/a.ts", `import { row } from "../codec/row.ts";`), 0);
  assert.equal(caught("src/topology/a.ts", `import type { Scorer } from "../scoring/scorer.ts";`), 0);
  assert.equal(caught("src/topology/a.ts", `import { Scorer } from "../scoring/scorer.ts";`), 1);
  assert.equal(caught("topologies/fraud/a.ts", `import { stream } from "../../src/index.ts";`), 0);
  assert.equal(caught("topologies/fraud/a.ts", `import { stream } from "../../src/topology/stream.ts";`), 1);
  assert.equal(caught("src/task/a.ts", `import { Kafka } from "kafkajs";`), 1);
  assert.equal(caught("src/brand-new/a.ts", ""), 1);
});

test("a file is one noun of at most 500 lines, and says which", () => {
  const found: string[] = [];
  for (const { path, text } of filesOf("src", "topologies", "scripts", "test")) {
    const lines = text.split("\n").length - 1;
    if (lines > 500) found.push(`${path} has ${lines} lines, limit 500`);
    const name = posix.basename(path);
    if (/^(types|(.*-)?(utils?|helpers?|common|managers?|misc))\.ts$/.test(name)) found.push(`${path}: name the noun`);
  }
  assert.deepEqual(found, []);
});

test("every folder these checks name holds files", () => {
  const held = new Set(filesOf("src", "topologies", "schemas", "scripts", "test").map(({ path }) => folderOf(path)));
  assert.deepEqual(
    [...Object.keys(mayImport), "scripts", "test"].filter((folder) => !held.has(folder)),
    [],
  );
});

test("a TODO says what is to be done", () => {
  const marker = /\b(?:TODO|FIXME)\b(.*)/g;
  const found: string[] = [];
  for (const { path, text } of filesOf("src", "topologies", "schemas", "scripts", "test")) {
    if (path === "test/tidy.test.ts") continue;
    for (const [line, rest = ""] of text.matchAll(marker)) {
      if (!/[A-Za-z]\w+ \w+/.test(rest)) found.push(`${path}: ${line}`);
    }
  }
  assert.deepEqual(found, []);
});

test("clock, randomness and console come in by constructor", () => {
  const ambient = /\b(Date\.now|Math\.random|performance\.now|new Date\(\)|console\.)/;
  const allowed = /^src\/(cli\/|core\/clock\.ts$)/;
  const found = filesOf("src", "topologies")
    .filter(({ path }) => !allowed.test(path))
    .flatMap(({ path, text }) =>
      codeLines(text)
        .filter((line) => ambient.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
  assert.deepEqual(found, []);
});

function codeLines(text: string): string[] {
  return text.split("\n").filter((line) => !/^\s*(\/\/|\/?\*)/.test(line));
}

/** Where metrics are opened by name. */
function openedMetrics(): { readonly path: string; readonly type: string; readonly name: string }[] {
  return filesOf("src", "replay").flatMap(({ path, text }) =>
    Array.from(text.matchAll(/\.(counter|gauge|histogram)\(\s*"(\w+)"/g), ([, type = "", name = ""]) => ({
      path,
      type,
      name,
    })),
  );
}

test("every metric that is opened is in the catalogue, with its type", () => {
  const known: Readonly<Record<string, Metric>> = metrics;
  assert.deepEqual(
    openedMetrics().filter(({ type, name }) => known[name]?.type !== type),
    [],
  );
});

test("every metric of the catalogue is measured somewhere", () => {
  const opened = new Set(openedMetrics().map(({ name }) => name));
  assert.deepEqual(
    Object.keys(metrics).filter((name) => !opened.has(name)),
    [],
  );
});
