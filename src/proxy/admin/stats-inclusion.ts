// Which of Envoy's statistics are exposed to Prometheus beside Istio's minimal list: `proxyStatsMatcher` of the workload's
// ProxyConfig, and the older annotations `sidecar.istio.io/statsInclusion…`, each of which stands in place of its list.
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { RE2JS } from "re2js";
import { describeError } from "#base/error.ts";

type Includes = (name: string) => boolean;

/** Null: nothing beside the minimal list. `onProblem` hears of expressions that are none; they include nothing. */
export function statsInclusion(metadata: JsonObject, onProblem: (message: string) => void): Includes | null {
  const matcher = objectIn(objectIn(metadata, "PROXY_CONFIG"), "proxyStatsMatcher");
  const annotations = objectIn(metadata, "ANNOTATIONS");
  const listed = (list: string): readonly string[] => {
    const written = annotations[`sidecar.istio.io/stats${list}`];
    const items = typeof written === "string" ? written.split(",") : matcher[`i${list.slice(1)}`];
    return Array.isArray(items) ? items.map((item) => String(item).trim()).filter((item) => item !== "") : [];
  };
  const prefixes = listed("InclusionPrefixes");
  const suffixes = listed("InclusionSuffixes");
  const expressions = listed("InclusionRegexps").flatMap((text): RE2JS[] => {
    try {
      return [RE2JS.compile(text)];
    } catch (error) {
      onProblem(`"${text}" includes no statistics: ${describeError(error)}`);
      return [];
    }
  });
  if (prefixes.length + suffixes.length + expressions.length === 0) return null;
  return (name) =>
    prefixes.some((prefix) => name.startsWith(prefix)) ||
    suffixes.some((suffix) => name.endsWith(suffix)) ||
    expressions.some((expression) => expression.testExact(name));
}

function objectIn(value: JsonObject, key: string): JsonObject {
  const found: JsonValue | undefined = value[key];
  return typeof found === "object" && found !== null && !Array.isArray(found) ? found : {};
}
