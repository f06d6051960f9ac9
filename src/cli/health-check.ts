/** One thing that `kappa doctor` looked at. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** It works, and is worth mending before it does not. */
  readonly warning?: true;
  /** What is the case. */
  readonly detail: string;
  /** What to type, or do, when it is not ok. */
  readonly fix?: string;
}

export const good = (name: string, detail: string): CheckResult => ({ name, ok: true, detail });
export const worth = (name: string, detail: string, fix: string): CheckResult => ({
  name,
  ok: true,
  warning: true,
  detail,
  fix,
});
export const bad = (name: string, detail: string, fix: string): CheckResult => ({ name, ok: false, detail, fix });
