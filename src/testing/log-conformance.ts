import { appendCases, durabilityCases, largeRecordCase, reopenCases } from "./log-append-cases.ts";
import type { LogUnderTest } from "./log-case.ts";
import { readCases } from "./log-read-cases.ts";
import { topicCases } from "./log-topic-cases.ts";

export interface LogConformanceOptions {
  /** Begins the name of every test. */
  readonly name: string;
  /** Registers a test: `test` of vitest, node:test or another runner. */
  readonly test: (name: string, run: () => Promise<void>) => void;
  readonly open: () => Promise<LogUnderTest>;
  /** Begins the name of every topic and the id of every writer; for a broker that other tests share. Default none. */
  readonly topicPrefix?: string;
  /** Size of the largest record that is tried, in bytes. Default 5 MiB. */
  readonly largeRecordBytes?: number;
  readonly capabilities: LogCapabilities;
}

/** What an adapter can show besides the port, or promises beyond it. */
export interface LogCapabilities {
  /** See `LogUnderTest`. */
  readonly reopen: boolean;
  /** See `LogUnderTest`. */
  readonly holdDurability: boolean;
  /**
   * Whether a partition leaves no offset out, between transactions neither. Without it, offsets must ascend, and those
   * that writers are told must be those that readers find.
   */
  readonly contiguousOffsets: boolean;
}

/** The suite that every adapter of the log must pass. Registers one test for each rule. */
export function logConformance(options: LogConformanceOptions): void {
  const { name, test, open, topicPrefix = "", capabilities, largeRecordBytes = 5 * 1024 * 1024 } = options;
  const { reopen, holdDurability, contiguousOffsets } = capabilities;
  let opened = 0;
  const cases = [
    ...topicCases,
    ...readCases,
    ...appendCases,
    largeRecordCase(largeRecordBytes),
    ...(reopen ? reopenCases : []),
    ...(holdDurability ? durabilityCases : []),
  ];
  for (const [rule, run] of cases)
    test(`${name}: ${rule}`, async () => {
      const under = await open();
      const number = ++opened;
      try {
        await run({ under, log: under.log, named: (each) => `${topicPrefix}${each}-${number}`, contiguousOffsets });
      } finally {
        await under.dispose();
      }
    });
}
