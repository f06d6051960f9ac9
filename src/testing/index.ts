// What a user tests a topology with.

export type { ReadRecord } from "./followed-topics.ts";
// What an adapter of the log must pass.
export { logConformance } from "./log-conformance.ts";
export { ManualClock } from "./manual-clock.ts";
export type { DriverOptions } from "./topology-test-driver.ts";
export { TestInput, TestOutput, TopologyTestDriver } from "./topology-test-driver.ts";
