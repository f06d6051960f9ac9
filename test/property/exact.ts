/**
 * Arithmetic on doubles without rounding: a double is a whole number of units of 2^-1074, the smallest one there is.
 * Slow and plain, so that it can be believed.
 */

const smallestExponent = -1074;

/** A double as a count of 2^-1074. */
export function unitsOf(value: number): bigint {
  const bits = new DataView(new ArrayBuffer(8));
  bits.setFloat64(0, value);
  const word = bits.getBigUint64(0);
  const exponent = (word >> 52n) & 0x7ffn;
  const fraction = word & 0xfffffffffffffn;
  const magnitude = exponent === 0n ? fraction : (fraction | 0x10000000000000n) << (exponent - 1n);
  return word >> 63n === 1n ? -magnitude : magnitude;
}

/** The double nearest to `numerator / denominator` times 2^`scale`, ties to even, as IEEE 754 rounds. */
export function nearestDouble(numerator: bigint, denominator: bigint, scale: number): number {
  if (numerator === 0n) return 0;
  const negative = numerator < 0n !== denominator < 0n;
  const above = numerator < 0n ? -numerator : numerator;
  const below = denominator < 0n ? -denominator : denominator;
  // Value = quotient * 2^exponent with a quotient of 53 bits, or fewer at the smallest exponent.
  let exponent = Math.max(above.toString(2).length - below.toString(2).length - 53, smallestExponent - scale);
  let [quotient, twice] = divide(above, below, exponent);
  if (quotient >= 1n << 53n) {
    exponent++;
    [quotient, twice] = divide(above, below, exponent);
  }
  if (twice > 0 || (twice === 0 && quotient % 2n === 1n)) quotient += 1n;
  const power = exponent + scale;
  // In two steps: 2^1024 is no double, though 2^53 quotients times 2^971 are.
  const magnitude = power > 971 ? Number.POSITIVE_INFINITY : Number(quotient) * 2 ** power;
  return negative ? -magnitude : magnitude;
}

/** Quotient and the sign of (twice the remainder - divisor) of `above / (below * 2^exponent)`. */
function divide(above: bigint, below: bigint, exponent: number): [quotient: bigint, twice: number] {
  const shifted = exponent < 0 ? above << BigInt(-exponent) : above;
  const divisor = exponent > 0 ? below << BigInt(exponent) : below;
  const quotient = shifted / divisor;
  const twice = 2n * (shifted - quotient * divisor) - divisor;
  return [quotient, twice > 0n ? 1 : twice < 0n ? -1 : 0];
}

/** The sum, rounded once. */
export function exactSum(values: readonly number[]): number {
  let units = 0n;
  for (const value of values) units += unitsOf(value);
  return nearestDouble(units, 1n, smallestExponent);
}

/** Sample variance (n - 1), rounded once; two values or more. */
export function exactVariance(values: readonly number[]): number {
  const n = BigInt(values.length);
  let sum = 0n;
  let squares = 0n;
  for (const value of values) {
    const units = unitsOf(value);
    sum += units;
    squares += units * units;
  }
  // (squares - sum² / n) / (n - 1)
  return nearestDouble(n * squares - sum * sum, n * (n - 1n), 2 * smallestExponent);
}
