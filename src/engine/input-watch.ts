import { KappaError } from "../core/errors.ts";
import type { Log, TopicIdentity } from "../log/log.ts";
import { countChanged, madeAnew } from "../task/changed-input.ts";

/** Between two looks at the inputs, in ms. */
const lookEveryMs = 10_000;

export interface InputWatchOptions {
  readonly log: Log;
  /** Partitioned inputs of the application. */
  readonly topics: readonly string[];
  /** That each of them must have. */
  readonly partitions: number;
  /** Told once what is wrong; nothing is looked at afterwards. */
  readonly failed: (error: unknown) => void;
}

/**
 * Looks now and then at what stands behind the names of the inputs. Partitions that are added while an application runs
 * would be read by nobody, and a topic that is deleted and made anew would be read from the middle: neither shows in the
 * partitions that are read.
 */
export class InputWatch {
  readonly #options: InputWatchOptions;
  readonly #first = new Map<string, TopicIdentity>();
  #timer: NodeJS.Timeout | undefined;
  #ended = false;

  constructor(options: InputWatchOptions) {
    this.#options = options;
  }

  /** Looks at what there is now. Does nothing over a log whose topics stay what they are. */
  start(): void {
    if (this.#options.log.identify !== undefined) void this.#look();
  }

  async #look(): Promise<void> {
    for (const topic of this.#options.topics) {
      const wrong = await this.#wrongWith(topic);
      if (this.#ended) return;
      if (wrong === undefined) continue;
      this.stop();
      this.#options.failed(wrong);
      return;
    }
    this.#timer = setTimeout(() => void this.#look(), lookEveryMs).unref();
  }

  async #wrongWith(topic: string): Promise<unknown> {
    let now: TopicIdentity | undefined;
    try {
      now = await this.#options.log.identify?.(topic);
    } catch (error) {
      // A broker that is away others notice too.
      return error instanceof KappaError && error.recovery === "retry" ? undefined : error;
    }
    // One that is gone shows to who reads it.
    if (now === undefined) return undefined;
    const { partitions } = this.#options;
    if (now.partitions !== partitions) return countChanged(now.partitions, partitions, topic);
    const first = this.#first.get(topic);
    if (first === undefined) this.#first.set(topic, now);
    else if (first.id !== now.id) return madeAnew(topic);
    return undefined;
  }

  stop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }
}
