/** While rows come: entities looked at, and ms between two looks. A look takes some 0.3 ms. */
const busyEntities = 50;
const busyGapMs = 20;
/** In silence: entities looked at between two looks at the log, some 1 ms. */
const idleEntities = 500;
/** Time without work after which it is silent. */
const silenceMs = 100;

/** When a thread sweeps the state of which of its tasks: rows should not notice. */
export class SweepTurns {
  #task = 0;
  #nextMs = 0;
  #workedMs = 0;
  #busy = false;

  /** Whether some entities may be looked at after a round that did or did not do anything. */
  come(nowMs: number, worked: boolean): boolean {
    if (worked) this.#workedMs = nowMs;
    this.#busy = nowMs - this.#workedMs < silenceMs;
    if (this.#busy && nowMs < this.#nextMs) return false;
    this.#nextMs = nowMs + busyGapMs;
    return true;
  }

  /** How many. */
  get entities(): number {
    return this.#busy ? busyEntities : idleEntities;
  }

  /** The task whose turn it is among those that want one. */
  next<Task>(tasks: readonly Task[], wants: (task: Task, busy: boolean) => boolean): Task | undefined {
    for (let i = 0; i < tasks.length; i++) {
      const task = tasks[this.#task % tasks.length] as Task;
      this.#task++;
      if (wants(task, this.#busy)) return task;
    }
    return undefined;
  }
}
