/** A keyed table that streams can join: the newest version of a key as of an event's time. */
export class Table<Record extends object> {
  readonly nodeId: number;
  readonly global: boolean;
  /** Carries the record type; never set. */
  declare readonly record: Record;

  constructor(nodeId: number, global: boolean) {
    this.nodeId = nodeId;
    this.global = global;
  }
}
