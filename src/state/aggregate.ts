/**
 * What is computed over the events of a window. Null column values are left out, as in SQL; `count` without a column
 * counts events. Numbers beyond 2^450 in magnitude count as null: their squares would overflow. "Of nothing" is what an
 * empty window gives.
 *
 * | kind       | gives                                                                  | of nothing |
 * |------------|------------------------------------------------------------------------|------------|
 * | count      | events, or non-null values of `column`                                 | 0          |
 * | sum        | exact: integers as integers, doubles correctly rounded from exact sums | 0          |
 * | mean       | sum / count / `per` (100 turns minor units into major ones)            | null       |
 * | variance   | sample variance (n - 1), from exact sums                               | null below 2 |
 * | sd         | its square root                                                        | null below 2 |
 * | min, max   | smallest, largest                                                      | null       |
 * | distinct   | number of different values, exact                                      | 0          |
 * | first, last| up to `size` values, oldest first / newest first                       | []         |
 * | latest     | the newest value                                                       | null       |
 * | top        | up to `size` most frequent values, ties by value ascending             | []         |
 * | percentile | smallest value with at least `fraction` of the values at or below it (nearest rank) | null |
 * | ratio      | sum(column) / events: the share of marked events                       | 0          |
 */
export type Aggregate =
  | { readonly kind: "count"; readonly column?: string }
  | { readonly kind: "sum"; readonly column: string }
  | { readonly kind: "mean"; readonly column: string; readonly per: number }
  | { readonly kind: "variance"; readonly column: string }
  | { readonly kind: "sd"; readonly column: string }
  | { readonly kind: "min"; readonly column: string }
  | { readonly kind: "max"; readonly column: string }
  | { readonly kind: "distinct"; readonly column: string }
  | { readonly kind: "first"; readonly column: string; readonly size: number }
  | { readonly kind: "last"; readonly column: string; readonly size: number }
  | { readonly kind: "latest"; readonly column: string }
  | { readonly kind: "top"; readonly column: string; readonly size: number }
  | { readonly kind: "percentile"; readonly column: string; readonly fraction: number }
  | { readonly kind: "ratio"; readonly column: string };

export type AggregateKind = Aggregate["kind"];
