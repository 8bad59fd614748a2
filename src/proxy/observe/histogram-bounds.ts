// Buckets of Istio's histograms, as the pod's annotation `sidecar.istio.io/statsHistogramBuckets` says them: JSON from a
// prefix of Envoy's names (`istiocustom` is Istio's, then the metric's name) to upper bounds.
import type { JsonObject } from "@bufbuild/protobuf";
import { type HistogramBounds, standardBounds } from "./series-table.ts";

const annotation = "sidecar.istio.io/statsHistogramBuckets";
const maxBuckets = 100;

/** `onProblem` hears what is wrong with the annotation; the standard buckets stay then. */
export function histogramBounds(metadata: JsonObject, onProblem: (message: string) => void): HistogramBounds {
  const annotations = metadata["ANNOTATIONS"];
  const text =
    typeof annotations === "object" && annotations !== null && !Array.isArray(annotations)
      ? annotations[annotation]
      : undefined;
  if (typeof text !== "string" || text.trim() === "") return standardBounds;
  const byPrefix = parse(text);
  if (typeof byPrefix === "string") {
    onProblem(`the annotation ${annotation} ${byPrefix}`);
    return standardBounds;
  }
  return (metric) => {
    const name = `istiocustom.istio_${metric}`;
    // As Envoy: the first that fits.
    return byPrefix.find(([prefix]) => name.startsWith(prefix))?.[1] ?? standardBounds(metric);
  };
}

function parse(text: string): (readonly [prefix: string, bounds: readonly number[]])[] | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "is not JSON";
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "is no object from prefix to buckets";
  const result: (readonly [string, readonly number[]])[] = [];
  for (const [prefix, bounds] of Object.entries(value)) {
    const isAscending =
      Array.isArray(bounds) &&
      bounds.length > 0 &&
      bounds.length <= maxBuckets &&
      bounds.every((bound, i) => typeof bound === "number" && bound > (i === 0 ? 0 : Number(bounds[i - 1])));
    if (!isAscending) return `has no ascending positive numbers for "${prefix}"`;
    result.push([prefix, bounds as readonly number[]]);
  }
  return result;
}
