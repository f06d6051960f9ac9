import type { DeadLetter, Fates } from "./fates.ts";
import type { PaymentDecision } from "./payments.ts";
import { type Kind, kinds } from "./poison-kinds.ts";
import type { StreamRecord } from "./poisoned-stream.ts";

/** Shops on the list before the stream begins. Among the poison is a deletion of `s1` in 1970. */
export const blockedShops: readonly string[] = ["s0", "s1"];

/** What is asked of a series, and whether it held. */
export interface Finding {
  readonly demand: string;
  readonly found: string;
  readonly held: boolean;
}

/** A kind: what was sent of it and what became of that. */
export interface KindLine {
  readonly kind: Kind;
  readonly sent: number;
  readonly decided: number;
  readonly dead: number;
  /** After the mend and the retry. */
  readonly decidedLater: number;
  readonly deadAgain: number;
}

export interface ProcessEnd {
  readonly live: string;
  readonly ready: string;
  readonly alive: boolean;
  readonly starts: number;
  readonly code: number | null;
}

/** Ids of payments or dead letters: which there are, and which more than once. */
class Ids {
  readonly all = new Set<string>();
  readonly twice: string[] = [];

  add(id: string): void {
    if (this.all.has(id)) this.twice.push(id);
    this.all.add(id);
  }
}

/** Compares what became of the records of a poisoned stream with what had to. */
export class SeriesJudge {
  readonly #stream: ReadonlyMap<string, StreamRecord>;
  readonly #offsets = new Map<string, number>();
  #decided = new Ids();
  #dead = new Ids();
  #decidedLater = new Ids();
  #deadAgain = new Ids();
  readonly findings: Finding[] = [];

  constructor(stream: readonly StreamRecord[]) {
    this.#stream = new Map(stream.map((each) => [each.paymentId, each]));
  }

  /** Told of every record where it was appended. */
  sentTo({ paymentId }: StreamRecord, offset: number): void {
    this.#offsets.set(paymentId, offset);
  }

