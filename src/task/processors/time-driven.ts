/** A processor whose output depends on time passing: windows that close, marks that wait too long. */
export interface TimeDriven {
  /** Order time reached `orderTimeMs`; called before the row that moved it on is processed. */
  advance(orderTimeMs: number): void;
}
