import { assert } from "../core/assert.ts";

const pageBits = 13;

/** Doubles in one page: 64 KiB. */
const pageDoubles = 1 << pageBits;

/** The largest block, in doubles: a quarter of a page, so that a page of the largest blocks is still well used. */
export const blockDoublesMax = pageDoubles >> 2;

const noBlock = -1;

/**
 * Memory for millions of small arrays of doubles. A Float64Array of its own costs some 200 bytes before it holds
 * anything; a block here costs its content. It is also what it says it is: memory outside the garbage collector's
 * reach, whose size is known.
 *
 * A block is named by an address: page number * 8,192 + index within the page. A page holds blocks of one size; free
 * ones are linked through their first double. A page whose blocks are all free serves any size again, so that memory
 * follows when blocks of one size are exchanged for those of another.
 *
 * The owner of a block must not touch it after `release`.
 */
export class Arena {
  /** Page of an address: `pages[address >>> pageShift]`, at index `address & pageMask`. */
  readonly pages: Float64Array[] = [];
  /** The same memory as bytes, to copy from and to. */
  readonly bytes: Buffer[] = [];
  static readonly pageShift = pageBits;
  static readonly pageMask = pageDoubles - 1;

  /** Block size of each page, 0 while it serves none. */
  readonly #blockSize: number[] = [];
  readonly #usedBlocks: number[] = [];
  /** First free block of each page, linked; blocks from `#fresh` on have never been used. */
  readonly #firstFree: number[] = [];
  readonly #fresh: number[] = [];
  readonly #emptyPages: number[] = [];
  /** For each block size, the pages with room, and some that have left that size since. */
  readonly #roomy: (number[] | undefined)[] = [];
  #usedDoubles = 0;

  /** Bytes of all blocks in use. */
  get usedBytes(): number {
    return this.#usedDoubles * 8;
  }

  /** Bytes of all pages, used or not. */
  get reservedBytes(): number {
    return this.pages.length * pageDoubles * 8;
  }

  /** @returns the address of a block of `size` doubles with undefined content */
  allocate(size: number): number {
    assert(size > 0 && size <= blockDoublesMax, () => `block of ${size} doubles, limit ${blockDoublesMax}`);
    const page = this.#pageWithRoom(size);
    this.#usedDoubles += size;
    this.#usedBlocks[page] = (this.#usedBlocks[page] as number) + 1;
    let index = this.#firstFree[page] as number;
    if (index !== noBlock) {
      this.#firstFree[page] = (this.pages[page] as Float64Array)[index] as number;
    } else {
      index = this.#fresh[page] as number;
      this.#fresh[page] = index + size;
    }
    if (!this.#hasRoom(page, size)) this.#roomy[size]?.pop();
    return page * pageDoubles + index;
  }

  release(address: number): void {
    const page = address >>> pageBits;
    const index = address & (pageDoubles - 1);
    const size = this.#blockSize[page] as number;
    const used = (this.#usedBlocks[page] as number) - 1;
    assert(used >= 0, () => `block ${address} released twice`);
    this.#usedDoubles -= size;
    this.#usedBlocks[page] = used;
    if (used === 0) {
      this.#blockSize[page] = 0;
      this.#emptyPages.push(page);
      return;
    }
    const wasFull = !this.#hasRoom(page, size);
    (this.pages[page] as Float64Array)[index] = this.#firstFree[page] as number;
    this.#firstFree[page] = index;
    if (wasFull) this.#roomy[size]?.push(page);
  }

  /** Doubles in the block at `address`. */
  sizeOf(address: number): number {
    return this.#blockSize[address >>> pageBits] as number;
  }

  #hasRoom(page: number, size: number): boolean {
    return this.#firstFree[page] !== noBlock || (this.#fresh[page] as number) + size <= pageDoubles;
  }

  /** The page on top of its size's list, so that it can be popped when the allocation fills it. */
  #pageWithRoom(size: number): number {
    let pages = this.#roomy[size];
    if (pages === undefined) {
      pages = [];
      this.#roomy[size] = pages;
    }
    while (pages.length > 0) {
      const page = pages[pages.length - 1] as number;
      if (this.#blockSize[page] === size) return page;
      pages.pop(); // it became empty and serves another size, or none
    }
    const page = this.#emptyPages.pop() ?? this.#newPage();
    this.#blockSize[page] = size;
    this.#usedBlocks[page] = 0;
    this.#firstFree[page] = noBlock;
    this.#fresh[page] = 0;
    pages.push(page);
    return page;
  }

  #newPage(): number {
    const page = new Float64Array(pageDoubles);
    this.pages.push(page);
    this.bytes.push(Buffer.from(page.buffer));
    assert(this.pages.length <= 1 << (31 - pageBits), () => "arena is larger than 16 GiB");
    return this.pages.length - 1;
  }
}
