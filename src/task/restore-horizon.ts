interface Mark {
  readonly sequence: number;
  readonly offset: number;
  readonly orderTimeMs: number;
}

/** Commits between two marks: what is kept beyond need is at most these. */
const markEvery = 64;

/**
 * Knows the offset of the oldest commit that a restore from nothing must begin at. What a commit changed is older than its order time,
 * so once order time is further on than every store remembers, the commit holds nothing that is still held. A store
 * that never forgets keeps every commit.
 */
export class RestoreHorizon {
  readonly #retentionMs: number;
  readonly #marks: Mark[] = [];
  #restoreFrom: number;

  /** @param restoreFrom as the last commit record has it */
  constructor(retentionMs: number, restoreFrom: number) {
    this.#retentionMs = retentionMs;
    this.#restoreFrom = restoreFrom;
  }

  /**
   * @param offset one in the commits topic that the commit does not stand before
   * @param newestMs order time of the stage that is furthest on: nothing that the commit changed is newer
   * @param slowestMs order time of the stage that is furthest behind: it still holds the most
   * @returns the offset that a restore begins at
   */
  committed(sequence: number, offset: number, newestMs: number, slowestMs: number): number {
    if (this.#retentionMs === Number.POSITIVE_INFINITY) return this.#restoreFrom;
    const last = this.#marks.at(-1);
    if (last === undefined || sequence - last.sequence >= markEvery)
      this.#marks.push({ sequence, offset, orderTimeMs: newestMs });
    let past = 0;
    while (past < this.#marks.length && (this.#marks[past] as Mark).orderTimeMs < slowestMs - this.#retentionMs) past++;
    if (past > 0) {
      this.#restoreFrom = (this.#marks[past - 1] as Mark).offset;
      this.#marks.splice(0, past);
    }
    return this.#restoreFrom;
  }
}
