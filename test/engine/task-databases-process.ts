import { TaskDatabases } from "../../src/engine/task-databases.ts";
import { answer, orderOf, say } from "../bench/child.ts";

// A process that has a task's database open, to be stopped and killed.

const { stateDir, partition } = orderOf<{ readonly stateDir: string; readonly partition: number }>();
const databases = new TaskDatabases({ stateDir, taskBytes: 1 << 20, evades: true });
let database = await databases.open(partition, false);
answer({
  close: () => database.close(),
  "open again": async () => {
    database = await databases.open(partition, false);
    return database.position?.toString();
  },
});
await say("open");