  judgeFirst({ decided, dead }: Fates): void {
    for (const { payment_id } of decided) this.#decided.add(payment_id);
    for (const { paymentId, place } of dead) this.#dead.add(paymentId ?? place);
    const sent = this.#stream.size;
    const both = [...this.#decided.all].filter((id) => this.#dead.all.has(id));
    const sum = this.#decided.all.size + this.#dead.all.size;
    this.#find(`${sent} sent = decided + dead`, `${this.#decided.all.size} + ${this.#dead.all.size}`, sum === sent);
    this.#none("decided and dead", both);
    this.#none("decided twice or dead twice", [...this.#decided.twice, ...this.#dead.twice]);
    this.#none(
      "decided that had to die, or the reverse",
      [...this.#stream.values()]
        .filter(({ kind, paymentId }) => (kind.reason === null) !== this.#decided.all.has(paymentId))
        .map(nameOf),
    );
    this.#none(
      "dead for another reason",
      dead
        .filter((letter) => letter.reason !== this.#of(letter)?.kind.reason)
        .map((letter) => `${this.#told(letter)} ${letter.reason}`),
    );
    this.#none(
      "dead letters that are not the record as it was sent",
      dead.filter((letter) => !this.#asSent(letter)).map((letter) => this.#told(letter)),
    );
    this.#none(
      "first attempts that are not attempt 1",
      dead.filter(({ attempts }) => attempts !== 1).map((letter) => this.#told(letter)),
    );
    this.#none("cards whose payments were lost, doubled or taken in another order", this.#outOfOrder(decided));
    this.#none(
      "shops that the list was wrong about",
      decided
        .filter(({ payment_id, decision }) => (decision === "decline") !== this.#blocked(payment_id))
        .map(({ payment_id }) => payment_id),
    );
  }

  judgeRetry(toBeSent: number, sent: number): void {
    const internal = this.#dead.all.size - this.#retriable().length;
    const demand = `a retry sends every dead letter but the ${internal} of the second stage`;
    this.#find(demand, String(sent), sent === this.#retriable().length && sent === toBeSent);
  }

  judgeMended({ decided, dead }: Fates): void {
    for (const { payment_id } of decided) if (!this.#decided.all.has(payment_id)) this.#decidedLater.add(payment_id);
    for (const { paymentId, attempts } of dead) if (attempts > 1) this.#deadAgain.add(paymentId ?? "");
    const mendable = [...this.#stream.values()]
      .filter(({ kind }) => kind.fate === "mended")
      .map(({ paymentId }) => paymentId);
    this.#same("what was mended is decided, and nothing else", mendable, this.#decidedLater);
    const others = this.#retriable().filter((id) => !mendable.includes(id));
    this.#same("the others are back", others, this.#deadAgain);
    const again = dead.filter(({ attempts }) => attempts > 1);
    this.#none(
      "back without attempts 2, by another reason or with other bytes",
      again
        .filter(
          (letter) =>
            letter.attempts !== 2 || letter.reason !== this.#of(letter)?.kind.reason || !this.#bytesAsSent(letter),
        )
        .map((letter) => this.#told(letter)),
    );
    this.#none(
      "decided twice",
      decided.map(({ payment_id }) => payment_id).filter((id, i, ids) => ids.indexOf(id) !== i),
    );
  }

  judgeEnd(listed: readonly Readonly<Record<string, unknown>>[], out: string, said: string): void {
    const letters = listed.reduce((sum, { count }) => sum + (count as number), 0);
    const all = this.#dead.all.size + this.#deadAgain.all.size;
    this.#find(`kappa dlq list counts ${all} dead letters`, String(letters), letters === all);
    this.#find("a retry with --max-attempts 2 sends none", out.trim(), out === "none sent\n");
    const left = this.#deadAgain.all.size.toLocaleString("en");
    this.#find(
      `it says of ${left} that they died too often`,
      said.trim().split("\n").join("; "),
      said.includes(`${left} died 2 times or more`),
    );
  }

  judgeProcess(name: string, { live, ready, alive, starts, code }: ProcessEnd): void {
    const held = live.startsWith("200") && ready.startsWith("200") && alive && starts === 1 && code === 0;
    const found = `livez ${live.slice(0, 3)}, readyz ${ready.slice(0, 3)}, started ${starts} time(s), exit code ${code}`;
    this.#find(`${name} is one process from start to SIGTERM, well all the time`, found, held);
  }

  /** One line a kind, in the order of the kinds. */
  lines(): KindLine[] {
    const count = (kind: Kind, ids: ReadonlySet<string>) =>
      [...this.#stream.values()].filter((each) => each.kind === kind && ids.has(each.paymentId)).length;
    return kinds.map((kind) => ({
      kind,
      sent: count(kind, new Set(this.#stream.keys())),
      decided: count(kind, this.#decided.all),
      dead: count(kind, this.#dead.all),
      decidedLater: count(kind, this.#decidedLater.all),
      deadAgain: count(kind, this.#deadAgain.all),
    }));
  }

  #of({ paymentId }: DeadLetter): StreamRecord | undefined {
    return this.#stream.get(paymentId ?? "");
  }

  #told(letter: DeadLetter): string {
    const record = this.#of(letter);
    return record === undefined ? letter.place : nameOf(record);
  }

  #retriable(): string[] {
    return [...this.#dead.all].filter((id) => this.#stream.get(id)?.kind.internal !== true);
  }

  #asSent(letter: DeadLetter): boolean {
    const record = this.#of(letter);
    if (record === undefined || letter.internal !== record.kind.internal) return false;
    const place = `${record.kind.topic} ${record.partition} ${this.#offsets.get(record.paymentId)}`;
    return letter.internal || (letter.place === place && this.#bytesAsSent(letter));
  }

  /** A value of more than 1 MiB is carried by its first 64 KiB. */
  #bytesAsSent(letter: DeadLetter): boolean {
    const sent = this.#of(letter)?.record;
    if (sent === undefined || !same(letter.key, sent.key)) return false;
    if ((sent.value?.length ?? 0) <= 1 << 20) return letter.cutFrom === null && same(letter.value, sent.value);
    return letter.cutFrom === sent.value?.length && same(letter.value, sent.value.subarray(0, 65_536));
  }

  /**
   * Payments of a card and partition, in the order they were sent, must be those the card counted: 1, 2, 3 and on. Its
   * Avro and its JSON payments are two streams, so only the order within each is looked at.
   */
  #outOfOrder(decided: readonly PaymentDecision[]): string[] {
    const cards = new Map<string, { readonly of: StreamRecord; readonly count: number }[]>();
    for (const { payment_id, card_id, card_count } of decided) {
      const of = this.#stream.get(payment_id);
      if (of === undefined) continue;
      const card = `${of.partition} ${card_id}`;
      const payments = cards.get(card) ?? [];
      cards.set(card, payments);
      payments.push({ of, count: card_count });
    }
    const wrong = [...cards].filter(([, payments]) => {
      payments.sort((a, b) => a.count - b.count);
      if (payments.some(({ count }, i) => count !== i + 1)) return true;
      return ["payments", "web-payments"].some((topic) => {
        const offsets = payments
          .filter(({ of }) => of.kind.topic === topic)
          .map(({ of }) => this.#offsets.get(of.paymentId) ?? -1);
        return offsets.some((offset, i) => i > 0 && offset <= (offsets[i - 1] ?? -1));
      });
    });
    return wrong.map(([card]) => card);
  }

  #blocked(paymentId: string): boolean {
    return blockedShops.includes(this.#stream.get(paymentId)?.shopId ?? "");
  }

  #same(demand: string, expected: readonly string[], { all, twice }: Ids): void {
    const missing = expected.filter((id) => !all.has(id));
    const extra = [...all].filter((id) => !expected.includes(id));
    const found = `${all.size} of ${expected.length}, ${missing.length} missing, ${extra.length} others, ${twice.length} twice`;
    this.#find(demand, found, missing.length + extra.length + twice.length === 0 && expected.length > 0);
  }

  #none(what: string, found: readonly string[]): void {
    const few = [...new Set(found)].slice(0, 5).join(", ");
    this.#find(`none ${what}`, found.length === 0 ? "none" : `${found.length}: ${few}`, found.length === 0);
  }

  #find(demand: string, found: string, held: boolean): void {
    this.findings.push({ demand, found, held });
  }
}

function nameOf({ kind, paymentId }: StreamRecord): string {
  return `${paymentId} (${kind.name})`;
}

function same(found: Buffer | null, sent: Buffer | null): boolean {
  return found === null || sent === null ? found === sent : found.equals(sent);
}
