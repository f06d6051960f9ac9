import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { lastLine } from "../../scripts/stack/command.ts";
import { kafkaClassPath } from "../../scripts/stack/kafka-jars.ts";

// Kafka's own command line tools, from its jars: what they see is what any Java client sees.

const program = "java";

/** A JVM that lives for one command. What it logs would stand among what it prints. */
const javaOptions = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF"];

/** How long a reader waits for one more record before it takes what it has for all there is, in ms. */
const silenceMs = 5000;

export interface ToolCall {
  readonly mainClass: string;
  readonly args: readonly string[];
  /** For its standard input. */
  readonly input?: string;
  readonly onLine?: (line: string) => void;
}

/** Runs a tool to its end. @throws Error with the last line it wrote, when it ends with anything but 0 */
export async function runTool({ mainClass, args, input, onLine }: ToolCall): Promise<void> {
  const java = [...javaOptions, "-cp", await kafkaClassPath(), mainClass];
  const child = spawn(program, [...java, ...args], { stdio: ["pipe", "pipe", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  child.stdin.on("error", () => {}).end(input ?? "");
  for await (const line of createInterface({ input: child.stdout })) onLine?.(line);
  const code = await ended;
  if (code !== 0) throw new Error(`${mainClass} ended with ${code}: ${lastLine(errors)}`);
}

/** A record as the Java consumer prints it. */
export interface ConsumedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string;
  readonly value: string;
}

/** Every committed record of a topic, partition by partition in the order of offsets, as the Java consumer reads it. */
export async function consume(
  bootstrapServers: string,
  topic: string,
  take: (record: ConsumedRecord) => void,
): Promise<void> {
  const printed = ["partition", "offset", "key"].flatMap((part) => ["--property", `print.${part}=true`]);
  const from = ["--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", String(silenceMs)];
  await runTool({
    mainClass: "org.apache.kafka.tools.consumer.ConsoleConsumer",
    args: ["--bootstrap-server", bootstrapServers, "--topic", topic, ...from, ...printed],
    onLine: (line) => {
      const [, partition, offset, key, value] = /^Partition:(\d+)\tOffset:(\d+)\t([^\t]*)\t(.*)$/.exec(line) ?? [];
      if (key === undefined || value === undefined) throw new Error(`the Java consumer wrote "${line}"`);
      take({ partition: Number(partition), offset: Number(offset), key, value });
    },
  });
}

/** Records that a group has not read yet, over all its partitions; a partition without a position counts as one. */
export async function groupLag(bootstrapServers: string, group: string): Promise<number> {
  let lag = 0;
  await runTool({
    mainClass: "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    args: ["--bootstrap-server", bootstrapServers, "--describe", "--group", group],
    onLine: (line) => {
      // GROUP TOPIC PARTITION CURRENT-OFFSET LOG-END-OFFSET LAG ...
      const cells = line.trim().split(/\s+/);
      if (cells[0] === group) lag += cells[5] === "-" ? 1 : Number(cells[5]);
    },
  });
  return lag;
}
