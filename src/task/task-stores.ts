import { KappaError } from "../core/errors.ts";
import { DedupStore } from "../state/dedup-store.ts";
import { OrphanStore } from "../state/orphan-store.ts";
import { Reservoir } from "../state/reservoir.ts";
import type { StateDatabase } from "../state/state-database.ts";
import { TableStore } from "../state/table-store.ts";
import { WindowStore } from "../state/window-store.ts";
import type { DedupNode, FeaturesNode, GraphNode, TableSourceNode, Topology, WindowNode } from "../topology/graph.ts";

/** The stores of one task, one a stateful node, under the node's name. Opened before anything is restored. */
export class TaskStores {
  readonly #database: StateDatabase;
  readonly #reservoirs = new Map<number, Reservoir>();
  readonly #orphans = new Map<number, OrphanStore>();
  readonly #tables = new Map<number, TableStore>();
  readonly #dedups = new Map<number, DedupStore>();
  readonly #windows = new Map<number, WindowStore>();
  readonly #nodes = new Map<string, GraphNode>();

  constructor(topology: Topology, database: StateDatabase) {
    this.#database = database;
    for (const node of topology.nodes) this.#open(node);
  }

  #open(node: GraphNode): void {
    const database = this.#database;
    switch (node.kind) {
      case "features": {
        const { name, held, windows, features, idColumn, graceMs } = node;
        const marks = node.marks.map(({ mark }) => mark);
        this.#reservoirs.set(
          node.id,
          new Reservoir(database, { name, columns: held, marks, idColumn, windows, features, graceMs }),
        );
        if (node.marks.length > 0) {
          const waitMs = Math.max(...node.marks.map(({ orphanMs }) => orphanMs));
          this.#orphans.set(node.id, new OrphanStore(database, { name: `${name}/orphans`, waitMs }));
        }
        break;
      }
      case "table":
        if (node.global) return;
        this.#tables.set(
          node.id,
          new TableStore(database, { name: node.name, columns: node.columns, graceMs: node.graceMs }),
        );
        break;
      case "dedup":
        this.#dedups.set(node.id, new DedupStore(database, { name: node.name, ttlMs: node.ttlMs }));
        break;
      case "window": {
        const { name, held, window, aggregates } = node;
        this.#windows.set(node.id, new WindowStore(database, { name, columns: held, window, aggregates }));
        break;
      }
      default:
        return;
    }
    this.#nodes.set(node.name, node);
  }

  /** How far back, in event time, what any store holds can reach. */
  get retentionMs(): number {
    return this.#database.retentionMs;
  }

  reservoir(node: FeaturesNode): Reservoir {
    return this.#reservoirs.get(node.id) as Reservoir;
  }
  /** Marks of a node with marks that came before their event. */
  orphans(node: FeaturesNode): OrphanStore {
    return this.#orphans.get(node.id) as OrphanStore;
  }
  table(node: TableSourceNode): TableStore {
    return this.#tables.get(node.id) as TableStore;
  }
  dedup(node: DedupNode): DedupStore {
    return this.#dedups.get(node.id) as DedupStore;
  }
  windows(node: WindowNode): WindowStore {
    return this.#windows.get(node.id) as WindowStore;
  }

  #node(store: string): GraphNode {
    const node = this.#nodes.get(store);
    if (node === undefined)
      throw new KappaError("KAPPA_USAGE", `no store "${store}"; there are ${[...this.#nodes.keys()].join(", ")}`);
    return node;
  }

  /** Keys that a store holds. */
  count(store: string): Promise<number> {
    return this.#database.count(this.#node(store).name);
  }

  /** The order time that a store's own stage has reached, as the store has seen it. */
  orderTimeMs(store: string): number {
    const node = this.#node(store);
    return node.kind === "features" ? this.reservoir(node).orderTimeMs : Number.MAX_SAFE_INTEGER;
  }

  /** What a store holds for a key as of an event time, by name; null when it holds nothing. */
  read(store: string, key: string | number, asOfMs: number): Readonly<Record<string, unknown>> | null {
    const node = this.#node(store);
    switch (node.kind) {
      case "features": {
        const reservoir = this.reservoir(node);
        const out: unknown[] = [];
        reservoir.read(key, asOfMs, reservoir.orderTimeMs, out);
        return Object.fromEntries(node.features.map(({ name }, i) => [name, out[i]]));
      }
      case "table":
        return this.table(node).get(key, asOfMs) as Readonly<Record<string, unknown>> | null;
      default:
        throw new KappaError("KAPPA_USAGE", `store "${store}" is a ${node.kind}, which has no value to show`);
    }
  }
}
