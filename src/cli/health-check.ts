import { messageOf } from "../core/errors.ts";

/** One thing that `kappa doctor` looked at. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** It works, and is worth mending before it does not. */
  readonly warning?: true;
  /** Not looked at, since what would have been asked failed another check: not a fault of its own. */
  readonly skipped?: true;
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
export const skipped = (name: string, detail: string): CheckResult => ({ name, ok: false, skipped: true, detail });

/** What a check finds; what it throws is a fault as well, so that one that fails does not keep the others unsaid. */
export async function caught(
  name: string,
  fixOf: (error: unknown) => string,
  check: () => Promise<CheckResult | readonly CheckResult[]>,
): Promise<readonly CheckResult[]> {
  try {
    return [await check()].flat();
  } catch (error) {
    return [bad(name, messageOf(error), fixOf(error))];
  }
}
