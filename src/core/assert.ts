/** Something that our own code promised does not hold. Never caught to go on: state may be wrong already. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/**
 * States what must hold if our own code is right. A failure is a bug of this project, never of its input.
 *
 * @param message built only on failure; carries the numbers that disagree
 */
export function assert(condition: boolean, message: () => string): asserts condition {
  if (!condition) throw new InvariantError(`invariant broken: ${message()}`);
}
