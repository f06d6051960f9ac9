import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import type { Labels, Meter } from "../../src/core/meter.ts";
import { describeBareModel } from "../../src/scoring/manifest.ts";
import { openOnnxScorer } from "../../src/scoring/onnx-scorer.ts";
import type { ModelOutput, Scorer } from "../../src/scoring/scorer.ts";

export const fixtures = join(import.meta.dirname, "..", "fixtures");
export const columns = ["x0", "x1", "x2", "x3", "x4", "x5"];

/** Counters by `name label label`; gauges and histograms are not kept. */
export class CountingMeter implements Meter {
  readonly counts = new Map<string, number>();

  counter(name: string, ...labels: Labels): { add(count: number): void } {
    const key = [name, ...labels].join(" ");
    return { add: (count) => this.counts.set(key, (this.counts.get(key) ?? 0) + count) };
  }

  gauge(): { set(): void } {
    return { set: () => {} };
  }

  histogram(): { observe(): void } {
    return { observe: () => {} };
  }
}

export function readFixture(name: string): Buffer {
  return readFileSync(join(fixtures, `${name}.onnx`));
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export interface Opening {
  readonly output?: ModelOutput;
  readonly medians?: readonly number[];
  readonly meter?: Meter;
  readonly columns?: readonly string[];
}

/** Opens a model made by `make_models.py`. */
export function openFixture(name: string, opening: Opening = {}): Promise<Scorer> {
  return openBytes(readFixture(name), name, opening);
}

export function openBytes(onnx: Buffer, name: string, opening: Opening = {}): Promise<Scorer> {
  const bare = describeBareModel({
    name,
    columns: opening.columns ?? columns,
    sha256: sha256(onnx),
    output: opening.output ?? "probability",
  });
  const medians = opening.medians === undefined ? undefined : Float32Array.from(opening.medians);
  const meter = opening.meter ?? new CountingMeter();
  return openOnnxScorer({ onnx, model: { ...bare, medians }, meter, clock: systemClock });
}
