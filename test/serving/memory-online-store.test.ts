import { test } from "vitest";
import { MemoryOnlineStore } from "../../src/serving/memory-online-store.ts";
import { ManualClock } from "../../src/testing/manual-clock.ts";
import { onlineStoreConformance } from "./online-store-conformance.ts";

onlineStoreConformance({
  name: "memory",
  test,
  open: async () => {
    const clock = new ManualClock(0);
    const store = new MemoryOnlineStore(clock);
    return { store, other: () => store, pass: async (ms) => clock.advance(ms), dispose: () => store.close() };
  },
});
