import { setTimeout as sleep } from "node:timers/promises";
import type { OnlineStore } from "../../src/serving/online-store.ts";

/** Waits until the store is connected. */
export async function answering(store: OnlineStore, timeoutMs = 15_000): Promise<void> {
  const endMs = performance.now() + timeoutMs;
  while (store.trouble !== undefined) {
    if (performance.now() > endMs) throw new Error(store.trouble);
    await sleep(10);
  }
}
