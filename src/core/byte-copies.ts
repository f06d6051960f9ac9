/** Below this, a loop over the bytes is cheaper than the call that copies them (measured: they meet at 40). */
const loopBytes = 32;

/** Copies without the object that a `subarray` would be. */
export function copyBytes(from: Buffer, at: number, end: number, to: Buffer, toAt: number): void {
  if (end - at > loopBytes) {
    from.copy(to, toAt, at, end);
    return;
  }
  for (let i = at, j = toAt; i < end; i++, j++) to[j] = from[i] as number;
}

/** The same within one buffer: above this the call is cheaper. */
const loopBytesWithin = 48;

/** Writes at `to` again what stands `distance` bytes before: more than `distance` bytes repeat themselves. */
export function repeatBytes(bytes: Buffer, to: number, distance: number, length: number): void {
  if (length > loopBytesWithin && distance >= length) {
    bytes.copyWithin(to, to - distance, to - distance + length);
    return;
  }
  for (let i = to - distance, j = to, end = to + length; j < end; i++, j++) bytes[j] = bytes[i] as number;
}
