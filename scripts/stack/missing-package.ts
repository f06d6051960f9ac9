import { KappaError } from "../../src/core/errors.ts";

/** Something that is not on this machine. */
export interface MissingPackage {
  /** What is wanted and what is there, lowercase unless it begins with a name. */
  readonly complaint: string;
  /** Debian packages that bring it. */
  readonly packages: readonly string[];
}

/** @throws KAPPA_SERVICE_UNREACHABLE unless nothing is missing */
export function refuseMissing(missing: readonly (MissingPackage | undefined)[]): void {
  const found = missing.filter((one) => one !== undefined);
  if (found.length > 0) throw missingError(found);
}

/** One line for all that is missing, so that a person types one command instead of finding the next one missing. */
export function missingError(missing: readonly MissingPackage[]): KappaError {
  const complaints = new Set(missing.map(({ complaint }) => complaint));
  const packages = new Set(missing.flatMap(({ packages: some }) => some));
  return new KappaError(
    "KAPPA_SERVICE_UNREACHABLE",
    `${[...complaints].join("; ")}; type: sudo apt-get install -y ${[...packages].join(" ")} ` +
      "(npm start and npm run verify need none of it)",
  );
}
