import { test } from "vitest";
import { logConformance } from "../../src/testing/log-conformance.ts";
import { Incarnation } from "./incarnation.ts";
import { Network } from "./network.ts";
import { ProcessLog } from "./process-log.ts";
import { Random } from "./random.ts";
import { Scheduler } from "./scheduler.ts";
import { SimulatedCluster } from "./simulated-cluster.ts";

// The simulated log keeps what the port promises, as every adapter does, when nothing goes wrong with it.

const brokers = 3;

logConformance({
  name: "simulated",
  test,
  open: async () => {
    const random = new Random(1);
    const scheduler = new Scheduler(random);
    const network = new Network(scheduler, random, brokers, () => {});
    const cluster = new SimulatedCluster(scheduler, random, network, brokers);
    const incarnation = new Incarnation("test", scheduler, () => {});
    const open = (): ProcessLog =>
      new ProcessLog({ incarnation, cluster, network, random, clock: scheduler, transactionTimeoutMs: 10_000 });
    let log = open();
    let stopped = false;
    // Virtual time goes on whenever the test waits.
    const running = (async () => {
      while (!stopped) {
        await scheduler.run(() => stopped);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    return {
      log,
      reopen: async () => {
        await log.close();
        log = open();
        return log;
      },
      dispose: async () => {
        await log.close();
        stopped = true;
        await running;
      },
    };
  },
  capabilities: { reopen: true, holdDurability: false, contiguousOffsets: false },
});
