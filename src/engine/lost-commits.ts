import { KappaError } from "../core/errors.ts";
import { KafkaLog } from "../log/kafka-log.ts";
import type { Log } from "../log/log.ts";
import { commitsTopic } from "../topology/graph.ts";
import { taskFolders } from "./task-folders.ts";

/**
 * Before the topics of an application are created. On the embedded log everything goes at once; in Kafka the topic with the
 * positions of the tasks can be deleted alone, and an application that made it anew would do everything a second time.
 *
 * @param stateDir folder of the application's state
 * @throws KAPPA_LOG_TRUNCATED when the topic is not there and state is
 */
export async function refuseLostCommits(applicationId: string, log: Log, stateDir: string): Promise<void> {
  if (!(log instanceof KafkaLog)) return;
  const topic = commitsTopic(applicationId);
  const tasks = taskFolders(stateDir).size;
  if (tasks === 0 || (await log.topic(topic)) !== undefined) return;
  throw new KappaError(
    "KAPPA_LOG_TRUNCATED",
    `topic ${topic} does not exist, and ${stateDir} holds state of ${tasks} tasks: where they stand is gone; ` +
      "run under a new application id from the beginning",
    { topic, tasks },
  );
}
