/** A processor whose output depends on time passing: windows that close, marks that wait too long. */
export interface TimeDriven {
  /** Order time reached `orderTimeMs`; called before the row that moved it on is processed. */
  advance(orderTimeMs: number): void;
}

/** What a stage that has fallen silent would do if its time went on with the wall clock. */
export interface IdleDriven {
  /** Silence, by the wall clock, after which time goes on. */
  readonly idleMs: number;
  /** Order time before which nothing happens; Infinity when nothing waits. */
  readonly nextMs: number;
}
