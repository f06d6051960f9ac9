import { KappaError } from "../../src/core/errors.ts";
import type { OnlineBatch, OnlineEntity, OnlinePlace, OnlineStore } from "../../src/serving/online-store.ts";

/** What happens to the next put of a client. */
export type PutFate =
  | "answered"
  /** Never arrives. */
  | "lost"
  /** Is taken; the answer never arrives. */
  | "unanswered"
  /** Arrives only when it is delivered. */
  | "delayed";

/** One client's way to a store that others write as well. */
export class FaultyOnlineStore implements OnlineStore {
  readonly #store: OnlineStore;
  readonly #delayed: (() => Promise<unknown>)[];
  fate: PutFate = "answered";
  trouble: string | undefined;

  /** @param delayed takes what is to be delivered later */
  constructor(store: OnlineStore, delayed: (() => Promise<unknown>)[]) {
    this.#store = store;
    this.#delayed = delayed;
  }

  position(place: OnlinePlace): Promise<number | null> {
    return this.#store.position(place);
  }

  async put(batches: readonly OnlineBatch[]): Promise<readonly (number | null)[]> {
    const fate = this.fate;
    this.fate = "answered";
    if (fate === "answered") return this.#store.put(batches);
    if (fate === "unanswered") await this.#store.put(batches);
    if (fate === "delayed") this.#delayed.push(() => this.#store.put(batches));
    throw new KappaError("KAPPA_SERVICE_UNREACHABLE", `the put was ${fate}`);
  }

  get(table: string, key: string): Promise<OnlineEntity | null> {
    return this.#store.get(table, key);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
