/**
 * Sums of doubles without rounding. A sum is an expansion: doubles in growing magnitude whose bits do not overlap and
 * whose exact total is the value (Shewchuk, "Adaptive Precision Floating-Point Arithmetic", 1997). Because nothing is
 * ever rounded away, adding and then subtracting a value leaves no trace, and the rounded result depends only on the
 * numbers in the sum, never on the order in which they came and went.
 *
 * An expansion lies in `width` cells of a Float64Array; unused cells are 0 and lie behind the used ones.
 */

/** Cells in which any sum of doubles fits: 2,098 bits in components of 53 take 40, and one carry. */
export const wideCells = 48;

/** Up to this magnitude no intermediate result of a sum, a sum of squares or a variance can overflow. */
export const magnitudeLimit = 2 ** 450;

const scratch = new Float64Array(wideCells + 2);

/**
 * Adds `value` exactly.
 * @returns false, with the cells as they were, when the sum needs more than `width` of them
 */
export function addExact(cells: Float64Array, at: number, width: number, value: number): boolean {
  let carry = value;
  let kept = 0;
  for (let i = at; i < at + width; i++) {
    const component = cells[i] as number;
    if (component === 0) break;
    const high = carry + component;
    const other = high - carry;
    const low = carry - (high - other) + (component - other); // Knuth's two-sum: high + low is exact
    if (low !== 0) scratch[kept++] = low;
    carry = high;
  }
  if (carry !== 0) scratch[kept++] = carry;
  if (kept > width) {
    kept = compress(kept);
    if (kept > width) return false;
  }
  for (let i = 0; i < kept; i++) cells[at + i] = scratch[i] as number;
  for (let i = kept; i < width; i++) cells[at + i] = 0;
  return true;
}

/** Packs the expansion in `scratch` into as few components as it takes (Shewchuk's COMPRESS). */
function compress(length: number): number {
  let carry = scratch[length - 1] as number;
  let bottom = length - 1;
  for (let i = length - 2; i >= 0; i--) {
    const component = scratch[i] as number;
    const high = carry + component;
    const low = component - (high - carry);
    if (low === 0) {
      carry = high;
    } else {
      scratch[bottom--] = high;
      carry = low;
    }
  }
  scratch[bottom] = carry;
  let top = 0;
  for (let i = bottom + 1; i < length; i++) {
    const component = scratch[i] as number;
    const high = component + carry;
    const low = carry - (high - component);
    if (low !== 0) scratch[top++] = low;
    carry = high;
  }
  scratch[top++] = carry;
  return top;
}

/** Adds `sign` times the square of `value` exactly. @returns false, with the cells as they were, when it does not fit */
export function addSquareExact(cells: Float64Array, at: number, width: number, value: number, sign: number): boolean {
  const high = value * value;
  const low = productError(value, value, high);
  if (!addExact(cells, at, width, sign * high)) return false;
  if (low === 0 || addExact(cells, at, width, sign * low)) return true;
  const undone = addExact(cells, at, width, -sign * high);
  if (!undone) throw new Error("invariant broken: an exact sum cannot be taken back");
  return false;
}

/** What rounding took from `product`, the double nearest to a * b (Dekker's two-product with Veltkamp's split). */
function productError(a: number, b: number, product: number): number {
  const splitA = 134_217_729 * a; // 2^27 + 1
  const highA = splitA - (splitA - a);
  const lowA = a - highA;
  const splitB = 134_217_729 * b;
  const highB = splitB - (splitB - b);
  const lowB = b - highB;
  return lowA * lowB - (product - highA * highB - lowA * highB - highA * lowB);
}

/** The double nearest to the exact sum, ties to even (the rounding of Python's math.fsum). */
export function roundExact(cells: Float64Array, at: number, width: number): number {
  let used = 0;
  while (used < width && cells[at + used] !== 0) used++;
  if (used === 0) return 0;
  let i = used - 1;
  let high = cells[at + i] as number;
  let low = 0;
  while (i > 0) {
    const larger = high;
    const smaller = cells[at + --i] as number;
    high = larger + smaller;
    low = smaller - (high - larger);
    if (low !== 0) break;
  }
  // Exactly half way so far: what lies below decides the direction.
  if (i > 0 && low !== 0 && low > 0 === (cells[at + i - 1] as number) > 0) {
    const twice = low * 2;
    const other = high + twice;
    if (twice === other - high) high = other;
  }
  return high;
}

const spread = new Float64Array(wideCells);

/**
 * Sample variance of `count` values, 2 or more, from their exact sum and exact sum of squares:
 * (n * sum(x^2) - sum(x)^2) / (n * (n - 1)), where the numerator is exact before it is rounded once.
 */
export function sampleVariance(
  count: number,
  sum: Float64Array,
  sumAt: number,
  sumWidth: number,
  squares: Float64Array,
  squaresAt: number,
  squaresWidth: number,
): number {
  spread.fill(0);
  for (let i = 0; i < squaresWidth; i++) addProduct(squares[squaresAt + i] as number, count);
  for (let i = 0; i < sumWidth; i++) {
    const a = sum[sumAt + i] as number;
    if (a === 0) break;
    for (let j = 0; j < sumWidth; j++) addProduct(-a, sum[sumAt + j] as number);
  }
  return roundExact(spread, 0, wideCells) / (count * (count - 1));
}

function addProduct(a: number, b: number): void {
  const high = a * b;
  if (high === 0) return;
  const low = productError(a, b, high);
  addExact(spread, 0, wideCells, high);
  if (low !== 0) addExact(spread, 0, wideCells, low);
}
