import { defineConfig } from "vitest/config";
import { CountReporter } from "./test/count-reporter.ts";

// Native addons and worker threads need processes, not vitest's own threads.
export default defineConfig({
  test: {
    pool: "forks",
    reporters: ["default", new CountReporter()],
    allowOnly: false,
    projects: [
      {
        extends: true,
        test: {
          name: "fast",
          include: ["test/**/*.test.ts"],
          exclude: ["test/**/*.slow.test.ts", "test/**/*.kafka.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 20_000,
        },
      },
      {
        extends: true,
        // Real processes, kills, brokers: one file at a time, so that they do not time each other out.
        test: {
          name: "slow",
          include: ["test/**/*.slow.test.ts"],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 60_000,
        },
      },
      {
        extends: true,
        // Against real services, which all files share; a file that kills one starts its own.
        test: {
          name: "kafka",
          include: ["test/**/*.kafka.test.ts"],
          globalSetup: ["test/stack/shared-services.ts"],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
});
