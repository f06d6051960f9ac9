import { LevelFolders } from "../../src/engine/level-folders.ts";
import { TaskDatabases } from "../../src/engine/task-databases.ts";
import { answer, orderOf, say } from "../bench/child.ts";

// A process that has a task's database open, to be stopped and killed.

const { stateDir, partition } = orderOf<{ readonly stateDir: string; readonly partition: number }>();
const taskBytes = 1 << 20;
const databases = new TaskDatabases({ folders: new LevelFolders(stateDir), taskBytes, evades: true });
let database = await databases.open(partition, false);
answer({
  close: () => database.close(),
  "open again": async () => {
    database = await databases.open(partition, false);
    return database.position?.toString();
  },
});
await say("open");
