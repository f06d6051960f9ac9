import type { Lane } from "./lane.ts";
import type { Stage } from "./stage.ts";

interface SentRows {
  readonly orderTimeMs: number;
  /** Rows sent with this commit. */
  rows: number;
}

/**
 * Holds back a task whose rows would only wait downstream. A stage that has sent more than `rowsMax` rows beyond the
 * slowest upstream task it hears of pauses its inputs; the slowest never hears of a slower one, so it never pauses and
 * nothing can stop altogether. Bounds what receivers hold, whatever the skew between partitions.
 */
export class SkewGauge {
  readonly #rowsMax: number;
  readonly #lanesOf = new Map<Stage, readonly Lane[]>();
  readonly #sent = new Map<Stage, SentRows[]>();

  constructor(stages: readonly Stage[], rowsMax: number) {
    this.#rowsMax = rowsMax;
    for (const stage of stages) {
      const lanes = stages
        .filter((other) => other.lanes !== null && feeds(stage, other))
        .flatMap((other) => other.lanes?.lanes ?? []);
      if (lanes.length === 0) continue;
      this.#lanesOf.set(stage, lanes);
      this.#sent.set(stage, []);
    }
  }

  /** Records what a commit of the stage sent. */
  sent(stage: Stage, rows: number): void {
    if (rows === 0) return;
    const sent = this.#sent.get(stage);
    if (sent === undefined) return;
    const orderTimeMs = stage.orderTimeMs;
    const last = sent.at(-1);
    if (last?.orderTimeMs === orderTimeMs) last.rows += rows;
    else sent.push({ orderTimeMs, rows });
  }

  ahead(stage: Stage): boolean {
    const sent = this.#sent.get(stage);
    const lanes = this.#lanesOf.get(stage);
    if (sent === undefined || lanes === undefined) return false;
    let slowest = Number.POSITIVE_INFINITY;
    for (const lane of lanes) if (!lane.heardCaughtUp && lane.heardTimeMs < slowest) slowest = lane.heardTimeMs;
    let past = 0;
    while (past < sent.length && (sent[past] as SentRows).orderTimeMs <= slowest) past++;
    if (past > 0) sent.splice(0, past);
    let rows = 0;
    for (const each of sent) rows += each.rows;
    return rows > this.#rowsMax;
  }
}

function feeds(stage: Stage, other: Stage): boolean {
  for (const keySpace of stage.senders.keys()) if (other.lanes?.topic.endsWith(`-${keySpace}-repartition`)) return true;
  return false;
}
