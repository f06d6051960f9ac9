import { appendFileSync } from "node:fs";
import process from "node:process";
import type { Reporter, SerializedError, TestCase, TestModule } from "vitest/node";

/**
 * Appends `passed` or `failed` to the file named by TEST_COUNT_FILE for every test as it ends, so that `.ci/run` adds
 * up what really ran, over several runs and also when one is killed half way. Writes nothing when the variable is unset.
 *
 * A file that cannot be loaded and an error outside every test count as one failure each; a skipped test counts as
 * nothing.
 */
export class CountReporter implements Reporter {
  readonly #file = process.env.TEST_COUNT_FILE;

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === "passed" || state === "failed") this.#append(state);
  }

  onTestModuleEnd(file: TestModule): void {
    if (file.errors().length > 0) this.#append("failed");
    for (const suite of file.children.allSuites()) if (suite.errors().length > 0) this.#append("failed");
  }

  onTestRunEnd(_files: readonly TestModule[], errors: readonly SerializedError[]): void {
    for (const _ of errors) this.#append("failed");
  }

  #append(state: "passed" | "failed"): void {
    if (this.#file) appendFileSync(this.#file, `${state}\n`);
  }
}
