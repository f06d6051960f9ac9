import { KappaError, messageOf } from "../core/errors.ts";
import type { StoreEntry } from "../observability/http-sources.ts";
import { StateService } from "./state-service.ts";

/** How long the process that runs a task may take to answer, in ms. */
const answerMs = 5000;

/** Asks the other processes of the application for the state of their tasks. */
export class OwnerQueries {
  readonly #token: string | undefined;

  /** @param token which all processes of an application have in common */
  constructor(token: string | undefined) {
    this.#token = token;
  }

  /**
   * @param owner address of the process that runs the task
   * @throws KAPPA_SERVICE_UNREACHABLE when it does not answer, or not with the state
   */
  async read(
    owner: string,
    task: number,
    store: string,
    key: string,
    asOfMs: number | undefined,
  ): Promise<StoreEntry | undefined> {
    const service = new StateService(owner, this.#token, { passedOn: true, answerMs });
    try {
      const answer = await service.read(store, key, asOfMs?.toString());
      if (answer === undefined) return undefined;
      return { partition: answer.partition, asOfMs: Date.parse(answer.as_of), value: answer.value };
    } catch (error) {
      throw new KappaError(
        "KAPPA_SERVICE_UNREACHABLE",
        `task ${task} is run by ${owner}, which cannot be asked: ${messageOf(error)}; ask again: if that process is ` +
          "gone, another one takes its tasks over when its session has ended",
        { partition: task, owner },
        error,
      );
    }
  }
}
