import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Seconds of one kind of work, over the engine's threads and in the thread that owns the journal. */
export interface ProfileLine {
  readonly work: string;
  readonly engineSeconds: number;
  readonly journalSeconds: number;
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
}

interface ProfileNode {
  readonly id: number;
  readonly callFrame: CallFrame;
  readonly children?: readonly number[];
}

interface CpuProfile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  /** Microseconds between a sample and the one before. */
  readonly timeDeltas: readonly number[];
}

/** The first that fits a frame names its work; frames of generated and native code go with their callers. */
const works: readonly { readonly work: string; readonly file: RegExp; readonly method?: RegExp }[] = [
  { work: "score", file: /\/src\/scoring\/|\/onnxruntime-|\/processors\/score\.ts/ },
  {
    work: "encode",
    file: /\/src\/codec\/(avro-(sink|writer)|row-layout)|\/processors\/(sink|repartition)|\/task\/(repartition-frame|outputs|commit-record)/,
  },
  { work: "encode", file: /\/src\/codec\/row-batch\.ts/, method: /^(add|take|RowBatchWriter)$/ },
  {
    work: "encode",
    file: /\/src\/log\/record-batch\.ts/,
    method: /^(append|begin|beginText|end|reserve|take|#?header|abandon|advance)$/,
  },
  { work: "decode", file: /\/src\/codec\/|\/src\/log\/record-batch\.ts|\/task\/(input-source|lane)\.ts/ },
  { work: "log", file: /\/src\/log\// },
  {
    work: "windows",
    file: /\/src\/state\/(window|reservoir|event-sequence|exact-sum|monotone|counted|sorted|feature-values|aggregate|accumulator)/,
  },
  { work: "state", file: /\/src\/state\/|\/classic-level\/|\/abstract-level\// },
  { work: "tasks", file: /\/src\/(task|engine|topology|core)\/|\/topologies\// },
];
const builtIn: ReadonlyMap<string, string> = new Map([
  ["(garbage collector)", "garbage collection"],
  ["(idle)", "idle"],
  ["(program)", "runtime"],
]);

/** Sums up the profiles that `--cpu-prof` left in a folder, one a thread; the owner of the journal is thread 0. */
export function readProfiles(directory: string): ProfileLine[] {
  const seconds = new Map<string, [engine: number, journal: number]>();
  for (const name of readdirSync(directory).filter((file) => file.endsWith(".cpuprofile"))) {
    const column = name.split(".")[4] === "0" ? 1 : 0;
    const profile = JSON.parse(readFileSync(join(directory, name), "utf8")) as CpuProfile;
    for (const [work, microseconds] of selfTimes(profile)) {
      const line = seconds.get(work) ?? [0, 0];
      line[column] += microseconds / 1e6;
      seconds.set(work, line);
    }
  }
  return [...seconds]
    .map(([work, [engineSeconds, journalSeconds]]) => ({ work, engineSeconds, journalSeconds }))
    .sort((a, b) => b.engineSeconds - a.engineSeconds);
}

function selfTimes({ nodes, samples, timeDeltas }: CpuProfile): Map<string, number> {
  const workOf = new Map<number, string>();
  const parents = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  // A parent comes before its children.
  for (const { id, callFrame } of nodes) {
    const caller = workOf.get(parents.get(id) ?? -1) ?? "runtime";
    workOf.set(id, builtIn.get(callFrame.functionName) ?? ownWork(callFrame) ?? caller);
  }
  const times = new Map<string, number>();
  samples.forEach((node, i) => {
    const work = workOf.get(node) ?? "runtime";
    times.set(work, (times.get(work) ?? 0) + (timeDeltas[i] ?? 0));
  });
  return times;
}

function ownWork({ url, functionName }: CallFrame): string | undefined {
  return works.find(({ file, method }) => file.test(url) && (method === undefined || method.test(functionName)))?.work;
}
